"""Plain supervised training: the undistilled control of every other recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..training.budget import Budget
from ..training.experiment import Experiment, FeatureShapes, Sampling, Study

if TYPE_CHECKING:
    from ..distillation.method import Method

LAPTOP = Budget(epochs=30)


def supervised(
    study: Study, *, network: str = "dynunet", network_options: Mapping[str, Any] | None = None
) -> Experiment:
    """Soft Dice plus cross-entropy on the labels alone."""

    def method(shapes: Mapping[str, FeatureShapes]) -> Method:
        from ..distillation.supervised import Supervised

        return Supervised()

    plan = study.plan
    return Experiment(
        recipe="supervised",
        study=study,
        networks={"student": study.network(network, network_options)},
        method=method,
        budget=LAPTOP,
        sampling=Sampling(batch_size=plan.batch_size),
        options={"network": network, "network_options": dict(network_options or {})},
        inferer={"kind": "sliding_window", "patch": list(plan.patch), "overlap": 0.25, "blend": "gaussian"},
    )
