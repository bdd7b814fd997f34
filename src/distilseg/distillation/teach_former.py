"""Teach-Former: several teachers of different architectures, one slim student.

    L   = SEG + AFS + PWD                                         all weights 1
    SEG = focal + (1 − Dice) of the foreground                    (equation 3; `functional.focal`)
    AFS = Σ_t distance(P_s, P_t) + distance(Q_s, Q_t)             (equation 1; `functional.attention`)
    PWD = Σ_t mean over b, s of KL(O_s ‖ O_t)                     (equation 2)

P is the coarse map (the bottleneck), Q the fine one (the last decoder's), O the class probabilities of the
full resolution. The authors' repository holds no training code; H-DenseFormer's framework, whose counts the
paper's tables match, serves for what the text leaves open. Teachers are frozen. Ablations are weights of 0
and subsets of teachers.

Where text and practice differ, or the text is silent:

- Order of the KL. As written the student comes first: `order="paper"`, KL(s‖t). "hinton" is KL(t‖s). Both in
  log space from logits, without temperature.
- Channels. `matching`, see `functional.attention`; "conv1x1" learns a projection of the student's map to the
  teacher's channels, which is this method's and is not shipped.
- Focal loss. γ = 2, α = 1 and the mean over all elements are H-DenseFormer's; `focal_norm="voxel"`.
- Which voxels. H-DenseFormer has a Dice of each case and a focal loss of all classes. The text has one map of
  the foreground; read so, `dice="global"` and `focal="foreground"`, see `functional.focal`.
- Deep supervision. H-DenseFormer's networks answer at /2, /4 and /8 too (`side.1` …): they are supervised
  with weights 1/2, 1/4, 1/8 by labels taken at the nearest voxel, where the student has them and
  `deep_supervision` is not 0. PWD uses the full resolution only.
- `afs_scale` multiplies AFS, which is about 1e-4: 1 is the paper's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError, unknown
from ..functional.attention import Matching, attention_distance
from ..functional.divergence import kl_divergence, log_soft_labels
from ..functional.focal import DiceOver, FocalClasses, FocalNorm, focal_dice
from ..types import Batch, Outputs
from .method import Method, Modalities, Role, Weight, whole_image

ChannelMatching = Literal["student_to_teacher", "teacher_to_student", "channel_collapse", "conv1x1"]
Order = Literal["paper", "hinton"]
Shapes = Mapping[str, Mapping[str, tuple[int, ...]]]  # role -> feature -> [B C *s]
COARSE, FINE = "bottleneck", "decoder.0"  # where a network has no decoder.0, its finest decoder feature


class TeachFormer(Method):
    """L = seg + attention + soft_labels (+ deep_supervision), see the module's text.

    `feature_shapes`: by role, feature name -> [B C *s]; `teachers`: their roles' names; `student_sees`:
    indices of the modalities that the student is shown, if not all. Wrong options, and networks without the
    two maps where `attention` is used, raise UserError.
    """

    paper_weights: Mapping[str, Weight] = {
        "seg": 1.0,
        "attention": 1.0,
        "soft_labels": 1.0,
        "deep_supervision": 1.0,
    }

    def __init__(
        self,
        feature_shapes: Shapes,
        teachers: Sequence[str],
        *,
        matching: ChannelMatching = "student_to_teacher",
        order: Order = "paper",
        afs_scale: float = 1.0,
        gamma: float = 2.0,
        focal_norm: FocalNorm = "element",
        dice: DiceOver = "case",
        focal: FocalClasses = "all",
        student_sees: Sequence[int] | None = None,
        weights: Mapping[str, Weight] | None = None,
    ) -> None:
        super().__init__(weights)
        for name, value, choices in (
            ("way to match channels", matching, get_args(ChannelMatching)),
            ("order of the divergence", order, get_args(Order)),
            ("mean of the focal loss", focal_norm, get_args(FocalNorm)),
            ("range of the Dice", dice, get_args(DiceOver)),
            ("classes of the focal loss", focal, get_args(FocalClasses)),
        ):
            if value not in choices:
                raise unknown(name, value, choices)
        taught = self.uses("attention") or self.uses("soft_labels")
        if taught and not teachers:
            raise UserError(
                "there is no teacher", "name some, or give attention and soft_labels the weight 0"
            )
        self.teachers = tuple(teachers) if taught else ()
        self.order, self.afs_scale = order, afs_scale
        self.gamma, self.focal_norm, self.focal, self.dice = gamma, focal_norm, focal, dice
        self.taps = {
            role: _maps_of(feature_shapes.get(role, {}), role) if self.uses("attention") else ()
            for role in ("student", *self.teachers)
        }
        student = feature_shapes.get("student", {})
        sides = sorted(name for name in student if re.fullmatch(r"side\.\d+", name))
        self.sides = tuple(sides) if self.uses("deep_supervision") else ()
        shown = whole_image if student_sees is None else Modalities(tuple(student_sees))
        self.roles = {
            "student": Role((*self.taps["student"], *self.sides), shown),
            **{teacher: Role(self.taps[teacher]) for teacher in self.teachers},
        }
        self.matching: Matching = "student_to_teacher" if matching == "conv1x1" else matching
        self.projections = nn.ModuleDict(
            {
                _key(teacher, theirs): _projection(student[own], feature_shapes[teacher][theirs])
                for teacher in self.teachers
                for own, theirs in self._pairs(teacher)
                if matching == "conv1x1"
            }
        )

    def terms(self, outputs: Mapping[str, Outputs], batch: Batch) -> dict[str, Tensor]:
        student = outputs["student"]
        terms: dict[str, Tensor] = {}
        if self.uses("seg"):
            terms["seg"] = self._seg(student.logits, batch.label)
        if self.uses("attention"):
            terms["attention"] = self.afs_scale * _sum(
                self._distance(student[own], outputs[teacher][theirs], _key(teacher, theirs))
                for teacher in self.teachers
                for own, theirs in self._pairs(teacher)
            )
        if self.uses("soft_labels"):
            log_student_BKS = log_soft_labels(student.logits)
            terms["soft_labels"] = _sum(
                self._divergence(log_student_BKS, log_soft_labels(outputs[teacher].logits))
                for teacher in self.teachers
            )
        if self.uses("deep_supervision"):
            none = student.logits.new_zeros(())
            terms["deep_supervision"] = _sum(
                (none, *(self._side(student[s], batch.label, s) for s in self.sides))
            )
        return terms

    def _pairs(self, teacher: str) -> list[tuple[str, str]]:
        """The student's and the teacher's coarse map, then their fine ones."""
        return list(zip(self.taps["student"], self.taps[teacher], strict=True))

    def _seg(self, logits_BKS: Tensor, label_B1S: Tensor) -> Tensor:
        return focal_dice(
            logits_BKS,
            label_B1S,
            gamma=self.gamma,
            norm=self.focal_norm,
            classes=self.focal,
            dice=self.dice,
        )

    def _side(self, logits_BKs: Tensor, label_B1S: Tensor, name: str) -> Tensor:
        label_B1s = F.interpolate(label_B1S.float(), logits_BKs.shape[2:], mode="nearest").to(label_B1S.dtype)
        return self._seg(logits_BKs, label_B1s) * 0.5 ** int(name.partition(".")[2])

    def _distance(self, student_BCs: Tensor, teacher_BCs: Tensor, key: str) -> Tensor:
        if key in self.projections:
            student_BCs = self.projections[key](student_BCs)
        return attention_distance(student_BCs, teacher_BCs, self.matching)

    def _divergence(self, log_student_BKS: Tensor, log_teacher_BKS: Tensor) -> Tensor:
        if self.order == "hinton":
            return kl_divergence([log_student_BKS], log_teacher_BKS)
        return kl_divergence([log_teacher_BKS], log_student_BKS)  # KL(s‖t): the student is the reference


def _maps_of(offered: Mapping[str, tuple[int, ...]], role: str) -> tuple[str, str]:
    """The names of a network's coarse and fine map."""
    levels = sorted(int(match[1]) for name in offered if (match := re.fullmatch(r"decoder\.(\d+)", name)))
    fine = f"decoder.{levels[0]}" if levels else FINE
    for name in (COARSE, fine):
        if name not in offered:
            raise UserError(
                f"the network of {role} offers no {name} (it offers {', '.join(offered) or 'no feature'}),"
                " which the term 'attention' compares",
                "choose another network, or leave the term out",
            )
    return COARSE, fine


def _projection(student: tuple[int, ...], teacher: tuple[int, ...]) -> nn.Module:
    convolution = nn.Conv3d if len(student) == 5 else nn.Conv2d
    return convolution(student[1], teacher[1], 1)


def _key(teacher: str, tap: str) -> str:
    """A name that a module may have."""
    return f"{teacher} {tap}".replace(".", "_")


def _sum(values: object) -> Tensor:
    total: Tensor = sum(values)  # type: ignore[call-overload]
    return total
