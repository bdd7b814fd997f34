"""What a training is asked for: an experiment for every number of subjects and every fold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.case import Dataset
from ..data.planning.plan import Plan
from ..data.planning.splits import Split
from ..recipes import find
from ..recipes.others import look_at
from ..training.budget import Budget
from ..training.experiment import Experiment, Finished, Prototypes, Study
from ..training.foreign import Foreign
from ..training.studies import REST, make_study
from ._subjects import Subjects, sizes_of, studies_of_sizes


@dataclass(frozen=True)
class Asked:
    """The experiments of one command, by the number of training subjects and then by fold."""

    by_size: list[tuple[int | None, list[tuple[Study, Experiment]]]]
    control: bool

    @property
    def own(self) -> Iterator[Experiment]:
        """What the command is about: the recipe's experiments and their views."""
        for _, of_size in self.by_size:
            for _, experiment in of_size:
                yield from (*experiment.views, experiment)

    @property
    def wanted(self) -> list[Experiment]:
        """All that is trained and judged: with what each is compared with before it."""
        return [one for _, of in self.by_size for _, asked in of for one in wanted(asked, self.control)]


def asked(
    recipe: str,
    data: Path | str | Dataset,
    *,
    options: Mapping[str, Any] | None = None,
    layout: str | None = None,
    modalities: Sequence[str] | None = None,
    one_slice_per_subject: str | None = None,
    plan: Path | Plan | None = None,
    split: Path | Split | None = None,
    folds: int | None = None,
    fold: int | None = None,
    subjects: Subjects = None,
    unlabelled: Sequence[Path | str] = (),
    seed: int = 0,
    split_seed: int = 0,
    budget: Budget | None = None,
    control: bool = True,
    settings: Mapping[str, Any],
) -> Asked:
    """The experiments that `train` is asked for, see there. All folds have one plan, if need be the first's.

    Raises UserError for what can be mended. Scans are measured for a plan, and else not read.
    """
    found = find(recipe)
    if "trust_teacher" in found.options:  # it takes teachers by path
        look_at(options or {})

    def study_of(fold: int | None, plan: Path | Plan | None) -> Study:
        return make_study(
            data,
            layout=layout,
            modalities=modalities,
            one_slice_per_subject=one_slice_per_subject,
            plan=plan,
            split=split,
            folds_=folds,
            fold=fold,
            seed=seed,
            split_seed=split_seed,
            unlabelled=unlabelled,
        )

    sizes = sizes_of(subjects)
    first = study_of(fold if fold is not None or folds is None else 0, plan)
    studies = [first]
    if folds is not None and fold is None:
        studies += [study_of(number, first.plan) for number in range(1, folds)]
    by_size = [
        (size, [(study, found(study, **(options or {})).with_settings(budget, **settings)) for study in of])
        for size, of in studies_of_sizes(studies, sizes, seed=split_seed, rest=REST in unlabelled)
    ]
    return Asked(by_size, control)


def wanted(experiment: Experiment, control: bool) -> list[Experiment]:
    """The experiment; before it what it is compared with, teachers and control, and its other views."""
    views = [*experiment.views, experiment]
    if not control:
        return views
    others: list[Experiment | Finished | Foreign | None] = [*experiment.teachers.values()]
    if isinstance(experiment.prototypes, Prototypes):
        others.append(experiment.prototypes.teacher)
    if experiment.continues is not None:
        others.append(experiment.continues.run)
    others.append(experiment.control)
    return [*(one for one in others if isinstance(one, Experiment)), *views]
