"""A bundle's inferer: how its network is shown a volume, window by window, slice by slice, or whole."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...errors import UserError
from .config import WAY_OUT, Entry

_SLIDING = ("roi_size", "overlap", "mode", "sigma_scale", "padding_mode", "cval", "sw_batch_size")
_ELSEWHERE = (
    "sw_device",
    "device",
    "progress",
    "cache_roi_weight_map",
    "cpu_thresh",
    "buffer_steps",
    "buffer_dim",
)
_MOST_VOXELS = 2**28  # of a window


@dataclass(frozen=True)
class Windows:
    """How a network is shown a volume."""

    kind: str  # "SlidingWindowInferer", "SliceInferer" or "SimpleInferer"
    options: Mapping[str, Any]
    across: int = 0  # of slices: their axis

    def __call__(self, image: Tensor, network: Any) -> Tensor:
        from monai.inferers import SliceInferer, SlidingWindowInferer

        if self.kind == "SimpleInferer":
            answer: Tensor = network(image)
        elif self.kind == "SliceInferer":
            answer = SliceInferer(spatial_dim=self.across, **self.options)(image, network)
        else:
            answer = SlidingWindowInferer(**self.options)(image, network)
        return answer


def windows_of(entry: Entry, step: float | None) -> Windows:
    """What an inferer says; `step` is the share of a window between two. Raises `UserError`."""
    if not entry.is_component:
        raise UserError(f"{entry.where} describes no inferer", "repair the bundle")
    kind = entry.target.removesuffix("Adapt")
    if kind == "SimpleInferer":
        entry.only(())
        return Windows(kind, {})
    if kind not in ("SlidingWindowInferer", "SliceInferer"):
        raise UserError(f"{entry.where} is a {kind}, which is not read here", WAY_OUT)
    entry.only((*_SLIDING, "spatial_dim"), _ELSEWHERE)
    options = {name: value for name in _SLIDING if (value := entry.argument(name)) is not None}
    if step is not None:
        options["overlap"] = 1 - step
    _check(options, entry)
    across = entry.argument("spatial_dim", 0)
    if kind == "SliceInferer" and across not in (0, 1, 2):
        raise UserError(f"{entry.where}: there is no axis {across!r}", "repair the bundle")
    return Windows(kind, options, int(across))


def _check(options: dict[str, Any], entry: Entry) -> None:
    roi = options.get("roi_size")
    whole = (None, -1)  # the image's own size
    sizes: list[Any] = roi if isinstance(roi, list) else [roi] * 3
    if not all(n in whole or (type(n) is int and n > 0) for n in sizes) or len(sizes) > 3 or roi is None:
        raise UserError(f"{entry.where}: roi_size {roi!r} is no window", "give voxels from 1, axis by axis")
    if math.prod(n for n in sizes if n not in whole) > _MOST_VOXELS:
        raise UserError(
            f"{entry.where}: a window of {roi} voxels is larger than any scan", "repair the bundle"
        )
    overlap = options.get("overlap", 0.25)
    for share in overlap if isinstance(overlap, list) else [overlap]:
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share < 1:
            raise UserError(f"{entry.where}: windows cannot overlap by {share!r}", "give a share in [0, 1)")
    if options.get("mode", "constant") not in ("constant", "gaussian"):
        raise UserError(f"{entry.where}: windows have the mode {options['mode']!r}", "constant or gaussian")
    padding = options.get("padding_mode", "constant")
    if padding not in ("constant", "reflect", "replicate", "circular"):
        raise UserError(f"{entry.where}: windows have the padding_mode {padding!r}", WAY_OUT)
    options["sw_batch_size"] = min(max(int(options.get("sw_batch_size", 1)), 1), 16)
