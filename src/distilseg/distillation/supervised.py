"""Plain supervised training, no teacher: the control every distilled student is compared with.

    L = seg,     seg = soft Dice + cross-entropy of the student's logits

Written as a method so that control and student run through the same loop, log and report.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ..functional.segmentation import dice_cross_entropy
from ..types import Batch, Outputs
from .method import Method, Role, Weight


class Supervised(Method):
    """Soft Dice plus cross-entropy (`functional.segmentation`), background included."""

    paper_weights: Mapping[str, Weight] = {"seg": 1.0}

    def __init__(self, weights: Mapping[str, Weight] | None = None) -> None:
        super().__init__(weights)
        self.roles = {"student": Role()}

    def terms(self, outputs: Mapping[str, Outputs], batch: Batch) -> dict[str, Tensor]:
        return {"seg": dice_cross_entropy(outputs["student"].logits, batch.label)}
