"""MISSU's self-distillation: what the encoder's skips hold teaches the decoder's blocks.

    L = seg + self_distillation
    seg                  soft Dice + cross-entropy of the logits
    self_distillation    Σ_i  1 / (B C_i J_i K_i)  Σ_b,s Σ_c p_t (log p_t − log p_s)
                         p_t, p_s = softmax over the channels of encoder.i (no gradient) and of decoder.i

Wang et al., "MISSU: 3D Medical Image Segmentation via Self-Distilling TransUNet", IEEE TMI 2023, arXiv
2206.00902; the divisor is that of the authors' code (github.com/wangn123/MISSU). It counts the cases, the
channels and the last two axes of space: a volume's term grows with its first axis, an image's with none.
`counted_axes="first"` counts the first two, as this package once did; in cubes and images both are equal.
Which loss on the labels goes with it, and its weight, are not known to us; the weight is 1 here.

In the network `missu` the skip is taken after its multi-scale fusion, which the paper describes and its code
lacks. No gradient passes through the teacher: fusion learns by way of the decoder that it feeds.

Axes: B cases, C channels, (I) J K space, *S all of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

from ..errors import UserError, unknown
from ..functional.divergence import soft_label_divergence
from ..functional.segmentation import dice_cross_entropy
from ..types import Batch, Outputs
from .method import Method, Role, Weight

CountedAxes = Literal["last", "first"]


class MISSU(Method):
    """L = seg + self_distillation, see the module's text.

    `feature_shapes`: the student's, name -> [B C *s]. Every level that has both `encoder.i` and `decoder.i`
    takes part; UserError if there is none, or if the two differ in their channels. `counted_axes`: which
    two axes of space the divisor counts.
    """

    paper_weights: Mapping[str, Weight] = {"seg": 1.0, "self_distillation": 1.0}

    def __init__(
        self,
        feature_shapes: Mapping[str, tuple[int, ...]],
        *,
        counted_axes: CountedAxes = "last",
        weights: Mapping[str, Weight] | None = None,
    ) -> None:
        super().__init__(weights)
        if counted_axes not in get_args(CountedAxes):
            raise unknown("choice of counted axes", counted_axes, get_args(CountedAxes))
        self.counted_axes = counted_axes
        pairs = tuple(
            (name, teacher)
            for name in feature_shapes
            if name.startswith("decoder.")
            and (teacher := name.replace("decoder", "encoder")) in feature_shapes
        )
        self.pairs = pairs if self.uses("self_distillation") else ()
        if self.uses("self_distillation"):
            _check(self.pairs, feature_shapes)
        self.roles = {"student": Role(tuple(name for pair in self.pairs for name in pair))}

    def terms(self, outputs: Mapping[str, Outputs], batch: Batch) -> dict[str, Tensor]:
        student = outputs["student"]
        terms = {}
        if self.uses("seg"):
            terms["seg"] = dice_cross_entropy(student.logits, batch.label)
        if self.uses("self_distillation"):
            levels = [
                channel_divergence(student[name], student[teacher], self.counted_axes)
                for name, teacher in self.pairs
            ]
            terms["self_distillation"] = torch.stack(levels).sum()
        return terms


def channel_divergence(
    student_BCS: Tensor, teacher_BCS: Tensor, counted_axes: CountedAxes = "last"
) -> Tensor:
    """KL(teacher ‖ student) of channel softmaxes, summed, over (cases x channels x two axes); []."""
    _, channels, *space = student_BCS.shape
    per_voxel = soft_label_divergence([student_BCS], teacher_BCS.detach())
    others = space[:-2] if counted_axes == "last" else space[2:]
    return per_voxel * (math.prod(others) / channels)


def _check(pairs: tuple[tuple[str, str], ...], shapes: Mapping[str, tuple[int, ...]]) -> None:
    if not pairs:
        raise UserError(
            f"self-distillation needs a level with an encoder and a decoder feature, found {sorted(shapes)}",
            "choose a U-shaped network, or leave the term out with self_distillation 0",
        )
    for name, teacher in pairs:
        if shapes[name][1:] != shapes[teacher][1:]:
            raise UserError(
                f"{name} is {list(shapes[name][1:])} and its teacher {teacher} {list(shapes[teacher][1:])}:"
                " channels and voxels are compared one by one",
                "choose a network whose two sides have the same channels, such as missu or dynunet",
            )
