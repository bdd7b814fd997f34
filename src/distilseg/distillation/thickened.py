"""Thickened 2D networks: the paper's objective, Dice alone; cross-entropy beside it where one likes.

    L = overlap (+ cross_entropy)                             `functional.overlap`

No teacher and nothing distilled: a thickened network is a student for other methods. The paper uses no
cross-entropy; its networks begin with ImageNet's weights, and each knows one organ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from torch import Tensor
from torch.nn import functional as F

from ..errors import unknown
from ..functional.known import over_known_pooled
from ..functional.overlap import Reduce, overlap_loss
from ..functional.segmentation import in_full_precision
from ..types import Batch, Outputs
from .method import Method, Role, Weight


class OverlapSupervised(Method):
    """L = overlap + cross_entropy (weight 0 as published), on the labels alone."""

    paper_weights: Mapping[str, Weight] = {"overlap": 1.0, "cross_entropy": 0.0}

    def __init__(self, reduce: Reduce = "sample", weights: Mapping[str, Weight] | None = None) -> None:
        super().__init__(weights)
        if reduce not in get_args(Reduce):
            raise unknown("reduction of the overlap", reduce, get_args(Reduce))
        self.reduce = reduce
        self.roles = {"student": Role()}

    def terms(self, outputs: Mapping[str, Outputs], batch: Batch) -> dict[str, Tensor]:
        logits_BKS = in_full_precision(outputs["student"].logits)
        terms: dict[str, Tensor] = {}
        if self.uses("overlap"):
            terms["overlap"] = overlap_loss(logits_BKS, batch.label, self.reduce)
        if self.uses("cross_entropy"):
            terms["cross_entropy"] = _cross_entropy(logits_BKS, batch.label)
        return terms


@over_known_pooled
def _cross_entropy(logits_BKS: Tensor, label_B1S: Tensor) -> Tensor:
    return F.cross_entropy(logits_BKS, label_B1S[:, 0].long())
