"""Slice by slice: a 2D network over a volume, each slice by a sliding window in its plane.

logits[..., k] = window(image[..., k], network)            k along the axis across the slices
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..functional.window_options import SlicesOptions
from .inferer import Network
from .sliding_window import SlidingWindow


class Slices(SlicesOptions):
    """(image [B M I J K], network of [B M I J]) -> logits [B K I J K], float32."""

    def __call__(self, image: Tensor, network: Network) -> Tensor:
        window = SlidingWindow(self.patch, self.overlap, self.blend, self.batch, self.mirror)
        across = 2 + self.axis
        planes_NMS = image.movedim(across, 1).flatten(0, 1)
        parts = [window(planes, network) for planes in torch.split(planes_NMS, self.batch)]
        logits_NKS = torch.cat(parts)
        logits_BNKS = logits_NKS.reshape(len(image), image.shape[across], *logits_NKS.shape[1:])
        return logits_BNKS.movedim(1, across)
