"""Settings as published, in place of a laptop's: what the recipes of a paper's own data share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..data.planning.decide import DEFAULT_LEVELS
from ..data.planning.levels import level_strides
from ..data.planning.normalisation import Normalisation
from ..training.experiment import Experiment, Study


def planned(
    base: Study,
    normalisation: Normalisation | Mapping[str, Normalisation],
    patch: tuple[int, ...],
    **fields: Any,
) -> Study:
    """The study `base` with a paper's patch, halved four times, a normalisation for all modalities or for
    those that are named, and other `fields` of the plan."""
    if isinstance(normalisation, Normalisation):
        normalisation = dict.fromkeys(base.plan.modalities, normalisation)
    plan = base.plan.model_copy(
        update={
            "normalisation": {
                name: normalisation.get(name, own) for name, own in base.plan.normalisation.items()
            },
            "patch": patch,
            "strides": ((1, 1, 1), *((2, 2, 2),) * 4),
            "reasons": {**base.plan.reasons, "patch": "as published"},
            **fields,
        }
    )
    return replace(base, plan=plan)


def resampled(patch: tuple[int, ...], spacing_mm: tuple[float, ...]) -> dict[str, Any]:
    """Fields of a plan with that spacing, strided for the patch."""
    strides = level_strides(np.array(patch, float), spacing_mm, DEFAULT_LEVELS, whole=True)
    return {"spacing_mm": spacing_mm, "strides": strides}


def of_labels(base: Study, names: Collection[str]) -> Study:
    """The study `base` with the classes `names` and the background, to which all others then count."""
    dataset = base.dataset.of_labels({value for value, name in base.dataset.labels.items() if name in names})
    return replace(base, dataset=dataset, plan=base.plan.model_copy(update={"labels": dataset.labels}))


def as_published(experiment: Experiment, settings: Mapping[str, Any]) -> Experiment:
    """The experiment, its control, its other views and the teachers that it trains, with `settings`: fields
    of Experiment."""
    teachers = {
        role: as_published(teacher, settings) if isinstance(teacher, Experiment) else teacher
        for role, teacher in experiment.teachers.items()
    }
    control = experiment.control and as_published(experiment.control, settings)
    views = tuple(as_published(view, settings) for view in experiment.views)
    return replace(experiment, control=control, teachers=teachers, views=views, **settings)
