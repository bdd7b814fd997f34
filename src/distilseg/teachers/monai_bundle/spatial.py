"""The transforms of a bundle's preprocessing that change the grid.

Orientationd               axes turned and flipped
Spacingd                   size = round((n - 1) old / new + 1), voxel i at i new / old: the first voxel's
                           centre stays where it is, unlike in our grids, whose outer edges do; where the
                           axes of a scan are not quite at right angles, its middle does
CropForegroundd            the box of voxels above 0, or of those that are not 0
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...data.scans.limits import check_grid
from ...errors import UserError
from .components import META, numbers, of_key
from .config import WAY_OUT, Entry
from .shown import Cropped, Resampled, Shown, Transform, resampled, turned

NONZERO = "$lambda x: x != 0"  # the one select_fn that is read, beside none
_TOLERANCE = 1e-3  # MONAI's, between affines and spacings that count as the same
_LETTERS = [["L", "R"], ["P", "A"], ["I", "S"]]


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
    return [lambda state, case: turned(state, axcodes, case)]


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

    def spaced(state: Shown, case: str) -> Shown:
        from monai.data.utils import compute_shape_offset, zoom_affine

        old = np.linalg.norm(state.affine[:3, :3], axis=0)
        wanted = np.array([mm if mm > 0 else own for mm, own in zip(pixdim, old, strict=True)])
        new = np.where(np.abs(wanted - old) <= _TOLERANCE, old, wanted)
        voxels = np.round((np.array(state.shape) - 1) * old / new + 1)
        check_grid(voxels.tolist(), new.tolist(), f"case {case}")
        affine = zoom_affine(state.affine, new, diagonal=diagonal)
        size, origin = compute_shape_offset(state.shape, state.affine, affine)
        affine[:3, 3] = origin[:3]
        shape, matrix = tuple(map(int, size)), np.linalg.solve(state.affine, affine)
        same = any(
            np.allclose(a, b, atol=_TOLERANCE) for a, b in ((state.affine, affine), (matrix, np.eye(4)))
        )
        if shape == state.shape and same:
            return state
        image = resampled(state.image, matrix, shape, mode, border)
        steps = (*state.steps, Resampled(matrix, state.shape, mode, border))
        return replace(state, image=image, affine=affine, steps=steps)

    return [spaced]


def crop_foreground(component: Entry, place: int) -> list[Transform]:
    """Of a `CropForegroundd`."""
    component.only(
        ("source_key", "select_fn", "channel_indices", "margin", "allow_smaller", "k_divisible", "mode"),
        (*META, "start_coord_key", "end_coord_key"),
    )
    keys = component.argument("keys")
    key = keys if isinstance(keys, str) else keys[place]
    nonzero = component.raw.get("select_fn") == NONZERO
    expected_of = {"source_key": (key,), "select_fn": (None,), "mode": (None, "constant")}
    for name, expected in expected_of.items():
        if name == "select_fn" and nonzero:
            continue
        if component.argument(name) not in expected:
            raise UserError(f"{component.where}: CropForegroundd with {name} is not read here", WAY_OUT)
    margin = [int(n) for n in numbers(component, "margin", component.argument("margin", 0), 3)]
    multiple = [
        max(1, int(n)) for n in numbers(component, "k_divisible", component.argument("k_divisible", 1), 3)
    ]
    smaller = bool(component.argument("allow_smaller", False))
    indices = component.argument("channel_indices")
    chosen = None if indices is None else [int(n) for n in numbers(component, "channel_indices", indices)]

    def cropped(state: Shown, case: str) -> Shown:
        seen = state.image if chosen is None else state.image[chosen]
        inside: NDArray[np.bool_] = np.any(seen != 0 if nonzero else seen > 0, axis=0)
        if not inside.any():
            wanted = "other than" if nonzero else "above"
            raise UserError(
                f"case {case}: no voxel is {wanted} 0, the bundle crops to those", "is the scan empty?"
            )
        starts, stops = [], []
        for axis, n in enumerate(state.shape):
            others = tuple(other for other in range(3) if other != axis)
            filled = np.flatnonzero(inside.any(axis=others))
            first, stop = int(filled[0]) - margin[axis], int(filled[-1]) + 1 + margin[axis]
            if smaller:
                first, stop = max(first, 0), min(stop, n)
            size = -(-(stop - first) // multiple[axis]) * multiple[axis]
            first -= (size - (stop - first)) // 2
            starts.append(first)
            stops.append(first + size)
        pads = [(max(-a, 0), max(b - n, 0)) for a, b, n in zip(starts, stops, state.shape, strict=True)]
        kept = tuple(slice(max(a, 0), b) for a, b in zip(starts, stops, strict=True))
        image = np.pad(state.image[(slice(None), *kept)], [(0, 0), *pads])
        affine = state.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ starts
        new = replace(
            state, image=image, affine=affine, steps=(*state.steps, Cropped(tuple(starts), state.shape))
        )
        return replace(new, box=_narrowed(new))

    return [cropped]


def _narrowed(state: Shown) -> tuple[tuple[float, float], ...]:
    """The box of a crop that was just made, in edges of stored voxels."""
    matrix = np.linalg.solve(state.stored, state.affine)
    corners = matrix[:3, :3] @ np.array([[-0.5] * 3, [n - 0.5 for n in state.shape]]).T + matrix[:3, 3:]
    found = zip(corners.min(1), corners.max(1), state.box, strict=True)
    return tuple((max(float(low), a), min(float(high), b)) for low, high, (a, b) in found)
