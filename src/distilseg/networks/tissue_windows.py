"""Tissue windows: a narrow range of a channel's intensities, shown to a network as a channel of its own.

    w(x) = clip((x − low) / (high − low), 0, 1)

A CT whose structures are bone and soft tissue is scaled by bone: all soft tissue then lies within a tenth of
a standard deviation. Its window is appended to what the network is given, inside the network, so whoever
calls or exports it need not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn


class TissueWindow(NamedTuple):
    """`low` and `high` are intensities as the network is shown them, not those of the scan."""

    channel: int
    low: float
    high: float


def show_windows(network: nn.Module, windows: Sequence[TissueWindow]) -> None:
    """Makes `network`, which takes the windows as its last channels, take images without them."""
    network.register_forward_pre_hook(_Appending(tuple(windows)))


class _Appending:
    """A forward pre-hook: image [B M *S] to [B M+W *S]. The network's own modules keep their names."""

    def __init__(self, windows: tuple[TissueWindow, ...]) -> None:
        self.windows = windows

    def __call__(self, network: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        image_BMS, *others = arguments
        shown = [
            ((image_BMS[:, one.channel : one.channel + 1] - one.low) * (1 / (one.high - one.low))).clamp(0, 1)
            for one in self.windows
        ]
        return torch.cat([image_BMS, *shown], dim=1), *others
