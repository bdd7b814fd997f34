"""A bundle's inferer, read: SlidingWindowInferer, SliceInferer or SimpleInferer, as `runtime.bundle.windows`
shows a network a volume.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ...errors import UserError
from ...runtime.bundle.windows import Windows
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
class Inferer:
    """What a bundle calls it, and what it does."""

    kind: str
    options: dict[str, Any]
    windows: Windows


def windows_of(entry: Entry, step: float | None) -> Inferer:
    """What an inferer says; `step` is the share of a window between two. Raises `UserError`."""
    if not entry.is_component:
        raise UserError(f"{entry.where} describes no inferer", "repair the bundle")
    kind = entry.target.removesuffix("Adapt")
    if kind == "SimpleInferer":
        entry.only(())
        return Inferer(kind, {}, Windows((-1, -1, -1)))
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
    slices = int(across) if kind == "SliceInferer" else None
    try:
        return Inferer(kind, options, _windows(options, slices))
    except (ValidationError, ValueError) as error:
        told = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise UserError(f"{entry.where}: {told.removeprefix('Value error, ')}", WAY_OUT) from None


def _windows(options: dict[str, Any], slices: int | None) -> Windows:
    """Three numbers each; across slices a single voxel."""

    def three(value: Any, between: Any) -> tuple[Any, ...]:
        each = list(value) if isinstance(value, list) else [value] * (3 if slices is None else 2)
        if slices is not None and len(each) == 2:
            each.insert(slices, between)
        if len(each) != 3:
            raise ValueError(f"{value!r} is not of three axes")
        return tuple(each)

    window = three(options["roi_size"], 1)
    return Windows(
        window=tuple(-1 if n is None else n for n in window),  # type: ignore[arg-type]
        overlap=three(options.get("overlap", 0.25), 0.0),
        gaussian=options.get("mode", "constant") == "gaussian",
        sigma=three(options.get("sigma_scale", 0.125), 0.125),
        padding=options.get("padding_mode", "constant"),
        cval=float(options.get("cval", 0.0)),
        batch=options["sw_batch_size"],
        slices=slices,
    )


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
