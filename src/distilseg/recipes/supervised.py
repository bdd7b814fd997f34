"""Plain supervised training: the undistilled control of every other recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..runtime.inferers import planned_inferer
from ..training.budget import Budget
from ..training.experiment import Experiment, FeatureShapes, Optimisation, Sampling, Study

if TYPE_CHECKING:
    from ..distillation.method import Method

TITLE = "Labels alone: the control of the others"
WHEN = "Pays when labels are many: with 40 labelled volumes or more nothing here was shown to beat it."

LAPTOP = Budget(epochs=30)
# Of AdamW with a cosine to 0, chosen on validation cases: docs/evidence/training-defaults.md. Networks with
# attention or batch norm are less robust.
LEARNING_RATE = 1e-2
GENTLER = {"unetr": 5e-4, "swin_unetr": 1e-3, "vnet": 1e-3, "missu": 1e-3, "transbts": 1e-3, "cotr": 1e-3}


def supervised(
    study: Study, *, network: str = "dynunet", network_options: Mapping[str, Any] | None = None
) -> Experiment:
    """Soft Dice plus cross-entropy on the labels alone."""

    def method(shapes: Mapping[str, FeatureShapes]) -> Method:
        from ..distillation.supervised import Supervised

        return Supervised()

    study, plan = replace(study, unlabelled=()), study.plan
    return Experiment(
        recipe="supervised",
        study=study,
        networks={"student": study.network(network, network_options)},
        method=method,
        budget=LAPTOP,
        sampling=Sampling(batch_size=plan.batch_size),
        optimisation=Optimisation(learning_rate=GENTLER.get(network, LEARNING_RATE)),
        options={"network": network, "network_options": dict(network_options or {})},
        inferer=planned_inferer(plan),
    )
