"""KD-Net: a teacher that sees every modality, a student that sees some.

    L     = (1 − λ) L_GT + λ L_KD + α L_KL,                       λ = 0.75, α = 10          (equation 4)
    L_GT  = (1 − Dice(y, p)) + BCE(y, p)                          y the reference           (equation 1)
    L_KD  = (1 − Dice(s, p)) + BCE(s*, p)                         s = σ(z_t / T), T = 5     (equation 2)
    L_KL  = Σ_j q_j log(q_j / p_j)                                of the two bottlenecks    (equation 3)

Hu, Maillard, Zhang, Ciceri, La Barbera, Bloch, Gori, "Knowledge Distillation from Multi-modal to Mono-modal
Segmentation Networks", MICCAI 2020, arXiv 2106.09564. No code was published. p = σ(z_s) has no temperature
and there is no T². Ablations are weights of 0, and what they do not need is neither run nor tapped: the
control and the teacher keep L_GT alone.

What the paper leaves open, and what is chosen here:

- σ. Softmax over the classes, as in its figure; or, with `regions`, a sigmoid for each overlapping region.
- s*. The binarised teacher: the class with the highest logit, z_t > 0 for regions. (Thresholding s at 1/2
  after T = 5 would erase almost everything.)
- Background. A class like any other; `include_background=False` leaves it out of Dice and BCE.
- Normalising the bottleneck. `latent`: softmax over a case, over channels, or |x| / Σ|x|
  (`functional.latent`).
- Sums. Over the elements of a case; over cases a mean, or `reduction="sum"`.
- Shapes. In the paper both bottlenecks have the same. Where they differ, the student's is brought to the
  teacher's by a learned 1×1×1 convolution and linear interpolation: this method's, and not shipped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError, unknown
from ..functional import binary, latent
from ..functional.known import over_known
from ..functional.segmentation import in_full_precision, one_hot
from ..types import Batch, Outputs
from .method import Method, Modalities, Role, Weight

Reduction = Literal["mean", "sum"]
BOTTLENECK = "bottleneck"


class KDNet(Method):
    """L = seg + soft_labels + latent, see the module's text.

    `feature_shapes`: by role, feature name -> [B C *s]; only bottlenecks are looked at, and only if the term
    `latent` is used. `student_sees`: indices of the modalities that the student is shown. `regions`: class
    indices of each overlapping region, outermost first, if the networks answer regions instead of classes.
    `teacher` is the teacher's role.
    Raises UserError for options that do not fit together.
    """

    paper_weights: Mapping[str, Weight] = {"seg": 0.25, "soft_labels": 0.75, "latent": 10.0}

    def __init__(
        self,
        feature_shapes: Mapping[str, Mapping[str, tuple[int, ...]]],
        student_sees: Sequence[int],
        *,
        regions: Sequence[Sequence[int]] | None = None,
        include_background: bool = True,
        temperature: float = 5.0,
        latent: latent.Normalisation = "softmax",
        reduction: Reduction = "mean",
        teacher: str = "teacher",
        weights: Mapping[str, Weight] | None = None,
    ) -> None:
        super().__init__(weights)
        _check(latent, reduction, temperature, student_sees)
        self.activation: binary.Activation = "softmax" if regions is None else "sigmoid"
        self.regions = None if regions is None else tuple(map(tuple, regions))
        self.first = 0 if include_background or regions is not None else 1
        self.temperature, self.latent, self.reduction = temperature, latent, reduction
        self.teacher = teacher

        taps = (BOTTLENECK,) if self.uses("latent") else ()
        roles = {"student": Role(taps, Modalities(tuple(student_sees)))}
        if self.uses("latent") or self.uses("soft_labels"):
            roles[teacher] = Role(taps)
        self.roles = roles
        self.projection: nn.Conv3d | nn.Conv2d | None = None
        if taps:
            self.projection = _projection(
                *(_bottleneck(feature_shapes, role) for role in ("student", teacher))
            )

    def terms(self, outputs: Mapping[str, Outputs], batch: Batch) -> dict[str, Tensor]:
        student = outputs["student"]
        terms: dict[str, Tensor] = {}
        if self.uses("seg"):
            terms["seg"] = over_known(self._seg)(student.logits, batch.label)
        if self.uses("soft_labels"):
            teacher_BRS = outputs[self.teacher].logits
            soft_BRS = binary.probabilities(teacher_BRS, self.activation, self.temperature)
            hard_BRS = binary.hard_labels(teacher_BRS, self.activation)
            terms["soft_labels"] = self._dice_and_bce(student.logits, soft_BRS, hard_BRS)
        if self.uses("latent"):
            of_student, of_teacher = student[BOTTLENECK], outputs[self.teacher][BOTTLENECK]
            terms["latent"] = latent.latent_divergence(
                self._projected(of_student, of_teacher), of_teacher, self.latent
            )
        cases = len(batch.image) if self.reduction == "sum" else 1
        return {name: term * cases for name, term in terms.items()}

    def _seg(self, logits_BRS: Tensor, label_B1S: Tensor) -> Tensor:
        reference_BRS = self._reference(label_B1S, logits_BRS)
        return self._dice_and_bce(logits_BRS, reference_BRS, reference_BRS)

    def _reference(self, label_B1S: Tensor, logits_BRS: Tensor) -> Tensor:
        if self.regions is not None:
            return binary.region_masks(label_B1S, self.regions, like=logits_BRS)
        return one_hot(label_B1S, logits_BRS.shape[1], like=logits_BRS)

    def _dice_and_bce(self, logits_BRS: Tensor, overlap_BRS: Tensor, target_BRS: Tensor) -> Tensor:
        return binary.dice_and_binary_cross_entropy(
            logits_BRS, overlap_BRS, target_BRS, self.activation, self.first
        )

    def _projected(self, student_BCs: Tensor, teacher_BCs: Tensor) -> Tensor:
        """The student's bottleneck in the teacher's shape."""
        if self.projection is None:
            return student_BCs
        student_BCs = in_full_precision(self.projection(student_BCs))
        mode = {4: "bilinear", 5: "trilinear"}[student_BCs.ndim]
        return F.interpolate(student_BCs, teacher_BCs.shape[2:], mode=mode, align_corners=False)


def _bottleneck(feature_shapes: Mapping[str, Mapping[str, tuple[int, ...]]], role: str) -> tuple[int, ...]:
    shapes = feature_shapes.get(role, {})
    if BOTTLENECK not in shapes:
        raise UserError(
            f"the {role}'s network offers no bottleneck (it offers {', '.join(shapes) or 'no feature'}),"
            " which the term 'latent' compares",
            "declare its features, choose another network, or leave the term out with alpha 0",
        )
    return shapes[BOTTLENECK]


def _projection(student: tuple[int, ...], teacher: tuple[int, ...]) -> nn.Conv3d | nn.Conv2d | None:
    """None where the bottlenecks [B C *s] have one shape, as in the paper."""
    if student[1:] == teacher[1:]:
        return None
    convolution = nn.Conv3d if len(student) == 5 else nn.Conv2d
    return convolution(student[1], teacher[1], 1)


def _check(how: str, reduction: str, temperature: float, student_sees: Sequence[int]) -> None:
    if how not in get_args(latent.Normalisation):
        raise unknown("normalisation of the latent vector", how, get_args(latent.Normalisation))
    if reduction not in get_args(Reduction):
        raise unknown("reduction", reduction, get_args(Reduction))
    if not temperature > 0:
        raise UserError(f"the temperature is {temperature}", "give a number above 0")
    if not student_sees:
        raise UserError("the student sees no modality", "name at least one, such as --student-sees CT")
