"""Job arrays of SLURM, by plain files for `sbatch` that lie beside the results and can be read and changed.

An element that is preempted, or whose node fails, is queued again (`--requeue`); one whose time is nearly up
asks for that itself. Either way it goes on where it was. A stage waits for the one before it, by
`--dependency=afterok`.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import UserError
from ..files import write_text
from .resources import Resources
from .submission import Submission

WARNED_S = 60  # before its time is up, and up to a minute earlier, as SLURM looks at times once a minute
LEAST_S = 300  # so that something is done before that
MOST_SLOTS = 100  # of time for one element: a scan that takes longer than a slot would never end

_SCRIPT = """\
#!/bin/bash
# distilseg {command}
{options}

# Line SLURM_ARRAY_TASK_ID of commands.txt. When its time is nearly up it is queued again, and goes on there.
element="${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID"
trap '[ "${{SLURM_RESTART_COUNT:-0}}" -lt {slots} ] && scontrol requeue "$element"' USR1
{python} -m {module} {commands} "$SLURM_ARRAY_TASK_ID" &
wait $!
"""


def script(
    submission: Submission, numbers: Sequence[int], resources: Resources, more: Sequence[str] = ()
) -> str:
    """What `sbatch` is given for the elements of these numbers; `more`: options of its own, as name=value."""
    if resources.seconds is not None and resources.seconds < LEAST_S:
        raise UserError(
            f"--time {resources.time} is short: elements are warned up to two minutes before it is up",
            f"give {LEAST_S // 60} minutes or more",
        )
    logs = submission.folder / "elements"
    given = {
        "job-name": f"distilseg-{submission.folder.name}",
        "array": ranges(numbers),
        "nodes": "1",
        "ntasks": "1",
        "cpus-per-task": str(resources.cpus or 1),
        "gres": f"gpu:{resources.gpus}" if resources.gpus else None,
        "mem": resources.memory,
        "time": resources.time,
        "partition": resources.partition,
        "signal": f"B:USR1@{WARNED_S}",
        "open-mode": "append",
        "output": _word(Path(str(logs).replace("%", "%%")) / "%a.slurm"),
        "chdir": _word(submission.began_in),
    }
    options = [f"--{name}={value}" for name, value in given.items() if value is not None]
    options += ["--requeue", *(_quoted(option) for option in more)]
    return _SCRIPT.format(
        command=submission.command,
        options="\n".join(f"#SBATCH {option}" for option in options),
        python=shlex.quote(sys.executable),
        slots=MOST_SLOTS,
        module=f"{__package__}.element",
        commands=shlex.quote(str(submission.commands)),
    )


def hand_out(
    submission: Submission,
    stages: Sequence[Sequence[int]],
    resources: Resources,
    more: Sequence[str] = (),
) -> list[str]:
    """Writes the scripts, gives them to `sbatch`, and returns the numbers of the jobs. Raises UserError."""
    (submission.folder / "elements").mkdir(exist_ok=True)
    jobs: list[str] = []
    for place, text in scripts(submission, stages, resources, more):
        write_text(place, text)
        after = [f"--dependency=afterok:{jobs[-1]}", "--kill-on-invalid-dep=yes"] if jobs else []
        said = _asked("sbatch", "--parsable", *after, str(place))
        jobs.append(said.strip().partition(";")[0])  # number;cluster
    return jobs


def scripts(
    submission: Submission, stages: Sequence[Sequence[int]], resources: Resources, more: Sequence[str] = ()
) -> Iterator[tuple[Path, str]]:
    """The files of the stages and what is in them."""
    for stage, numbers in enumerate(stages, start=1):
        place = submission.folder / f"stage_{stage}.sbatch"
        yield place, script(submission, numbers, resources, more)


def in_queue(jobs: Sequence[str]) -> set[int]:
    """The numbers of the elements that wait in the queue, or run, of these jobs."""
    if not jobs:
        return set()
    try:
        said = _asked("squeue", "--noheader", "--array", "--jobs", ",".join(jobs), "--format", "%K")
    except UserError:  # jobs that are long over are unknown to it
        return set()
    return {int(word) for word in said.split() if word.isdecimal()}


def ranges(numbers: Sequence[int]) -> str:
    """[1, 2, 3, 7] -> "1-3,7"."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and found[-1][-1] + 1 == number:
            found[-1][1:] = [number]
        else:
            found.append([number])
    return ",".join("-".join(map(str, part)) for part in found)


def _word(path: Path) -> str:
    """A path on a line of #SBATCH, where a space parts words."""
    return f'"{path}"' if " " in str(path) else str(path)


def _quoted(option: str) -> str:
    """An option as name=value with its value as one word."""
    name, equals, value = option.partition("=")
    return f'--{name}="{value}"' if " " in value and '"' not in value else f"--{name}{equals}{value}"


def _asked(*words: str) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise UserError(
            f"there is no {words[0]} here",
            "run this where SLURM is; --dry-run shows what would be asked",
        ) from None
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise UserError(f"{words[0]} refused it ({said})", "correct the options; `sinfo` lists partitions")
    return done.stdout
