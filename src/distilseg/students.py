"""A folder of students, and for every case the best of them for the scans that it has.

    candidates   students that need no scan which the case lacks
    best         the highest Dice on the validation cases; never on the test cases, which are to stay unseen

A network for any subset of modalities (`networks.modality_encoders`) is a candidate for every case that has
one of its scans; its validation Dice was had with all of them, which the reason says. Where two are equal,
the one that sees more scans is taken, then a dedicated one, then the first by name. Students of different
folds or splits were validated on different cases: then their Dice is only roughly comparable.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from .data.case import Case
from .data.formats.chosen import ALL, Chosen
from .data.formats.inputs import find_cases_with_some
from .data.planning.plan import load_plan
from .errors import UserError
from .evaluation.agreement import titled
from .networks.build import NetworkSpec, build
from .networks.modality_encoders import any_subset
from .predict import Job, PredictSummary, load_predictor, place, predict_jobs
from .runs import Run, find_runs, write_rows
from .subsets import is_part

CHOICES = "choices.csv"


@dataclass(frozen=True)
class Student:
    """A finished run that may predict."""

    run: Run
    modalities: tuple[str, ...]  # that it sees, in order
    validation_dice: float
    labels: dict[int, str] = field(hash=False)
    any_subset: bool = False  # it takes whichever of its modalities are there
    labelled_by: str = ""  # the teacher whose answers validated it; "": labels

    def fits(self, available: Sequence[str]) -> bool:
        """Whether the scans that are there are enough for it."""
        shared = set(self.modalities) & set(available)
        return bool(shared) if self.any_subset else shared == set(self.modalities)

    def told(self, available: Sequence[str]) -> str:
        """Name, scans and validation Dice, in words."""
        seen = [name for name in self.modalities if name in available or not self.any_subset]
        what = ", ".join(seen) + (f" of {', '.join(self.modalities)}" if seen != [*self.modalities] else "")
        whole = " with all of them" if seen != [*self.modalities] else ""
        judged = titled("Dice", self.labelled_by)
        return f"{self.run.name} ({what}; validation {judged} {self.validation_dice:.3f}{whole})"


@dataclass(frozen=True)
class Choice:
    """Which student, and why, in one sentence."""

    student: Student
    reason: str


def find_students(folder: Path | str, *, trust: str | None = None) -> tuple[Student, ...]:
    """Every finished run at or below `folder`, sorted by path; raises UserError where there is none, or where
    two tell different labels apart."""
    runs = [run for run in find_runs(folder) if run.finished and run.best.is_file() and not is_part(run)]
    students = tuple(_student(run, trust) for run in runs)
    if not students:
        raise UserError(
            f"{folder} is neither a run nor a folder that holds finished runs",
            "give what `distilseg train` made, such as runs/<dataset>",
        )
    for other in students[1:]:
        if other.labels != students[0].labels:
            of_first = f"{students[0].run.name} tells apart {_labels(students[0])}"
            raise UserError(
                f"{of_first}; {other.run.name} {_labels(other)}",
                "keep students of one task in one folder",
            )
    return students


def all_modalities(students: Sequence[Student]) -> tuple[str, ...]:
    """What files may be numbered by: the study's modalities where the runs record them, in its order."""
    recorded = {tuple(s.run.read(s.run.experiment).get("modalities_of_study", ())) for s in students} - {()}
    longest = max(recorded, key=len, default=())
    known = dict.fromkeys([*longest, *(name for student in students for name in student.modalities)])
    return tuple(known)


def choose(students: Sequence[Student], available: Sequence[str], *, case: str = "") -> Choice:
    """The best student for a case that has the modalities `available`; UserError where none fits."""
    fitting = [student for student in students if student.fits(available)]
    has = ", ".join(available) or "no scan"
    if not fitting:
        needed = dict.fromkeys(" + ".join(student.modalities) for student in students)
        raise UserError(
            f"case {case}: it has {has}; the students need {' or '.join(needed)}",
            "add the scan that is missing, or train a student that sees what is there (--student-sees)",
        )
    ranked = sorted(fitting, key=lambda s: s.run.name)
    ranked.sort(
        key=lambda s: (s.validation_dice, len(set(s.modalities) & set(available)), not s.any_subset),
        reverse=True,
    )
    best, *others = ranked
    reason = f"the case has {has}; "
    if others:
        of = (
            f"of {len(fitting)} students that need no more"
            if len(fitting) < len(students)
            else "of all students"
        )
        reason += f"best {of}: {best.told(available)}; next: {others[0].told(available)}"
    else:
        reason += f"the only student that needs no more: {best.told(available)}"
    return Choice(best, reason)


def predict_with_best(
    students: Sequence[Student],
    inputs: Path | str | Sequence[Path | str],
    out: Path | str,
    *,
    modality: str | None = None,
    overwrite: bool = False,
    weights: str = "best",
    device: str = "auto",
    trust: str | None = None,
    skip_empty: bool = False,
    chosen: Chosen = ALL,
    progress: Callable[[int, int], object] | None = None,
) -> tuple[PredictSummary, dict[str, Choice]]:
    """Label maps of every case by the best student for it; which, and why, by case.

    `inputs`, `modality`, `chosen`: see `data.formats.inputs.find_cases_with_some`. Each student is loaded
    once, one at a time. A folder `out` also gets `choices.csv`, of a part one of its own. Raises `UserError`
    for inputs or an `out` that make no sense.
    """
    known = all_modalities(students)
    found = find_cases_with_some(inputs, known, modality=modality, chosen=chosen)
    refused = found.refused
    choices: dict[str, Choice] = {}
    fitting: list[Case] = []
    for case in found.cases:
        try:
            choices[case.id] = choose(students, list(case.images), case=case.id)
        except UserError as error:
            refused[case.id] = str(error)
            continue
        seen = choices[case.id].student.modalities
        fitting.append(Case(case.id, {name: case.images[name] for name in seen if name in case.images}))
    summary = PredictSummary(refused=refused, told=found.told)
    jobs = place(fitting, Path(out), refused, others=found.others)
    if jobs and Path(out) != jobs[0].out:
        _write_choices(Path(out) / chosen.named(CHOICES), choices)
    groups: dict[Student, list[Job]] = {}
    for job in jobs:
        groups.setdefault(choices[job.case].student, []).append(job)
    done = 0
    for student, group in groups.items():

        def counted(n: int, of: int, before: int = done) -> None:
            if progress is not None:
                progress(before + n, len(jobs))

        predictor = load_predictor(
            student.run.folder, weights=weights, device=device, trust=trust, skip_empty=skip_empty
        )
        predict_jobs(predictor, group, summary, overwrite=overwrite, progress=counted)
        done += len(group)
    return summary, choices


def _student(run: Run, trust: str | None) -> Student:
    about, plan = run.read(run.experiment), load_plan(run.plan)
    spec = NetworkSpec.from_dict(about["networks"]["student"])
    return Student(
        run,
        plan.modalities,
        float(run.read(run.status).get("best_validation_dice", 0.0)),
        dict(plan.labels),
        len(plan.modalities) > 1 and spec.name != trust and _takes_any_subset(spec.name, spec.patch),
        str(about["dataset"].get("labelled_by", "")),
    )


@functools.cache
def _takes_any_subset(name: str, patch: tuple[int, ...]) -> bool:
    """Asked of a network without memory for weights; networks of one's own files are not run for this."""
    if ":" in name:
        return False
    try:
        with torch.device("meta"):
            return any_subset(build(NetworkSpec(name, 2, 2, patch)))
    except (
        UserError,
        RuntimeError,
        NotImplementedError,
    ):  # options that this patch needs; none such is any-subset
        return False


def _labels(student: Student) -> str:
    return ", ".join(f"{value} {name}" for value, name in sorted(student.labels.items()) if value)


def _write_choices(table: Path, choices: dict[str, Choice]) -> None:
    table.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "case": case,
            "student": choice.student.run.name,
            "modalities": " ".join(choice.student.modalities),
            "validation_dice": choice.student.validation_dice,
            "reason": choice.reason,
        }
        for case, choice in choices.items()
    ]
    write_rows(table, rows)
