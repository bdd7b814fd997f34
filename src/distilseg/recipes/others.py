"""Teachers of others in a recipe: opened, matched by class and modality, before anything is trained."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..runs import Run
from ..teachers.classes import StudentAnswers, match_classes, read_joined, shared_out
from ..teachers.opening import open_teacher
from ..teachers.run import RunTeacher
from ..teachers.saw import read_saw
from ..teachers.teacher import Teacher, TeacherOptions
from ..training.experiment import Answers, Experiment, Finished, Study, TeacherOutputs
from ..training.foreign import Foreign, shown_modalities
from .variant import Given

AS_THEY_SAY = TeacherOptions()
TaughtBy = Mapping[str, Experiment | Finished | Foreign]  # teachers by role


@dataclass(frozen=True)
class Others:
    """How teachers of others are opened and what is learned of them: the options that recipes share."""

    classes: Sequence[str] = ()  # of the student, what they are made of: kidney=kidney_left+kidney_right
    modalities: Sequence[str] = ()  # of the dataset, in the teacher's order; (): by name
    options: TeacherOptions = AS_THEY_SAY
    saw: str | None = None  # a file that names the cases that they were trained on; None: nobody says

    def opened(
        self,
        paths: Iterable[Path | str],
        study: Study,
        answers: StudentAnswers = "classes",
        *,
        dense: bool = False,
    ) -> dict[str, Foreign]:
        """By role ("teacher", or "teacher_1", ... of several) what each answers of the student's classes.

        Raises UserError for a teacher that cannot be opened, and where classes or modalities are not clear.
        """
        teachers = [open_teacher(path, self.options) for path in paths]
        if not teachers:
            raise UserError("no teacher is named", "give one or several: --teacher MODEL[,MODEL...]")
        _, joined = read_joined(self.classes)
        own = shared_out(teachers, joined)
        roles = ["teacher"] if len(teachers) == 1 else [f"teacher_{n}" for n in range(1, len(teachers) + 1)]
        return {
            role: self._matched(teacher, study, answers, joined, dense=dense)
            for role, teacher, joined in zip(roles, teachers, own, strict=True)
        }

    def _matched(
        self,
        teacher: Teacher,
        study: Study,
        answers: StudentAnswers,
        joined: Mapping[str, str],
        *,
        dense: bool,
    ) -> Foreign:
        plan = study.plan
        names = plan.classes if answers == "classes" else tuple(plan.regions)
        members = {
            region: tuple(plan.labels[value] for value in values) for region, values in plan.regions.items()
        }
        classes = match_classes(teacher, names, answers=answers, members=members, joined=joined)
        if dense and not classes.complete:
            learned = {one.name for one in classes.learned}
            lacking = [name for name in names[answers == "classes" :] if name not in learned]
            raise UserError(
                f"{teacher.name} does not know {', '.join(lacking)}, this recipe compares every class",
                "say what it is made of with --classes, or use distil, which leaves it to the labels",
            )
        shown = shown_modalities(teacher, study.dataset.modalities, self.modalities or None)
        return Foreign(teacher, classes, shown, dense, self._saw(teacher, study))

    def _saw(self, teacher: Teacher, study: Study) -> tuple[str, ...] | None:
        """What its cases were: as the file says, or as a run of ours on this dataset recorded."""
        if self.saw is not None:
            return read_saw(self.saw)
        if isinstance(teacher, RunTeacher) and teacher.provenance.dataset == study.dataset.name:
            return teacher.seen or None
        return None


def opening(
    *,
    classes: Sequence[str] = (),
    teacher_modalities: Sequence[str] = (),
    teacher_configuration: str | None = None,
    teacher_folds: Sequence[str] = (),
    teacher_mirror: bool | None = None,
    teacher_step: float | None = None,
    teacher_orientation: str | None = None,
    teacher_card: str | None = None,
    trust_teacher: Sequence[str] = (),
) -> Others:
    """How teachers of others are opened, as the options of a recipe say it.

    classes: what the student's classes are made of, such as kidney=kidney_left+kidney_right.
    teacher_modalities: of the dataset, in the teacher's order, where names do not say it.
    teacher_configuration: of an nnU-Net folder that holds several.
    teacher_folds: of nnU-Net, such as 0,1; default: all that there are.
    teacher_mirror: average over mirrored scans; default: as the teacher says.
    teacher_step: of its windows, as a share of the patch; default: the teacher's.
    teacher_orientation: scans are turned to it before the teacher sees them, such as LPS.
    teacher_card: JSON that says what an ONNX or TorchScript file does not.
    trust_teacher: SHA-256 of a TorchScript file that may run.
    """
    options = options_of(
        configuration=teacher_configuration,
        folds=teacher_folds,
        mirror=teacher_mirror,
        step=teacher_step,
        orientation=teacher_orientation,
        card=teacher_card,
        trust=trust_teacher,
    )
    return Others(classes, teacher_modalities, options)


OPENING = tuple(inspect.signature(opening).parameters)  # options of recipes


def taken(
    paths: Mapping[str, str], study: Study, told: Given, answers: Answers = "classes"
) -> dict[str, Finished | Foreign]:
    """By role the teacher at a path: a run of ours as it is, of any other its answers for every class.

    `told` holds the options of `opening`. Raises UserError as `Others.opened` does, and for options that no
    teacher at these paths has.
    """
    others = {role: path for role, path in paths.items() if not Run(Path(path)).experiment.is_file()}
    usual = inspect.signature(opening).parameters
    options = {name: told[name] for name in OPENING}
    if not others and (given := [name for name in OPENING if options[name] != usual[name].default]):
        raise UserError(
            f"--{given[0].replace('_', '-')} is of a teacher that others trained, none is named",
            "name one in place of a network or a run, or leave that option out",
        )
    found: dict[str, Finished | Foreign] = {
        role: Finished(Path(path)) for role, path in paths.items() if role not in others
    }
    if others:
        opened = opening(**options).opened(others.values(), study, answers, dense=True)
        found |= dict(zip(others, opened.values(), strict=True))
    return {role: found[role] for role in paths}


def look_at(options: Given) -> None:
    """Opens the teachers that options of a recipe name by path, and nothing else: before scans are measured.

    Raises UserError for one that is not there, has no weights or cannot be rebuilt.
    """
    told = opening(**{name: value for name, value in options.items() if name in OPENING})
    named = options.get("teacher") or options.get("teachers") or ()
    for one in [named] if isinstance(named, str | Path) else named:
        path = Path(one)
        if Run(path).experiment.is_file():
            _ = Finished(path).identity
        elif path.exists() or (len(path.parts) > 1 and ".py:" not in str(one)):
            open_teacher(path, told.options)


def check_features(
    teachers: TaughtBy, compared: str, option: str, weight: float, *, without: str = ""
) -> None:
    """Refuses a term that compares features, weighed by an option, where a teacher gives answers alone.

    `without` is the recipe that leaves this term out.
    """
    foreign = [one.teacher.name for one in teachers.values() if isinstance(one, Foreign)]
    if foreign and weight:
        raise UserError(
            f"{foreign[0]} is recorded and shows no {compared}, which --{option} {weight:g} weighs",
            f"leave that term out: --{option} 0" + (f", or the recipe {without}" if without else ""),
        )


def outputs_of(teachers: TaughtBy, asked: TeacherOutputs) -> TeacherOutputs:
    """How the outputs of these teachers come: teachers of others are recorded."""
    foreign = teachers and all(isinstance(one, Foreign) for one in teachers.values())
    return "recorded" if foreign else asked


def names_of(teachers: TaughtBy, named: Mapping[str, str]) -> list[str]:
    """What each role was named, for the record: of a teacher of others its name, wherever it lies."""
    return [
        teacher.teacher.name if isinstance(teacher := teachers[role], Foreign) else name
        for role, name in named.items()
    ]


def options_of(
    *,
    configuration: str | None,
    folds: Sequence[str],
    mirror: bool | None,
    step: float | None,
    orientation: str | None,
    card: str | None,
    trust: Sequence[str],
) -> TeacherOptions:
    """The options of a recipe or a command as teachers take them."""
    given: dict[str, Any] = {
        "configuration": configuration,
        "folds": tuple(map(str, folds)) or None,
        "mirror": mirror,
        "step": step,
        "orientation": orientation,
        "card": None if card is None else Path(card),
        "trust": tuple(trust),
    }
    return TeacherOptions(**given)
