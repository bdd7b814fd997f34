"""Teachers of others in a recipe: opened, matched by class and modality, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..teachers.classes import StudentAnswers, knows, match_classes, read_joined
from ..teachers.opening import open_teacher
from ..teachers.teacher import Teacher, TeacherOptions
from ..training.experiment import Study
from ..training.foreign import Foreign, shown_modalities

AS_THEY_SAY = TeacherOptions()


@dataclass(frozen=True)
class Others:
    """How teachers of others are opened and what is learned of them: the options that recipes share."""

    classes: Sequence[str] = ()  # of the student, what they are made of: kidney=kidney_left+kidney_right
    modalities: Sequence[str] = ()  # of the dataset, in the teacher's order; (): by name
    options: TeacherOptions = AS_THEY_SAY

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
        # Of several teachers with different organs, each is asked for those that it knows.
        own = [{k: v for k, v in joined.items() if knows(teacher, v)} for teacher in teachers]
        for name in joined.keys() - set().union(*own):
            own[0][name] = joined[name]
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
        return Foreign(teacher, classes, shown, dense)


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
