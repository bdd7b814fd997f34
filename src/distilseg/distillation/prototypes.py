"""Prototypes of a 3D teacher for a 2D student that never sees its volumes.

    L     = seg + β (inter + intra),                                         β = 0.5
    seg   = 0.4 CE + 0.6 Dice, its denominator squared                       (`functional.squared_dice`)
    inter = the centroid of each class against the teacher's                 (equation 3; `functional.dist`)
    intra = each channel across the classes against the teacher's            (equation 4)

The teacher is not here: its prototypes Z_t [K C] were averaged once over its own data set
(`training.prototypes`) and are a constant. The student's are the centroids of its logits under the slice's
own label. No code of the framework was published. Where the text is silent:

- What is correlated. The centroids as they are; `activation="softmax_after_mean"` takes their softmax over
  the channels, "softmax_before_mean" centroids of the softmax, as the teacher's then must be too.
- Absent classes. Only classes that the slice holds are compared. `present_only=False` takes an absent class's
  centroid for 0: a constant in inter, a point of every channel in intra.
- `granularity="flat"`, a literal reading of d(X_s, X_t): one correlation of the whole matrix. It does not
  tell rows from columns, so inter and intra are the same number.
- The background is a class. `include_background=False` leaves out its row; its channel stays.
- Sizes. Logits are enlarged to the label; `resize="label"` takes the label at their pixels instead.
- `segmentation="dice_ce"` is the students' loss in the other recipes (`functional.segmentation`).
- `feature`: another map than the logits, such as "decoder.0", against prototypes of a map of the teacher's.
  Its channels mean nothing to the other network: a 1x1 convolution, which is not shipped, is learned.

Classes that the two sets share only in part: `classes` and `channels` say which of the student's the rows and
columns of the prototypes are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ..errors import UserError, unknown
from ..functional.dist import FLOOR, Resize, class_centroids, flat_distance, inter_class, intra_class
from ..functional.known import labelled_cases
from ..functional.segmentation import dice_cross_entropy, in_full_precision
from ..functional.squared_dice import squared_dice_cross_entropy
from ..types import Batch, Outputs
from .method import Method, Role, Weight

Activation = Literal["none", "softmax_after_mean", "softmax_before_mean"]
Granularity = Literal["rows_and_columns", "flat"]
Segmentation = Literal["squared_dice_ce", "dice_ce"]


class Prototypes(Method):
    """L = seg + 0.5 inter + 0.5 intra, see the module's text.

    `values_KC` [K C], finite, and `valid_K` [K], bool: the teacher's prototypes and which of them exist.
    `classes` [K], `channels` [C]: class indices and logits of the student that they stand for; None: all, in
    order. `student_channels`: of the student's `feature`, where that is not the logits. Wrong options and
    prototypes that compare nothing raise UserError.
    """

    paper_weights: Mapping[str, Weight] = {"seg": 1.0, "inter": 0.5, "intra": 0.5}
    values_KC: Tensor
    valid_K: Tensor

    def __init__(
        self,
        values_KC: Tensor,
        valid_K: Tensor,
        *,
        classes: Sequence[int] | None = None,
        channels: Sequence[int] | None = None,
        feature: str = "logits",
        student_channels: int | None = None,
        activation: Activation = "none",
        granularity: Granularity = "rows_and_columns",
        present_only: bool = True,
        include_background: bool = True,
        resize: Resize = "features",
        segmentation: Segmentation = "squared_dice_ce",
        floor: float = FLOOR,
        weights: Mapping[str, Weight] | None = None,
    ) -> None:
        super().__init__(weights)
        for name, value, choices in (
            ("activation", activation, get_args(Activation)),
            ("granularity", granularity, get_args(Granularity)),
            ("thing to resize", resize, get_args(Resize)),
            ("segmentation loss", segmentation, get_args(Segmentation)),
        ):
            if value not in choices:
                raise unknown(name, value, choices)
        if not floor > 0:
            raise UserError(f"the floor of the variance is {floor}", "give a number above 0, such as 1e-6")
        K, C = values_KC.shape
        self.classes = tuple(range(K)) if classes is None else tuple(classes)
        self.channels = tuple(range(C)) if channels is None else tuple(channels)
        if (len(self.classes), len(self.channels), len(valid_K)) != (K, C, K):
            raise ValueError(
                f"prototypes of {K} classes and {C} channels, {len(valid_K)} of them flagged, for"
                f" {len(self.classes)} classes and {len(self.channels)} channels of the student"
            )
        counted_K = torch.tensor([include_background or k > 0 for k in self.classes])
        valid_K = valid_K.cpu() & counted_K
        if not valid_K.any() and (self.uses("inter") or self.uses("intra")):
            raise UserError(
                "no class has a prototype", "fit them on cases whose labels hold the student's classes"
            )
        self.register_buffer("values_KC", torch.where(valid_K[:, None], values_KC.detach().cpu(), 0.0))
        self.register_buffer("valid_K", valid_K)
        self.feature, self.activation, self.granularity = feature, activation, granularity
        self.present_only, self.floor = present_only, floor
        self.resize: Resize = resize
        self.segmentation = segmentation
        compared = self.uses("inter") or self.uses("intra")
        self.projection: nn.Module | None = None
        if feature != "logits" and compared:
            if student_channels is None:
                raise ValueError(f"how many channels the student's {feature} has is not said")
            self.projection = nn.Conv2d(student_channels, C, 1)
        self.roles = {"student": Role((feature,) if self.projection is not None else ())}

    def terms(self, outputs: Mapping[str, Outputs], batch: Batch) -> dict[str, Tensor]:
        student = outputs["student"]
        terms: dict[str, Tensor] = {}
        if self.uses("seg"):
            loss = dice_cross_entropy if self.segmentation == "dice_ce" else squared_dice_cross_entropy
            terms["seg"] = loss(student.logits, batch.label)
        distances = {"inter": inter_class, "intra": intra_class}
        if wanted := [name for name in distances if self.uses(name)]:
            compared = self._compared(student, batch.label)
            for name in wanted:
                distance = flat_distance if self.granularity == "flat" else distances[name]
                terms[name] = distance(*compared, self.floor)
        return terms

    def _compared(self, student: Outputs, label_B1S: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The student's prototypes [B K C], the teacher's [K C], and which classes are compared [B K]."""
        if self.projection is None:
            feature_BCs = in_full_precision(student.logits)
        else:
            feature_BCs = in_full_precision(self.projection(student[self.feature]))
        if self.activation == "softmax_before_mean":
            feature_BCs = feature_BCs.softmax(1)
        if self.projection is None:
            feature_BCs = feature_BCs[:, list(self.channels)]
        count = student.logits.shape[1]
        own_BKC, present_BK = class_centroids(feature_BCs, label_B1S, count, resize=self.resize)
        own_BKC, present_BK = own_BKC[:, list(self.classes)], present_BK[:, list(self.classes)]
        rows_BK = present_BK & self.valid_K if self.present_only else self.valid_K.expand_as(present_BK)
        rows_BK = rows_BK & labelled_cases(label_B1S)[:, None]  # a centroid is of labelled voxels
        theirs_KC = self.values_KC.to(own_BKC.dtype)
        if self.activation == "softmax_after_mean":
            own_BKC, theirs_KC = own_BKC.softmax(-1), theirs_KC.softmax(-1)
        return own_BKC, theirs_KC, rows_BK
