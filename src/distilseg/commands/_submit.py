"""`distilseg submit`: a command shared out among processes, a queue or a cluster, and gone on with."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..engines import ENGINES, dask, local, ray, slurm
from ..engines.element import Ended
from ..engines.resources import Resources
from ..engines.submission import Element, Submission, beside, new_submission
from ..errors import UserError, unknown
from ..hardware import usable_cores
from ..runtime.stores import url_of
from . import _cases, _parts_then_whole, _trainings
from ._handed_out import Line, Read

MOST_ROUNDS = 3  # in which what lacks is handed out: what a worker held as it died, others have passed by
_TAKEN: Mapping[str, tuple[str, ...]] = {  # options that change something, by engine
    "local": ("workers", "cpus"),
    "slurm": ("cpus", "gpus", "memory", "time", "partition", "sbatch"),
    "dask": ("workers", "address", "cpus", "gpus"),
    "ray": ("workers", "address", "cpus", "gpus", "memory"),
}


@dataclass(frozen=True)
class Sweep:
    """Over what trainings are swept."""

    recipes: Sequence[str] = ()
    seeds: Sequence[int] = ()
    folds: int | None = None

    @property
    def words(self) -> list[str]:
        """As one writes it."""
        named = {"--recipes": self.recipes, "--seeds": self.seeds, "--folds": [self.folds or ""]}
        lists = {name: ",".join(map(str, values)) for name, values in named.items()}
        return [word for name, text in lists.items() if text for word in (name, text)]


@dataclass(frozen=True)
class Submitted:
    """What was handed out."""

    submission: Submission
    stages: list[list[int]]  # the numbers of the elements, stage by stage
    scripts: list[tuple[Path, str]] = field(default_factory=list)  # of SLURM: files and what is in them
    jobs: tuple[str, ...] = ()  # of SLURM, one a stage

    @property
    def handed_out(self) -> int:
        """How many elements."""
        return sum(map(len, self.stages))


def submit(
    words: Sequence[str],
    read: Read,
    *,
    engine: str = "local",
    parts: int | None = None,
    sweep: Sweep | None = None,
    workers: int | None = None,
    address: str | None = None,
    resources: Resources | None = None,
    sbatch: Sequence[str] = (),
    dry_run: bool = False,
    progress: Callable[[int, int], object] | None = None,
    say: Callable[[str], object] = lambda line: None,
) -> Submitted:
    """Hands out `words`, a command line after `distilseg`, in `parts`, or for every recipe, seed and fold.

    `read` says what such words ask for, and raises UserError for what is none; all of them are read before
    one is handed out. What is done is left out: so the same call goes on. `engine` is "local" (`workers`
    processes here), "slurm" (the call returns when `sbatch` has the arrays; `sbatch` are more options for it,
    name=value), "dask" or "ray" (at `address`, else started here). `resources` are those of one element.
    `dry_run`: nothing is written, and nothing handed out.
    """
    given = resources or Resources()
    if "--" in words:
        raise UserError(
            "-- is in the command, to which options are added", "leave it out; a path with - ahead is ./-path"
        )
    _check(engine, workers=workers, address=address, given=given, sbatch=sbatch)
    at_once = workers or min(parts or usable_cores(), usable_cores())
    cut = at_once if parts is None and engine != "slurm" else parts
    first = _first_line(words, read, parts, sweep or Sweep())
    if first.results is None:
        raise UserError(f"{first.command} is not told where to write", "add --out metrics.csv")
    if (url := url_of(first.results)) is not None:
        raise UserError(
            f"{url} is in an object store, and what is handed out is noted beside the results",
            "write to a folder, or share it out by --part, such as --part 3/100",
        )
    elements = _elements(words, read, first, cut, sweep or Sweep(), dry_run)
    if first.threads:
        elsewhere = engine == "slurm" or address is not None
        cpus = given.cpus or (1 if elsewhere else max(1, usable_cores() // at_once))
        elements = [_threaded(element, cpus) for element in elements]
    told = shlex.join([*words, *(sweep.words if sweep else ())])
    submission = new_submission(first.results, told, elements, engine=engine)
    stages = _lacking(submission, read, refused=True)
    if engine == "slurm":
        return _queued(submission, stages, given, sbatch, dry_run)
    if not dry_run and stages:
        submission.write()
        went_on = _run(submission, stages, engine, at_once, address, given, progress)
        for _ in range(1, MOST_ROUNDS):
            again = _lacking(submission, read, refused=False) if went_on else []
            if not again:
                break
            say(f"{sum(map(len, again))} of {len(elements)} are handed out again, as they are not done")
            went_on = _run(submission, again, engine, at_once, address, given, progress)
    return Submitted(submission, stages)


def lacking_of(submission: Submission, read: Read, *, refused: bool) -> set[int]:
    """The numbers of the elements that are not done; `refused`: also what only lacks what was refused."""
    if submission.kind == "train":
        return _trainings.lacking(submission, refused=refused)
    if submission.kind in _parts_then_whole.COMMANDS:
        return _parts_then_whole.lacking(submission, refused=refused)
    return _cases.lacking(submission, read, refused=refused)


def _first_line(words: Sequence[str], read: Read, parts: int | None, sweep: Sweep) -> Line:
    """What is asked for, in the first of several lines; raises UserError for what is not handed out."""
    swept = bool(sweep.recipes or sweep.seeds or sweep.folds)
    if words[:1] == ["train"]:
        from . import _sweep  # which needs torch

        if parts is not None:
            raise UserError("--parts is for cases", "of trainings give --recipes, --seeds and --folds")
        return read(_sweep.lines_of(words, **vars(sweep))[0][1])
    line = read(words)
    if line.command not in ("predict", *_parts_then_whole.COMMANDS):
        raise UserError(
            f"{line.command} is not handed out", "give a command line of predict, train, distil or evaluate"
        )
    if swept:
        raise UserError(
            f"--recipes, --seeds and --folds are for train, not for {line.command}", "leave them out"
        )
    return line


def _elements(
    words: Sequence[str], read: Read, first: Line, parts: int | None, sweep: Sweep, dry_run: bool
) -> list[Element]:
    """What is handed out."""
    if first.command == "predict":
        return _cases.elements_of(words, parts)
    if first.command in _parts_then_whole.COMMANDS:
        return _parts_then_whole.elements_of(words, parts)
    from . import _sweep

    lines = _sweep.lines_of(words, **vars(sweep))
    place = beside(first.results or Path())
    lines, plan = _sweep.planned(lines, read, place, dry_run=dry_run)
    return _sweep.elements_of(lines, read, plan)


def _lacking(submission: Submission, read: Read, *, refused: bool) -> list[list[int]]:
    """The elements that are not done, stage by stage; none before the last where the last lacks none."""
    lacking = lacking_of(submission, read, refused=refused)
    stages = [[number for number in stage if number in lacking] for stage in submission.stages]
    return [stage for stage in stages if stage] if stages[-1] else []


def _run(
    submission: Submission,
    stages: Sequence[Sequence[int]],
    engine: str,
    workers: int,
    address: str | None,
    resources: Resources,
    progress: Callable[[int, int], object] | None,
) -> bool:
    """Runs stage after stage; False: one was refused that the next ones need, and these were left out."""
    done, total = 0, sum(map(len, stages))
    bad = list[int]()

    def ended(number: int, how: Ended) -> None:
        nonlocal done
        done += 1
        bad.extend([number] * (not how.went_through))
        if progress is not None:
            progress(done, total)

    for numbers in stages:
        if bad:
            return False
        if engine == "local":
            local.hand_out(submission, numbers, ended, workers=workers)
        else:
            hand_out = dask.hand_out if engine == "dask" else ray.hand_out
            hand_out(submission, numbers, ended, workers=workers, address=address, resources=resources)
    return True


def _queued(
    submission: Submission,
    stages: Sequence[Sequence[int]],
    given: Resources,
    sbatch: Sequence[str],
    dry_run: bool,
) -> Submitted:
    queued = set() if dry_run else slurm.in_queue(submission.jobs)
    left = [rest for stage in stages if (rest := [number for number in stage if number not in queued])]
    scripts = list(slurm.scripts(submission, left, given, sbatch))
    if dry_run or not left:
        return Submitted(submission, left, scripts)
    submission.write()
    jobs = tuple(slurm.hand_out(submission, left, given, sbatch))
    submission.with_jobs(jobs).write()
    return Submitted(submission, left, scripts, jobs)


def _threaded(element: Element, cpus: int) -> Element:
    """The element with as many threads as it has cores, unless it says itself how many."""
    if any(word.partition("=")[0] == "--threads" for word in element.words):
        return element
    return element.with_words("--threads", str(cpus))


def _check(
    engine: str,
    *,
    workers: int | None,
    address: str | None,
    given: Resources,
    sbatch: Sequence[str],
) -> None:
    """Raises UserError for an engine that is none, and for options that would change nothing with it."""
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    told: dict[str, Any] = {"workers": workers, "address": address, "sbatch": list(sbatch) or None}
    told |= {name: getattr(given, name) or None for name in ("cpus", "gpus", "memory", "time", "partition")}
    for name, value in told.items():
        if value is not None and name not in _TAKEN[engine]:
            engines = [one for one in ENGINES if name in _TAKEN[one]]
            raise UserError(f"--{name} is for {' and '.join(engines)}, not for {engine}", "leave it out")
    if workers is not None and workers < 1:
        raise UserError(f"--workers {workers} are none", "give 1 or more")
    if workers is not None and address is not None:
        raise UserError(
            f"--workers is for a cluster that is started here, and {address} runs already", "leave it out"
        )
    if engine == "dask" and given.gpus and address is None:
        raise UserError(
            "--gpus with dask is for workers that declare some (dask worker --resources GPU=1)",
            "name their scheduler with --address",
        )
