"""The transforms of a bundle's preprocessing that change the grid, read: Orientationd, Spacingd and
CropForegroundd. What they do, `runtime.bundle.spatial` says; splines alone are SciPy's, and stay here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from ...errors import UserError
from ...runtime.bundle.shown import Affine, Resampler, Volume
from ...runtime.bundle.spatial import CropForeground, Orientation, Spacing
from .components import META, numbers, of_key
from .config import WAY_OUT, Entry
from .transform import Transform, made

NONZERO = "$lambda x: x != 0"  # the one select_fn that is read, beside none
_LETTERS = [["L", "R"], ["P", "A"], ["I", "S"]]


@dataclass(config=ConfigDict(extra="forbid", frozen=True))
class SplineSpacing(Spacing):
    """By splines of an order; on the way back too, but for the nearest."""

    order: int = 3
    kind: Literal["spline_spacing"] = "spline_spacing"  # type: ignore[assignment]

    @property
    def by(self) -> Resampler:
        """As SciPy does it."""
        linear = super().by

        def resampled(values: Volume, matrix: Affine, shape: Sequence[int], nearest: bool) -> Volume:
            if nearest:
                return linear(values, matrix, shape, True)
            from scipy.ndimage import affine_transform

            how: dict[str, Any] = {"order": self.order}
            how["mode"] = "nearest" if self.border == "border" else "constant"
            whole = [
                affine_transform(v.astype(np.float64), matrix[:3, :3], matrix[:3, 3], tuple(shape), **how)
                for v in values
            ]
            return np.stack(whole).astype(np.float32)

        return resampled


def orientation(component: Entry, place: int) -> list[Transform]:
    """Of an `Orientationd`."""
    component.only(("axcodes", "as_closest_canonical", "labels"), META)
    canonical_axes = component.argument("as_closest_canonical", False)
    axcodes = "RAS" if canonical_axes else component.argument("axcodes")
    letters = component.argument("labels", _LETTERS)
    axcodes = "".join(axcodes) if isinstance(axcodes, list) else axcodes
    if [list(pair) for pair in letters] != _LETTERS or not isinstance(axcodes, str) or len(axcodes) != 3:
        raise UserError(f"{component.where}: axcodes {axcodes!r} name no three axes", WAY_OUT)
    if sorted(axcodes) not in [sorted(a + b + c) for a in "LR" for b in "PA" for c in "IS"]:
        raise UserError(f"{component.where}: axcodes {axcodes!r} name no three axes", WAY_OUT)
    return made(Orientation, component, axcodes=axcodes)


def spacing(component: Entry, place: int) -> list[Transform]:
    """Of a `Spacingd`."""
    off = ("scale_extent", "recompute_affine", "min_pixdim", "max_pixdim")
    component.only(
        ("pixdim", "mode", "padding_mode", "diagonal", *off), (*META, "align_corners", "ensure_same_shape")
    )
    for name in off:
        if component.argument(name, False):
            raise UserError(f"{component.where}: Spacingd with {name} is not read here", WAY_OUT)
    pixdim = numbers(component, "pixdim", component.argument("pixdim"))
    pixdim = [*pixdim, *[pixdim[-1]] * 3][:3]
    mode = of_key(component, "mode", place, "bilinear")
    border = of_key(component, "padding_mode", place, "border")
    splines = not isinstance(mode, bool) and mode in range(6)
    if not splines and mode not in ("bilinear", "nearest"):
        raise UserError(f"{component.where}: Spacingd has the mode {mode!r}", WAY_OUT)
    border = {"nearest": "border", "constant": "zeros"}.get(border, border)
    if border not in ("border", "zeros"):
        raise UserError(f"{component.where}: Spacingd has the padding_mode {border!r}", WAY_OUT)
    diagonal = bool(component.argument("diagonal", False))

    options = {"pixdim": tuple(pixdim), "border": border, "diagonal": diagonal}
    if splines:
        return made(SplineSpacing, component, order=mode, **options)
    return made(Spacing, component, mode=mode, **options)


def crop_foreground(component: Entry, place: int) -> list[Transform]:
    """Of a `CropForegroundd`."""
    component.only(
        ("source_key", "select_fn", "channel_indices", "margin", "allow_smaller", "k_divisible", "mode"),
        (*META, "start_coord_key", "end_coord_key"),
    )
    keys = component.argument("keys")
    key = keys if isinstance(keys, str) else keys[place]
    nonzero = component.raw.get("select_fn") == NONZERO
    known: dict[str, tuple[Any, ...]] = {"source_key": (key,), "mode": (None, "constant")}
    for name, expected in (known if nonzero else {**known, "select_fn": (None,)}).items():
        if component.argument(name) not in expected:
            raise UserError(f"{component.where}: CropForegroundd with {name} is not read here", WAY_OUT)
    margin = [int(n) for n in numbers(component, "margin", component.argument("margin", 0), 3)]
    multiple = [
        max(1, int(n)) for n in numbers(component, "k_divisible", component.argument("k_divisible", 1), 3)
    ]
    smaller = bool(component.argument("allow_smaller", False))
    indices = component.argument("channel_indices")
    chosen = None if indices is None else [int(n) for n in numbers(component, "channel_indices", indices)]

    return made(
        CropForeground,
        component,
        margin=tuple(margin),
        multiple=tuple(multiple),
        smaller=smaller,
        channels=None if chosen is None else tuple(chosen),
        nonzero=nonzero,
    )
