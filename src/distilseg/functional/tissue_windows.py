"""Tissue windows: narrow ranges of a channel's intensities as channels of their own.

    w(x) = clip((x − low) / (high − low), 0, 1)

A CT whose structures are bone and soft tissue is scaled by bone: all soft tissue then lies within a tenth of
a standard deviation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class TissueWindow(NamedTuple):
    """`low` and `high` are intensities of the prepared image, not those of the scan."""

    channel: int
    low: float
    high: float


def with_windows(image_BMS: Tensor, windows: Sequence[TissueWindow]) -> Tensor:
    """Image [B M *S] to [B M+W *S], each window of its channel behind."""
    shown = [
        ((image_BMS[:, one.channel : one.channel + 1] - one.low) * (1 / (one.high - one.low))).clamp(0, 1)
        for one in windows
    ]
    return torch.cat([image_BMS, *shown], dim=1)
