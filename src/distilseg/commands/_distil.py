"""`distilseg distil`: a model that others trained, scans, and a small student that predicts in its place."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.case import Dataset
from ..data.formats import read_dataset
from ..data.formats.chosen import chosen
from ..errors import UserError, unknown
from ..evaluation.agreement import limits
from ..inference.threads import use_threads
from ..judged_teacher import judge_teacher
from ..names import pasted
from ..progress import duration
from ..recipes import find
from ..recipes.others import OPENING, look_at, opening
from ..runs import Run
from ..teachers.answers import channels_of
from ..teachers.classes import read_joined
from ..teachers.opening import open_teacher
from ..training.agreement import holds_labels, labelled_by_teacher
from ..training.answers import answer_bytes, check_answered, record_answers, unrecorded, warn_of_terms
from ..training.cases import prepare
from ..training.experiment import Experiment, Study
from ..training.foreign import Foreign
from ..training.machine import is_main_process
from ..training.studies import OWN, make_study
from ._train import train


@dataclass(frozen=True)
class Distilled:
    """What came of it: run folders to compare and to predict with."""

    student: Run
    control: Run | None  # the same student on the labels alone, where there are some
    teachers: tuple[Run, ...]  # judged on the same cases

    @property
    def runs(self) -> list[Run]:
        """All of them, the student last."""
        return [*self.teachers, *([self.control] if self.control else []), self.student]


def distil(
    teacher: Path | str | Sequence[Path | str],
    data: Path | str | Dataset,
    *,
    unlabelled: Sequence[Path | str] = (),
    classes: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    recipe: str = "distil",
    say: Callable[[str], object] = lambda line: None,
    **training: Any,
) -> Distilled:
    """Records what `teacher` (one or several models) answers, trains the control and the student, judges all.

    `data` is a dataset, labelled in part or whole; its scans without labels are learned from, and those in
    `unlabelled`. Where nobody labelled any, the teachers' label maps of some scans choose and judge the
    student, which is agreement with them (`training/agreement.py`). `classes` are the student's, by name:
    those of the labels, each alone or made of the teacher's, as kidney=kidney_left+kidney_right; default: all
    of the dataset's labels, without labels all of the teachers'. `say` is told, before anything is trained,
    what the teacher is, what is learned of it, from how many scans, how long it takes and how much disk.
    `options` are those of the recipe (network="student_small"), `training` what `train` takes (minutes=60,
    seed=1, batch_size=4). Raises UserError for what can be mended, before anything is trained.
    """
    planned = _planned(teacher, data, unlabelled, classes, options or {}, recipe, say, training)
    study, experiment, foreign = planned.study, planned.experiment, planned.foreign
    for line in (*_told(foreign, experiment, study), *_cost(foreign, experiment, training)):
        say(line)
    warn_of_terms(foreign, say)
    made = train(
        recipe,
        planned.dataset,
        options=planned.asked,
        unlabelled=planned.unlabelled,
        **{**training, "plan": study.plan, "layout": None},
    )
    judged: tuple[Run, ...] = ()
    if is_main_process() and study.split.test and not planned.dataset.labelled_by:
        runs = training.get("runs", "runs")
        judged = tuple(
            judge_teacher(one, study, runs)
            for one in foreign.values()
            if not one.unanswered(study.split.test)
        )
    return Distilled(made[-1], made[-2] if len(made) > 1 else None, judged)


def record_part(
    teacher: Path | str | Sequence[Path | str],
    data: Path | str | Dataset,
    part: str,
    *,
    unlabelled: Sequence[Path | str] = (),
    classes: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    recipe: str = "distil",
    say: Callable[[str], object] = lambda line: None,
    **training: Any,
) -> int:
    """Records what the teachers answer for one `part` of the scans, such as "3/100", and trains nothing.

    Its other arguments are those of `distil`, which then finds the answers in the same cache. Returns how
    many cases the part has.
    """
    planned = _planned(teacher, data, unlabelled, classes, options or {}, recipe, say, training)
    warn_of_terms(planned.foreign, say)
    check_answered(planned.experiment)
    use_threads(training.get("threads") or 0)
    study, cache, ours = planned.experiment.study, training.get("cache"), chosen(part, None)
    learned = [*study.split.train, *study.unlabelled]
    ids = ours.names(learned)
    say(ours.told(len(ids), len(learned)))
    prepared = prepare(planned.experiment, cache, ids) if ids else {}
    for role, one in planned.foreign.items():
        record_answers(role, one, study.dataset, prepared, cache)
    return len(ids)


@dataclass(frozen=True)
class _Planned:
    """What is learned of whom, before anything is computed."""

    dataset: Dataset
    study: Study
    experiment: Experiment
    foreign: dict[str, Foreign]
    asked: dict[str, Any]  # options of the recipe
    unlabelled: list[Path | str]


def _planned(
    teacher: Path | str | Sequence[Path | str],
    data: Path | str | Dataset,
    unlabelled: Sequence[Path | str],
    classes: Sequence[str],
    options: Mapping[str, Any],
    recipe: str,
    say: Callable[[str], object],
    training: Mapping[str, Any],
) -> _Planned:
    named = [teacher] if isinstance(teacher, str | Path) else list(teacher)
    _check_recipe(recipe)
    look_at({**options, "teacher": named})
    dataset = data if isinstance(data, Dataset) else _read(data, named, classes, options, training)
    if dataset.labelled_by:
        say(limits(dataset.labelled_by))
    dataset = _learned(dataset, classes)
    more: list[Path | str] = [*([OWN] if dataset.unlabelled else []), *unlabelled]
    asked: dict[str, Any] = {
        **options,
        "teacher": [str(one) for one in named],
        "classes": tuple(part for text in classes for part in text.split(",") if "=" in part),
    }
    of_study = ("modalities", "plan", "split", "seed", "split_seed")
    study = make_study(
        dataset, unlabelled=more, **{name: training[name] for name in of_study if name in training}
    )
    experiment = find(recipe)(study, **asked)
    foreign = {role: one for role, one in experiment.teachers.items() if isinstance(one, Foreign)}
    return _Planned(dataset, study, experiment, foreign, asked, more)


def _check_recipe(recipe: str) -> None:
    """Refuses one that does not learn from answers: its teachers have other roles, its classes all heads."""
    if "answer_weight" not in find(recipe).options:
        raise UserError(
            f"the recipe {recipe} is not made of distil, and takes its teachers otherwise",
            f"train it by {pasted('distilseg', 'train', recipe)}; here are distil, distil_hard,"
            " distil_answers, distil_labelled and distil_dsd",
        )


def _read(
    data: Path | str,
    teachers: Sequence[Path | str],
    classes: Sequence[str],
    options: Mapping[str, Any],
    training: Mapping[str, Any],
) -> Dataset:
    """The dataset at `data`; of scans that nobody labelled, some with the teachers' label maps."""
    if not Path(data).exists() or holds_labels(data, training.get("layout")):
        return read_dataset(data, training.get("layout"))
    told = opening(**{name: value for name, value in options.items() if name in OPENING})
    return labelled_by_teacher(
        [open_teacher(one, told.options) for one in teachers],
        data,
        Path(training.get("runs", "runs")) / "answered",
        classes=classes,
        modalities=training.get("modalities") or (),
        teacher_modalities=told.modalities,
        seed=training.get("split_seed", 0),
    )


def _learned(dataset: Dataset, classes: Sequence[str]) -> Dataset:
    """The dataset with the classes that are named; UserError for one that its labels do not know."""
    names, _ = read_joined(classes) if classes else ((), {})
    by_name = {name: value for value, name in dataset.labels.items()}
    for name in names:
        if name not in by_name:
            raise unknown(
                f"class of {dataset.name}'s labels", name, [n for v, n in dataset.labels.items() if v]
            )
    return dataset.of_labels([by_name[name] for name in names]) if names else dataset


def _told(foreign: Mapping[str, Foreign], experiment: Experiment, study: Study) -> list[str]:
    """Who teaches what to whom."""
    lines = []
    for role, one in foreign.items():
        about = one.teacher.provenance
        learned = [
            one_class.name
            if len(one_class.heads) == 1
            else f"{one_class.name} ({' '.join(_signed(one, one_class.heads))})"
            for one_class in one.classes.learned
        ]
        lines += [
            f"{role}: {', '.join(filter(None, (one.teacher.name, about.kind, about.network)))}",
            f"  licence: {about.licence or 'not stated'}",
            f"  it teaches {', '.join(learned)}",
        ]
        known = {one_class.channel for one_class in one.classes.learned}
        if alone := [name for k, name in enumerate(study.plan.classes) if k and k not in known]:
            lines.append(f"  the labels alone teach {', '.join(alone)}")
        if lacking := one.unanswered(study.split.test):
            told = f"{len(lacking)} of {len(study.split.test)}"
            lines.append(f"  it has no answer for {told} test cases, and is not judged")
    own, split = experiment.study, study.split
    lines.append(
        f"student: {experiment.networks['student'].name} on {len(own.split.train)} labelled and"
        f" {len(own.unlabelled)} unlabelled scans; {len(split.validation)} choose its weights,"
        f" {len(split.test)} judge it"
    )
    if experiment.control is not None:
        lines.append(f"control: the same on the {len(split.train)} labelled scans alone")
    return lines


def _signed(one: Foreign, heads: Sequence[tuple[int, int]]) -> list[str]:
    parts = [f"{'-' if sign < 0 else '+'} {one.teacher.heads[head].name}" for head, sign in heads]
    return [parts[0].removeprefix("+ "), *parts[1:]]


def _cost(foreign: Mapping[str, Foreign], experiment: Experiment, training: Mapping[str, Any]) -> list[str]:
    """How long it takes and how much disk: the teachers answer for one case, which is kept."""
    cache = training.get("cache")
    ids = [*experiment.study.split.train, *experiment.study.unlabelled]
    check_answered(experiment)
    prepared = prepare(experiment, cache)
    lines, seconds, waiting, size = [], 0.0, 0, 0
    for role, one in foreign.items():
        if missing := unrecorded(one, {id: prepared[id] for id in ids}, cache):
            start = time.monotonic()
            record_answers(role, one, experiment.study.dataset, {missing[0]: prepared[missing[0]]}, cache)
            seconds += (time.monotonic() - start) * (len(missing) - 1)
            waiting += len(missing) - 1
        size += answer_bytes(one.classes, [prepared[id] for id in ids])
    per_voxel = sum(channels_of(one.classes) for one in foreign.values())
    answers = len(ids) * len(foreign)
    lines.append(
        f"answers: {answers - waiting} of {answers} are there, the others take about {duration(seconds)};"
        f" {size / 1e6:,.0f} MB ({per_voxel} bytes a voxel)"
    )
    if training.get("minutes") is not None:
        trained = 1 + (training.get("control", True) and experiment.control is not None)
        in_all = duration(60 * trained * training["minutes"])
        lines.append(f"training: {trained} x {training['minutes']:g} minutes, {in_all} in all")
    return lines
