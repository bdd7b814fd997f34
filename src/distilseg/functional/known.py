"""Losses over the voxels whose label is known.

A voxel without a label has the class index `UNKNOWN`; a case without a label map has no other. What a loss
against labels sums over voxels, it sums over the known ones: the others are left out before it is computed.

    L(z, y) = mean over the cases b with known voxels of  L({z_bi, y_bi : y_bi known})

A loss whose sums run over the whole batch (`pooled`) is that of all known voxels together. Where no voxel is
known, L is 0, with a gradient of 0, and nothing is computed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec

import torch
from torch import Tensor

from ..types import UNKNOWN

P = ParamSpec("P")
Loss = Callable[Concatenate[Tensor, Tensor, P], Tensor]  # of logits [B K *S] and class indices [B 1 *S]


def labelled_cases(label_B1S: Tensor) -> Tensor:
    """Which cases have a known voxel; [B]."""
    return (label_B1S != UNKNOWN).flatten(1).any(1)


def over_known(loss: Loss[P], *, pooled: bool = False) -> Loss[P]:
    """`loss` over known voxels; as it is where all are. Its options hold no voxels."""

    def over(logits_BKS: Tensor, label_B1S: Tensor, /, *options: P.args, **named: P.kwargs) -> Tensor:
        known_B1S = label_B1S != UNKNOWN
        if bool(known_B1S.all()):
            return loss(logits_BKS, label_B1S, *options, **named)
        cases = list(_cases(logits_BKS.flatten(2), label_B1S.flatten(2), known_B1S.flatten(1)))
        if not cases:
            return logits_BKS.flatten()[:0].sum()
        if pooled:
            cases = [(torch.cat([z for z, _ in cases], 2), torch.cat([y for _, y in cases], 2))]
        return torch.stack([loss(z_1KN, y_11N, *options, **named) for z_1KN, y_11N in cases]).mean()

    return functools.update_wrapper(over, loss)


def over_known_pooled(loss: Loss[P]) -> Loss[P]:
    """The same for a loss whose sums run over the whole batch."""
    return over_known(loss, pooled=True)


def _cases(logits_BKN: Tensor, label_B1N: Tensor, known_BN: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Logits [1 K n] and labels [1 1 n] of the known voxels, case by case; of the cases that have some."""
    kept = []
    for b, known_N in enumerate(known_BN):
        z_1KN, y_11N = logits_BKN[b : b + 1], label_B1N[b : b + 1]
        if bool(known_N.all()):
            kept.append((z_1KN, y_11N))
        elif bool(known_N.any()):
            kept.append((z_1KN[:, :, known_N], y_11N[:, :, known_N]))
    return kept
