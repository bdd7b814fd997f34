"""What was handed out, in a folder beside the results: RESULTS.submit/NAME.

    commands.txt       a command line of distilseg on each line: the elements, by their numbers from 1
    submission.json    what was asked for; the name and the stage of each element; the jobs of a queue
    elements/          how far each is: see `element.py`
    stage_1.sbatch     what SLURM was given

It is named by a digest of its command lines: who submits the same again goes on with what is there. Elements
of a stage wait for all of the stage before.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import write_json, write_text
from ..json_files import read_object
from ..names import component

ENDING = ".submit"


@dataclass(frozen=True)
class Element:
    """One command line that is handed out."""

    name: str  # "part 3 of 100", "kd_net, seed 0, fold 2"
    words: tuple[str, ...]  # after `distilseg`
    stage: int = 1
    runs: tuple[str, ...] = ()  # of a training: the keys of the runs that it makes, see `Experiment.key`
    judged: bool = False  # ... and judges

    def with_words(self, *more: str) -> Element:
        """The same, with more words."""
        return replace(self, words=(*self.words, *more))


@dataclass(frozen=True)
class Submission:
    """Elements and the folder that says so."""

    folder: Path
    command: str  # as it was asked for
    elements: tuple[Element, ...]
    engine: str = "local"
    began_in: Path = Path()  # the folder that relative paths of the command begin in
    jobs: tuple[str, ...] = ()  # that a queue has had, the latest last

    @property
    def commands(self) -> Path:
        """A command line an element."""
        return self.folder / "commands.txt"

    @property
    def results(self) -> Path:
        """Beside what it lies."""
        return self.folder.parent.with_name(self.folder.parent.name.removesuffix(ENDING))

    @property
    def kind(self) -> str:
        """The command that its elements are."""
        return self.elements[0].words[0]

    def with_jobs(self, jobs: Sequence[str]) -> Submission:
        """The same, with more jobs of a queue."""
        return replace(self, jobs=(*self.jobs, *jobs))

    @property
    def stages(self) -> list[list[int]]:
        """The numbers of the elements, stage by stage."""
        found: dict[int, list[int]] = {}
        for number, element in enumerate(self.elements, start=1):
            found.setdefault(element.stage, []).append(number)
        return [found[stage] for stage in sorted(found)]

    def write(self) -> None:
        """Writes it down, before anything is handed out."""
        lines = [shlex.join(["distilseg", *element.words]) for element in self.elements]
        if broken := next((line for line in lines if "\n" in line), None):
            raise UserError(f"{broken!r} has a line break", "use names without")
        write_text(self.commands, "\n".join(lines) + "\n")
        about = {
            "command": self.command,
            "engine": self.engine,
            "began_in": str(self.began_in),
            "jobs": list(self.jobs),
            "elements": [{k: v for k, v in asdict(one).items() if k != "words"} for one in self.elements],
        }
        write_json(self.folder / "submission.json", about)


def new_submission(results: Path, command: str, elements: Sequence[Element], *, engine: str) -> Submission:
    """The submission of these elements; with the jobs of an earlier one of the same, where there is one."""
    kind = elements[0].words[0]
    here = Path.cwd()
    text = "\n".join([str(here), *(shlex.join(element.words) for element in elements)])
    digest = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
    folder = beside(results) / component(f"{kind}-{digest}", kind="submission")
    jobs = open_submission(folder).jobs if (folder / "submission.json").is_file() else ()
    return Submission(folder.absolute(), command, tuple(elements), engine, here, jobs)


def beside(results: Path) -> Path:
    """Where submissions of these results lie: beside them, as readers of label maps take all in a folder."""
    results = results.absolute()
    return results.with_name(results.name + ENDING)


def submissions_of(results: Path) -> list[Submission]:
    """Of each command that was submitted for these results the latest submission, in their order."""
    found = sorted(beside(results).glob("*/submission.json"), key=lambda path: path.stat().st_mtime_ns)
    latest = {one.command: one for one in map(open_submission, (path.parent for path in found))}
    return list(latest.values())


def open_submission(folder: Path) -> Submission:
    """The submission in `folder`; raises `UserError`, naming the file, where it is damaged."""
    place = folder / "submission.json"
    fix = f"delete {folder} and submit the command again; results stay"
    about = read_object(place, fix=fix)
    try:
        lines = (folder / "commands.txt").read_text(encoding="utf-8").split("\n")[:-1]
        elements = [_element(one, line) for one, line in zip(about["elements"], lines, strict=True)]
        jobs, began_in = tuple(str(job) for job in about["jobs"]), Path(about["began_in"])
        command, engine = str(about["command"]), str(about["engine"])
        return Submission(folder, command, tuple(elements), engine, began_in, jobs)
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise UserError(f"{place} is damaged ({error})", fix) from None


def _element(about: dict[str, Any], line: str) -> Element:
    words, runs = tuple(shlex.split(line)[1:]), tuple(str(key) for key in about["runs"])
    return Element(str(about["name"]), words, int(about["stage"]), runs, bool(about["judged"]))
