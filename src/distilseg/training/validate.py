"""The student on the validation cases: Dice by class on the plan's grid, whole volumes by the inferer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data.preparing.cache import CachedCase
from ..inference.inferer import Inferer
from ..types import UNKNOWN


@torch.no_grad()
def case_dice(
    network: Callable[[Tensor], Tensor],
    case: CachedCase,
    inferer: Inferer,
    decide: Callable[[Tensor], Tensor],
    device: torch.device,
    classes: int,
) -> list[float]:
    """Dice of each foreground class of one prepared case over the voxels whose label is known; NaN where the
    reference has none of it."""
    image = torch.from_numpy(np.array(case.image))[None].to(device)  # copied: the map is read-only
    predicted = decide(inferer(image, network))[0].cpu().numpy()
    reference = np.asarray(case.label)
    known = reference != UNKNOWN
    scores = []
    for k in range(1, classes):
        p, r = (predicted == k) & known, reference == k
        size = int(r.sum())
        scores.append(2 * int((p & r).sum()) / (int(p.sum()) + size) if size else math.nan)
    return scores


def mean_dice(
    network: nn.Module,
    cases: Sequence[CachedCase],
    *,
    see: Callable[[Tensor], Tensor],
    inferer: Inferer,
    decide: Callable[[Tensor], Tensor],
    classes: Sequence[str],
    fabric: Any,
) -> Mapping[str, float]:
    """Mean over cases for every foreground class, and their mean; each device judges its share.

    `see` maps a prepared image [B M *S] to what the student is shown, `decide` logits [B K *S] to class
    indices [B *S]. A class that no case holds is NaN and
    left out of the mean.
    """

    def shown(image: Tensor) -> Tensor:
        with fabric.autocast():
            logits: Tensor = network(see(image))
        return logits.float()

    was_training = network.training
    network.eval()
    share = cases[fabric.global_rank :: fabric.world_size]
    scores = [case_dice(shown, case, inferer, decide, fabric.device, len(classes)) for case in share]
    network.train(was_training)

    table_NK = torch.tensor(scores, dtype=torch.float64).reshape(len(share), len(classes) - 1)
    sums_2K = torch.stack([table_NK.nansum(0), (~table_NK.isnan()).double().sum(0)])
    if fabric.world_size > 1:
        sums_2K = fabric.all_reduce(sums_2K.to(fabric.device), reduce_op="sum").cpu()
    by_class = (sums_2K[0] / sums_2K[1]).tolist()
    known = [value for value in by_class if not math.isnan(value)]
    mean = sum(known) / len(known) if known else 0.0
    return {"mean": mean, **dict(zip(classes[1:], by_class, strict=True))}
