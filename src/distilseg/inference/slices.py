"""Slice by slice: a 2D network over a volume, each slice by a sliding window in its plane.

logits[..., k] = window(image[..., k], network)            k along the axis across the slices
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UserError
from .inferer import Network
from .sliding_window import Blend, SlidingWindow


@dataclass(frozen=True)
class Slices:
    """(image [B M I J K], network of [B M I J]) -> logits [B K I J K], float32."""

    patch: tuple[int, ...]  # voxels in the plane
    axis: int = 2  # of the volume, across the slices
    overlap: float = 0.25
    blend: Blend = "gaussian"
    batch: int = 8  # slices, and patches in one pass of the network
    mirror: bool | tuple[int, ...] = False  # over flips in the plane

    def __post_init__(self) -> None:
        if len(self.patch) != 2 or self.axis not in (0, 1, 2):
            raise UserError(
                f"slices across axis {self.axis} by patches of {list(self.patch)}",
                "give an axis from 0 to 2 and two sizes in voxels",
            )

    def __call__(self, image: Tensor, network: Network) -> Tensor:
        window = SlidingWindow(self.patch, self.overlap, self.blend, self.batch, self.mirror)
        across = 2 + self.axis
        planes_NMS = image.movedim(across, 1).flatten(0, 1)
        parts = [window(planes, network) for planes in torch.split(planes_NMS, self.batch)]
        logits_NKS = torch.cat(parts)
        logits_BNKS = logits_NKS.reshape(len(image), image.shape[across], *logits_NKS.shape[1:])
        return logits_BNKS.movedim(1, across)
