"""A teacher of others in an experiment: whose scans it is shown, and what the student learns of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from ..data.case import Case
from ..data.scans.reading import read_scans
from ..data.scans.scan import Scan
from ..errors import UserError
from ..teachers.classes import ClassMap
from ..teachers.files import FilesTeacher
from ..teachers.teacher import Teacher


@dataclass(frozen=True, eq=False)
class Foreign:
    """A teacher that answers for whole scans, and is recorded; it is never asked at a step."""

    teacher: Teacher
    classes: ClassMap
    shown: Mapping[str, str]  # the teacher's modality -> the dataset's
    dense: bool = (
        False  # a batch holds the log-probabilities of all the student's classes, as logits would be
    )
    saw: tuple[str, ...] | None = None  # cases that it was trained on; None: nobody said

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that determines its answers."""
        return {"teacher": self.teacher.digest, "classes": self.classes.plain(), "shown": dict(self.shown)}

    @property
    def told(self) -> dict[str, Any]:
        """What it is, from where, on what terms, and what is learned of it, for records."""
        teacher = self.teacher
        return {
            "name": teacher.name,
            "digest": teacher.digest,
            **asdict(teacher.provenance),
            "shown": dict(self.shown),
            "learned": {
                one.name: [f"{'-' * (sign < 0)}{teacher.heads[head].name}" for head, sign in one.heads]
                for one in self.classes.learned
            },
            **({} if self.saw is None else {"saw": list(self.saw)}),
        }

    def unanswered(self, cases: Sequence[str]) -> list[str]:
        """Those of `cases` that it has no answer for: of answers in files some, of a model none."""
        known = self.teacher.cases if isinstance(self.teacher, FilesTeacher) else cases
        return [id for id in cases if id not in known]

    def scans(self, case: Case) -> dict[str, Scan]:
        """What the teacher is shown of a case. Raises `UserError`, naming the case."""
        missing = [name for name in self.shown.values() if name not in case.images]
        if missing:
            raise UserError(
                f"case {case.id} has no {', '.join(missing)}, which {self.teacher.name} is shown",
                "add the scan, or leave the case out",
            )
        if not self.shown:  # answers from files: any scan of the case says where they lie
            first = next(iter(case.images))
            return read_scans({first: case.images[first]})
        own = read_scans({name: case.images[name] for name in self.shown.values()})
        return {theirs: own[ours] for theirs, ours in self.shown.items()}


def shown_modalities(
    teacher: Teacher, dataset: Sequence[str], given: Sequence[str] | None = None
) -> dict[str, str]:
    """The teacher's modalities -> the dataset's: as `given`, in the teacher's order; else by name.

    One modality is taken for the other where both have only one. Raises `UserError` where it is not clear: a
    teacher that is shown CT as PET answers without an error.
    """
    theirs = teacher.modalities
    if not theirs:  # answers in files: a scan gives them their grid, whichever it is
        return {dataset[0]: dataset[0]}
    told = f"{teacher.name} is shown {', '.join(theirs)}; the dataset has {', '.join(dataset)}"
    fix = "say which they are, in the teacher's order, as in --teacher-modalities CT,PET"
    if given is not None:
        if len(given) != len(theirs) or set(given) - set(dataset):
            raise UserError(f"--teacher-modalities {','.join(given)}: {told}", fix)
        return dict(zip(theirs, given, strict=True))
    ours = {name.casefold(): name for name in dataset}
    if all(name.casefold() in ours for name in theirs):
        return {name: ours[name.casefold()] for name in theirs}
    if len(theirs) == len(dataset) == 1:
        return {theirs[0]: dataset[0]}
    raise UserError(told, fix)
