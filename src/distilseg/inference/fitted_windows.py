"""Windows fitted to the scan: a sliding window whose patch is as large as scan and memory allow.

`functional.fitted_windows` says how large. It is for networks that take windows of any size, after training.
"""

from __future__ import annotations

from torch import Tensor

from ..functional.window_options import FittedWindowsOptions
from .inferer import Network
from .sliding_window import SlidingWindow


class FittedWindows(FittedWindowsOptions):
    """(image [B M *S], network) -> logits [B K *S], float32; any size, 2D or 3D."""

    def __call__(self, image: Tensor, network: Network) -> Tensor:
        return SlidingWindow(**vars(self.window(image.shape[2:])))(image, network)
