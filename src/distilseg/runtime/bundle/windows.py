"""A bundle's inferer on NumPy: how its network is shown a volume, window by window or slice by slice.

    starts    0, step, 2 step, ..., the last pulled back to end with the image
    step      int(window (1 - overlap)), at least 1
    weight    constant, or a Gaussian around (window - 1) / 2, sigma = sigma_scale window, at least 0.001
    padding   half before and the odd voxel behind, where the image is smaller than the window

A window of -1 is as long as the image.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

Volume = NDArray[np.float32]
Network = Callable[[Volume], Volume]  # [N M *P] -> logits [N K *P]

MOST_VOXELS = 2**28  # of a window
MOST_WINDOWS = 4096  # that look at one voxel: beyond it a prediction ends in weeks
LEAST_WEIGHT = 1e-3
_PADS = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}

Share = Annotated[float, Field(ge=0, lt=1)]


@dataclass(config=ConfigDict(extra="forbid", frozen=True))
class Windows:
    """How a network is shown a volume; three numbers each, along its axes."""

    window: tuple[int, int, int]  # voxels; -1: as many as the image has
    overlap: tuple[Share, Share, Share] = (0.25, 0.25, 0.25)
    gaussian: bool = False
    sigma: tuple[float, float, float] = (0.125, 0.125, 0.125)  # as a share of the window
    padding: Literal["constant", "reflect", "replicate", "circular"] = "constant"
    cval: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    batch: Annotated[int, Field(ge=1, le=16)] = 1
    slices: int | None = None  # the axis across which a 2D network sees slices

    def __post_init__(self) -> None:
        if not all(n == -1 or n > 0 for n in self.window):
            raise ValueError(f"{list(self.window)} voxels are no window")
        if math.prod(n for n in self.window if n > 0) > MOST_VOXELS:
            raise ValueError(f"a window of {list(self.window)} voxels is larger than any scan")
        if self.slices is not None and (self.slices not in (0, 1, 2) or self.window[self.slices] != 1):
            raise ValueError(f"slices across axis {self.slices} are no windows of {list(self.window)}")
        steps = [_step(n, share) for n, share in zip(self.window, self.overlap, strict=True) if n > 0]
        sizes = [n for n in self.window if n > 0]
        if math.prod(math.ceil(n / step) for n, step in zip(sizes, steps, strict=True)) > MOST_WINDOWS:
            raise ValueError(f"windows that overlap by {list(self.overlap)} never end")
        if not all(s > 0 for s in self.sigma):
            raise ValueError(f"a Gaussian of sigma {list(self.sigma)} is none")

    @property
    def patch(self) -> tuple[int, ...]:
        """Of the windows, as the network sees them."""
        return tuple(n for axis, n in enumerate(self.window) if axis != self.slices)

    def __call__(self, image: Volume, network: Network) -> Volume:
        """Image [M *S] -> logits [K *S]."""
        window = [size if n == -1 else n for n, size in zip(self.window, image.shape[1:], strict=True)]
        padded, inner = self._padded(image, window)
        places = list(itertools.product(*map(_starts, padded.shape[1:], window, self.overlap)))
        weight_P = self._weight(window)
        logits: Volume | None = None
        counts = np.zeros(padded.shape[1:], np.float32)
        for first in range(0, len(places), self.batch):
            boxes = [
                tuple(slice(start, start + n) for start, n in zip(place, window, strict=True))
                for place in places[first : first + self.batch]
            ]
            answers = self._asked(np.stack([padded[(slice(None), *box)] for box in boxes]), network)
            if logits is None:
                logits = np.zeros((answers.shape[1], *padded.shape[1:]), np.float32)
            for box, answer_KP in zip(boxes, answers, strict=True):
                for sums, answer_P in zip(logits, answer_KP, strict=True):
                    sums[box] += answer_P * weight_P
                counts[box] += weight_P
        assert logits is not None
        logits /= counts
        return logits[(slice(None), *inner)]

    def _asked(self, windows: Volume, network: Network) -> Volume:
        if self.slices is None:
            return network(windows)
        return np.expand_dims(network(windows.squeeze(2 + self.slices)), 2 + self.slices)

    def _padded(self, image: Volume, window: Sequence[int]) -> tuple[Volume, tuple[slice, ...]]:
        lacking = [max(0, n - size) for n, size in zip(window, image.shape[1:], strict=True)]
        inner = tuple(slice(n // 2, n // 2 + size) for n, size in zip(lacking, image.shape[1:], strict=True))
        if not any(lacking):
            return image, inner
        around = [(0, 0), *((n // 2, n - n // 2) for n in lacking)]
        if self.padding == "constant":
            return np.pad(image, around, constant_values=self.cval), inner
        return np.pad(image, around, mode=_PADS[self.padding]), inner  # type: ignore[call-overload]

    def _weight(self, window: Sequence[int]) -> Volume:
        if not self.gaussian:
            return np.ones(window, np.float32)
        along = [
            np.exp(-0.5 * ((np.arange(n, dtype=np.float32) - (n - 1) / 2) / (n * sigma)) ** 2)
            for n, sigma in zip(window, self.sigma, strict=True)
        ]
        weight: Volume = reduce(np.multiply.outer, along).astype(np.float32)
        return np.maximum(weight, max(float(weight.min()), LEAST_WEIGHT))


def _starts(size: int, window: int, overlap: float) -> list[int]:
    step = window if window == size else _step(window, overlap)
    count = math.ceil((size - window) / step) + 1
    return [min(n * step, size - window) for n in range(count)]


def _step(window: int, overlap: float) -> int:
    return max(1, int(window * (1 - overlap)))
