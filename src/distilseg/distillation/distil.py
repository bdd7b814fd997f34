"""Distillation from answers: a student learns what recorded teachers say of every voxel, labelled or not.

    L    = L_GT + sum over teachers t of  λ L_KL,t + μ L_D,t                       λ = μ = 1
    L_GT = soft Dice + cross-entropy, over the voxels that have a label
    L_KL = T² mean over voxels of  Σ_g p_g^(T) log(p_g^(T) / q_g^(T)),             p^(T) ~ p^(1/T)
    L_D  = mean over g of  1 − (2 Σ_s p_g q_g + ε) / (Σ_s p_g + Σ_s q_g + ε)

p is the teacher's answer and q the student's, both as probabilities of the groups g that both know: each
class that the student learns of this teacher, and the rest, in which a class that this teacher does not know
may lie (q of the rest is the sum over its classes). The divergence is that of Hinton, Vinyals and Dean,
"Distilling the Knowledge in a Neural Network", arXiv 1503.02531; the Dice of soft labels beside it keeps
small structures from drowning in the background, as it does for labels.

Choices:

- `hard`: the teacher's likeliest group is taken as a label, soft Dice + cross-entropy in place of both terms.
- `confidence`: voxels at which the teacher is less sure than that are left out (of hard answers).
- Ranked answers hold the m likeliest groups. The others are one more group, of the probability that is left.
- Regions (sigmoid): each region against its complement; L_KL is their mean.

Answers are given for the image before augmentation and moved with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import UserError
from ..functional.likely import likely_and_sums
from ..functional.segmentation import SMOOTH, dice_cross_entropy, in_full_precision
from ..types import UNKNOWN, Batch, Outputs
from .method import Method, Role, Weight

Kept = Literal["whole", "ranked", "regions"]
LEAST = 1e-6  # of a probability, in a logarithm


@dataclass(frozen=True)
class Answers:
    """What a teacher's answers are of."""

    groups: tuple[tuple[int, ...], ...]  # the student's channels of each
    kept: Kept  # all groups' log-probabilities; the likeliest groups' numbers and log-probabilities; logits


class Distil(Method):
    """L = seg + soft_labels + overlap, or seg + hard_labels; see the module's text.

    `answers`: by the teacher's role, what it answers. Raises UserError for a temperature or a confidence that
    is none.
    """

    paper_weights: Mapping[str, Weight] = {
        "seg": 1.0,
        "soft_labels": 1.0,
        "overlap": 1.0,
        "hard_labels": 0.0,
    }

    def __init__(
        self,
        answers: Mapping[str, Answers],
        *,
        temperature: float = 1.0,
        confidence: float = 0.0,
        weights: Mapping[str, Weight] | None = None,
    ) -> None:
        super().__init__(weights)
        check_numbers(temperature, confidence)
        self.answers, self.temperature, self.confidence = dict(answers), temperature, confidence
        taught = any(self.uses(term) for term in ("soft_labels", "overlap", "hard_labels"))
        self.roles = {"student": Role(), **(dict.fromkeys(self.answers, Role()) if taught else {})}

    def terms(self, outputs: Mapping[str, Outputs], batch: Batch) -> dict[str, Tensor]:
        student_BKS = outputs["student"].logits
        terms: dict[str, list[Tensor]] = {}
        if self.uses("seg"):
            terms["seg"] = [dice_cross_entropy(student_BKS, batch.label)]
        for role in self.roles.keys() - {"student"}:
            about, given_BCS = self.answers[role], outputs[role].logits
            with torch.autocast(student_BKS.device.type, enabled=False):
                for name, term in self._of_teacher(about, given_BCS, in_full_precision(student_BKS)).items():
                    terms.setdefault(name, []).append(term)
        return {name: torch.stack(each).sum() for name, each in terms.items()}

    def _of_teacher(self, about: Answers, given_BCS: Tensor, student_BKS: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        compared: _Whole | _Ranked | _Regions
        if about.kept == "regions":
            compared = _Regions(given_BCS, student_BKS, about.groups)
        elif about.kept == "ranked":
            compared = _Ranked(given_BCS, joined(student_BKS, about.groups))
        else:
            compared = _Whole(given_BCS, grouped(student_BKS, about.groups))
        if self.uses("soft_labels"):
            found["soft_labels"] = compared.divergence(self.temperature)
        if self.uses("overlap"):
            found["overlap"] = compared.overlap()
        if self.uses("hard_labels"):
            found["hard_labels"] = compared.hard(self.confidence)
        return found


def check_numbers(temperature: float, confidence: float) -> None:
    """Raises UserError for a temperature or a confidence that is none."""
    if not 0 < temperature < math.inf:
        raise UserError(f"the temperature is {temperature}", "give a number above 0")
    if not 0 <= confidence < 1:
        raise UserError(f"the confidence is {confidence}", "give a number from 0 to below 1")


def grouped(logits_BKS: Tensor, groups: Sequence[Sequence[int]]) -> Tensor:
    """Log-probabilities [B G *S] of groups of classes, from the logits of all classes."""
    return joined(logits_BKS, groups).log_softmax(1)


def joined(logits_BKS: Tensor, groups: Sequence[Sequence[int]]) -> Tensor:
    """Logits [B G *S] of groups of classes: a group's probability is the sum of its classes'."""
    if list(map(tuple, groups)) == [(k,) for k in range(logits_BKS.shape[1])]:
        return logits_BKS
    return torch.cat([logits_BKS[:, list(group)].logsumexp(1, keepdim=True) for group in groups], 1)


class _Whole:
    """Every group's log-probability."""

    def __init__(self, log_p_BGS: Tensor, log_q_BGS: Tensor) -> None:
        # What is kept is rounded: probabilities sum to 1 again.
        self.log_p_BGS, self.log_q_BGS = log_p_BGS.to(log_q_BGS.dtype).log_softmax(1), log_q_BGS

    def divergence(self, temperature: float) -> Tensor:
        log_p, log_q = ((one / temperature).log_softmax(1) for one in (self.log_p_BGS, self.log_q_BGS))
        voxels = log_p.numel() // log_p.shape[1]
        return F.kl_div(log_q, log_p, reduction="sum", log_target=True) * (temperature**2 / voxels)

    def overlap(self) -> Tensor:
        p_BGS, q_BGS = self.log_p_BGS.exp().flatten(2), self.log_q_BGS.exp().flatten(2)
        return _dice((p_BGS * q_BGS).sum(2), p_BGS.sum(2), q_BGS.sum(2))

    def hard(self, confidence: float) -> Tensor:
        best_B1S, group_B1S = self.log_p_BGS.max(1, keepdim=True)
        label_B1S = group_B1S.masked_fill(best_B1S.exp() < confidence, UNKNOWN)
        return dice_cross_entropy(self.log_q_BGS, label_B1S)


class _Ranked:
    """The likeliest groups' numbers and log-probabilities."""

    def __init__(self, ranked_BCS: Tensor, z_BGS: Tensor) -> None:
        numbers, log_p = ranked_BCS.chunk(2, 1)
        self.numbers_BmS, self.log_p_BmS, self.z_BGS = numbers.long(), log_p.to(z_BGS.dtype), z_BGS

    @cached_property
    def _student(self) -> tuple[Tensor, Tensor]:
        """log q [B m *S] of the same groups, and the sum of q over the voxels [B G]."""
        return likely_and_sums(self.z_BGS, self.numbers_BmS)

    def divergence(self, temperature: float) -> Tensor:
        log_q_BmS, _ = self._student
        log_p, log_q = (
            (torch.cat([one, _left(one)], 1) / temperature).log_softmax(1)
            for one in (self.log_p_BmS, log_q_BmS)
        )
        voxels = log_p.numel() // log_p.shape[1]
        return F.kl_div(log_q, log_p, reduction="sum", log_target=True) * (temperature**2 / voxels)

    def overlap(self) -> Tensor:
        log_q_BmS, q_BG = self._student
        numbers_BN, p_BN = self.numbers_BmS.flatten(1), self.log_p_BmS.exp().flatten(1)
        zeros_BG, q_BN = torch.zeros_like(q_BG), log_q_BmS.exp().flatten(1)
        both_BG, p_BG = (zeros_BG.scatter_add(1, numbers_BN, one) for one in (p_BN * q_BN, p_BN))
        return _dice(both_BG, p_BG, q_BG)

    def hard(self, confidence: float) -> Tensor:
        unsure_B1S = self.log_p_BmS[:, :1].exp() < confidence
        return dice_cross_entropy(self.z_BGS, self.numbers_BmS[:, :1].masked_fill(unsure_B1S, UNKNOWN))


class _Regions:
    """Logits of regions, each true by itself."""

    def __init__(self, z_BRS: Tensor, student_BKS: Tensor, groups: Sequence[Sequence[int]]) -> None:
        self.student_BRS = student_BKS[:, [channel for (channel,) in groups]]
        self.z_BRS = z_BRS.to(student_BKS.dtype)

    def divergence(self, temperature: float) -> Tensor:
        # Σ over {inside, outside} of p log(p / q), p = σ(z / T): cross-entropy less the entropy of p.
        p = (self.z_BRS / temperature).sigmoid()
        entropy = F.binary_cross_entropy(p, p)
        return (
            F.binary_cross_entropy_with_logits(self.student_BRS / temperature, p) - entropy
        ) * temperature**2

    def overlap(self) -> Tensor:
        p_BRS, q_BRS = self.z_BRS.sigmoid().flatten(2), self.student_BRS.sigmoid().flatten(2)
        return _dice((p_BRS * q_BRS).sum(2), p_BRS.sum(2), q_BRS.sum(2))

    def hard(self, confidence: float) -> Tensor:
        y_BRS = (self.z_BRS > 0).to(self.z_BRS.dtype)
        sure_BRS = (self.z_BRS.abs().sigmoid() >= confidence).to(self.z_BRS.dtype)
        each = F.binary_cross_entropy_with_logits(self.student_BRS, y_BRS, reduction="none")
        q_BRS = self.student_BRS.sigmoid() * sure_BRS
        y_BRS = y_BRS * sure_BRS
        sums = ((one).flatten(2).sum(2) for one in (y_BRS * q_BRS, y_BRS, q_BRS))
        return _dice(*sums) + (each * sure_BRS).sum() / sure_BRS.sum().clamp(min=1)


def _left(log_p_BmS: Tensor) -> Tensor:
    """log of what the likeliest groups leave, [B 1 *S]."""
    return torch.log((1 - log_p_BmS.exp().sum(1, keepdim=True)).clamp(min=LEAST))


def _dice(both_BG: Tensor, p_BG: Tensor, q_BG: Tensor) -> Tensor:
    return (1 - (2 * both_BG + SMOOTH) / (p_BG + q_BG + SMOOTH)).mean()
