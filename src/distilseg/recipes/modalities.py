"""Students that see some of the modalities: which, and where those stand in the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import unknown
from ..training.experiment import Experiment, FeatureShapes, Study

if TYPE_CHECKING:
    from ..distillation.method import Method


def named_modalities(named: Sequence[str], study: Study) -> tuple[str, ...]:
    """Those named, in the order of the plan; raises UserError for others."""
    known = study.plan.modalities
    named = (named,) if isinstance(named, str) else named
    for name in named:
        if name not in known:
            raise unknown("modality of the student", name, known)
    return tuple(name for name in known if name in named)


def modality_indices(sees: Sequence[str], study: Study) -> tuple[int, ...]:
    """Where the seen modalities stand in the image; () sees all."""
    return tuple(study.plan.modalities.index(name) for name in sees or study.plan.modalities)


def seeing(experiment: Experiment, sees: Sequence[str]) -> Experiment:
    """The experiment with a student that is shown these modalities."""
    whole = experiment.networks["student"]
    shown = experiment.study.network(whole.name, whole.options, experiment.answers, sees)
    plain = experiment.method
    indices = modality_indices(sees, experiment.study)

    def method(shapes: Mapping[str, FeatureShapes]) -> Method:
        from ..distillation.method import Modalities, Role

        made = plain(shapes)
        own = made.roles["student"]
        made.roles = {**made.roles, "student": Role(own.taps, Modalities(indices), own.trained)}
        return made

    return replace(experiment, networks={"student": shown}, sees=tuple(sees), method=method)
