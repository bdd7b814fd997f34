"""What a bundle's preprocessing does to scans, transform by transform, and the way back.

    Orientationd               axes turned and flipped
    Spacingd                   size = round((n - 1) old / new + 1), voxel i at i new / old: the first voxel's
                               centre stays where it is, unlike in our grids, whose outer edges do; where the
                               axes of a scan are not quite at right angles, its middle does
    CropForegroundd            the box of voxels above 0
    ScaleIntensityRanged       (x - a_min) / (a_max - a_min) (b_max - b_min) + b_min, clipped to b where asked
    NormalizeIntensityd        (x - mean) / std, of voxels other than 0, by channel, where asked
    ScaleIntensityd            min ... max of the whole, or by channel, to minv ... maxv
    LoadImaged, EnsureChannelFirstd, EnsureTyped, CastToTyped      nothing

Everything else is refused by name. Resampling and moments are done with MONAI's own arithmetic (float64
grids, float32 moments), for `nonzero` asks whether an interpolated voxel is exactly 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from ..teacher import Placement
from .config import Entry

Volume = NDArray[np.float32]  # [M *S], or [K *S]
Affine = NDArray[np.float64]  # [4 4] voxel index -> RAS+ mm

_WAY_OUT = "let MONAI run it, and give its answers as files"
_LONGEST, _MOST_VOXELS = 16_384, 2**33  # of a working grid
_TOLERANCE = 1e-3  # MONAI's, between affines and spacings that count as the same
_META = ("meta_keys", "meta_key_postfix", "lazy", "dtype", "device")
_LETTERS = [["L", "R"], ["P", "A"], ["I", "S"]]


@dataclass(frozen=True, eq=False)
class Turned:
    """Axes permuted, then flipped."""

    order: tuple[int, ...]
    flipped: tuple[bool, ...]

    def undone(self, values: Volume, nearest: bool) -> Volume:
        back = values[(slice(None), *(slice(None, None, -1 if flip else 1) for flip in self.flipped))]
        return back.transpose(0, *(1 + int(axis) for axis in np.argsort(self.order)))


@dataclass(frozen=True, eq=False)
class Resampled:
    """Another grid; the matrix leads from its voxels to those before."""

    matrix: Affine
    before: tuple[int, ...]
    mode: str | int
    border: str

    def undone(self, values: Volume, nearest: bool) -> Volume:
        mode = "nearest" if nearest else self.mode
        return resampled(
            values, np.linalg.inv(self.matrix).astype(np.float64), self.before, mode, self.border
        )


@dataclass(frozen=True, eq=False)
class Cropped:
    """A box, which may reach beyond: there it was filled with 0."""

    start: tuple[int, ...]
    before: tuple[int, ...]

    def undone(self, values: Volume, nearest: bool) -> Volume:
        whole = np.zeros((len(values), *self.before), values.dtype)
        stops = [first + n for first, n in zip(self.start, values.shape[1:], strict=True)]
        kept = [
            (max(first, 0), min(stop, n))
            for first, stop, n in zip(self.start, stops, self.before, strict=True)
        ]
        inside = tuple(slice(a, b) for a, b in kept)
        here = tuple(slice(a - first, b - first) for (a, b), first in zip(kept, self.start, strict=True))
        whole[(slice(None), *inside)] = values[(slice(None), *here)]
        return whole


Step = Turned | Resampled | Cropped


@dataclass(frozen=True, eq=False)
class Shown:
    """Scans on their way to the network."""

    image: Volume  # [M *S]
    affine: Affine
    stored: Affine  # of the scans
    stored_shape: tuple[int, ...]
    steps: tuple[Step, ...] = ()
    box: tuple[tuple[float, float], ...] = ()  # edges of what is left, in voxels of each stored axis

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels [M *W]."""
        return self.image.shape[1:]

    def placement(self, case: str) -> Placement:
        """Where its voxels lie in the scans; raises `UserError` where axes are no longer parallel."""
        matrix = np.linalg.solve(self.stored, self.affine)  # working voxel -> stored
        order = tuple(int(axis) for axis in np.abs(matrix[:3, :3]).argmax(0))
        across = matrix[:3, :3].copy()
        across[list(order), range(3)] = 0
        if sorted(order) != [0, 1, 2] or np.abs(across).max() > 0.01:
            raise UserError(f"case {case}: the scan is oblique, and the bundle straightens it", _WAY_OUT)
        boxes = []
        for axis in order:
            low, high = self.box[axis]
            boxes.append((max(0, round(low + 0.5)), min(self.stored_shape[axis], round(high + 0.5))))
        return Placement(
            self.stored_shape,
            order,
            tuple(float(matrix[axis, 3]) for axis in order),
            tuple(float(matrix[axis, a]) for a, axis in enumerate(order)),
            self.shape,
            tuple(boxes),
        )

    def undone(self, values: Volume, *, nearest: bool = False) -> Volume:
        """Values [K *S] of its voxels, on the grid of the scans [K I J K]; 0 outside the box."""
        for step in reversed(self.steps):
            values = step.undone(values, nearest)
        return values


Transform = Callable[[Shown, str], Shown]  # (shown, case) -> shown


def shown(image: Volume, affine: Affine) -> Shown:
    """Scans as they are stored."""
    shape = image.shape[1:]
    return Shown(image, affine, affine, shape, (), tuple((-0.5, n - 0.5) for n in shape))


def transforms_of(entry: Entry, image_key: str) -> list[Transform]:
    """The transforms of a preprocessing, in order; raises `UserError` for what is not in the table."""
    found: list[Transform] = []
    for component in components(entry):
        name = canonical(component.target)
        if name not in _TABLE:
            raise UserError(f"{component.where} is a {name}, which is not read here", _WAY_OUT)
        place = key_place(component, image_key)
        if place is not None:
            found += _TABLE[name](component, place)
    return found


def components(entry: Entry) -> list[Entry]:
    """The components of a composition, those within others included, but for the disabled."""
    entry = entry.followed()
    if not entry.is_component and not isinstance(entry.raw, list):
        raise UserError(f"{entry.where} is no composition of transforms", "repair the bundle")
    if isinstance(entry.raw, list):
        return [inner for item in entry.items() for inner in components(item)]
    if entry.disabled:
        return []
    if entry.target != "Compose":
        return [entry]
    entry.only(("transforms",), ("map_items", "unpack_items", "log_stats", "lazy", "overrides"))
    return components(entry.child("transforms", entry.raw.get("transforms", [])))


def canonical(name: str) -> str:
    """Spacingd, for SpacingD and SpacingDict too."""
    for ending in ("Dict", "D"):
        if name.endswith(ending):
            return name.removesuffix(ending) + "d"
    return name


def key_place(component: Entry, key: str) -> int | None:
    """The place of `key` among those that a transform is applied to, or None."""
    keys = component.argument("keys")
    keys = [keys] if isinstance(keys, str) else list(keys or [])
    return keys.index(key) if key in keys else None


def of_key(component: Entry, name: str, place: int, default: Any) -> Any:
    """An argument that may differ by key."""
    value = component.argument(name, default)
    return value[min(place, len(value) - 1)] if isinstance(value, list) and value else value


def turned(state: Shown, orientation: str, case: str) -> Shown:
    """Axes turned to an orientation such as "RAS"."""
    from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

    stored = io_orientation(state.affine)
    if np.isnan(stored).any():
        raise UserError(f"case {case}: the scan has an axis of spacing zero", "repair its header's affine")
    turn = ornt_transform(stored, axcodes2ornt(orientation))
    order = tuple(int(axis) for axis in np.argsort(turn[:, 0]))
    flipped = tuple(bool(turn[axis, 1] < 0) for axis in order)
    flips = (slice(None), *(slice(None, None, -1 if flip else 1) for flip in flipped))
    image = state.image.transpose(0, *(1 + axis for axis in order))[flips]
    affine = state.affine @ inv_ornt_aff(turn, state.shape)
    steps = (*state.steps, Turned(order, flipped))
    return replace(state, image=np.ascontiguousarray(image), affine=affine, steps=steps)


def resampled(values: Volume, matrix: Affine, shape: Sequence[int], mode: str | int, border: str) -> Volume:
    """Values [K *s] at the voxels of another grid of `shape`; `matrix` leads from there to here."""
    import torch
    from monai.networks.layers import AffineTransform

    if isinstance(mode, int):
        from scipy.ndimage import affine_transform

        how = "nearest" if border == "border" else "constant"
        whole = [
            affine_transform(
                v.astype(np.float64), matrix[:3, :3], matrix[:3, 3], tuple(shape), None, mode, how
            )
            for v in values
        ]
        return np.stack(whole).astype(np.float32)
    move = AffineTransform(
        normalized=False, mode=mode, padding_mode=border, align_corners=False, reverse_indexing=True
    )
    theta, parts = torch.from_numpy(np.ascontiguousarray(matrix)), []
    for value in values:  # one by one: they are in float64 meanwhile
        moved = move(
            torch.from_numpy(np.ascontiguousarray(value, np.float64))[None, None], theta, tuple(shape)
        )
        parts.append(moved[0, 0].numpy().astype(np.float32))
    return np.stack(parts)


def _nothing(component: Entry, place: int) -> list[Transform]:
    return []


def _orientation(component: Entry, place: int) -> list[Transform]:
    component.only(("axcodes", "as_closest_canonical", "labels"), _META)
    canonical_axes = component.argument("as_closest_canonical", False)
    axcodes = "RAS" if canonical_axes else component.argument("axcodes")
    letters = component.argument("labels", _LETTERS)
    axcodes = "".join(axcodes) if isinstance(axcodes, list) else axcodes
    if [list(pair) for pair in letters] != _LETTERS or not isinstance(axcodes, str) or len(axcodes) != 3:
        raise UserError(f"{component.where}: axcodes {axcodes!r} name no three axes", _WAY_OUT)
    if sorted(axcodes) not in [sorted(a + b + c) for a in "LR" for b in "PA" for c in "IS"]:
        raise UserError(f"{component.where}: axcodes {axcodes!r} name no three axes", _WAY_OUT)
    return [lambda state, case: turned(state, axcodes, case)]


def _spacing(component: Entry, place: int) -> list[Transform]:
    off = ("scale_extent", "recompute_affine", "min_pixdim", "max_pixdim")
    component.only(
        ("pixdim", "mode", "padding_mode", "diagonal", *off), (*_META, "align_corners", "ensure_same_shape")
    )
    for name in off:
        if component.argument(name, False):
            raise UserError(f"{component.where}: Spacingd with {name} is not read here", _WAY_OUT)
    pixdim = _numbers(component, "pixdim", component.argument("pixdim"))
    pixdim = [*pixdim, *[pixdim[-1]] * 3][:3]
    mode = of_key(component, "mode", place, "bilinear")
    border = of_key(component, "padding_mode", place, "border")
    splines = not isinstance(mode, bool) and mode in range(6)
    if not splines and mode not in ("bilinear", "nearest"):
        raise UserError(f"{component.where}: Spacingd has the mode {mode!r}", _WAY_OUT)
    border = {"nearest": "border", "constant": "zeros"}.get(border, border)
    if border not in ("border", "zeros"):
        raise UserError(f"{component.where}: Spacingd has the padding_mode {border!r}", _WAY_OUT)
    diagonal = bool(component.argument("diagonal", False))

    def spaced(state: Shown, case: str) -> Shown:
        from monai.data.utils import compute_shape_offset, zoom_affine

        old = np.linalg.norm(state.affine[:3, :3], axis=0)
        wanted = np.array([mm if mm > 0 else own for mm, own in zip(pixdim, old, strict=True)])
        new = np.where(np.abs(wanted - old) <= _TOLERANCE, old, wanted)
        voxels = np.round((np.array(state.shape) - 1) * old / new + 1)
        if voxels.max() > _LONGEST or np.prod(voxels) > _MOST_VOXELS:
            raise UserError(
                f"case {case}: at {list(pixdim)} mm it would have {voxels.tolist()} voxels", "is that meant?"
            )
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


def _crop_foreground(component: Entry, place: int) -> list[Transform]:
    component.only(
        ("source_key", "select_fn", "channel_indices", "margin", "allow_smaller", "k_divisible", "mode"),
        (*_META, "start_coord_key", "end_coord_key"),
    )
    keys = component.argument("keys")
    key = keys if isinstance(keys, str) else keys[place]
    for name, expected in {"source_key": (key,), "select_fn": (None,), "mode": (None, "constant")}.items():
        if component.argument(name) not in expected:
            raise UserError(f"{component.where}: CropForegroundd with {name} is not read here", _WAY_OUT)
    margin = [int(n) for n in _numbers(component, "margin", component.argument("margin", 0), 3)]
    multiple = [
        max(1, int(n)) for n in _numbers(component, "k_divisible", component.argument("k_divisible", 1), 3)
    ]
    smaller = bool(component.argument("allow_smaller", False))
    indices = component.argument("channel_indices")
    chosen = None if indices is None else [int(n) for n in _numbers(component, "channel_indices", indices)]

    def cropped(state: Shown, case: str) -> Shown:
        seen = state.image if chosen is None else state.image[chosen]
        inside: NDArray[np.bool_] = np.any(seen > 0, axis=0)
        if not inside.any():
            raise UserError(
                f"case {case}: no voxel is above 0, the bundle crops to those", "is the scan empty?"
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


def _scale_range(component: Entry, place: int) -> list[Transform]:
    component.only(("a_min", "a_max", "b_min", "b_max", "clip"), _META)
    a_min, a_max, b_min, b_max = (
        None if (value := component.argument(name)) is None else _numbers(component, name, value)[0]
        for name in ("a_min", "a_max", "b_min", "b_max")
    )
    clip = bool(component.argument("clip", False))
    if a_min is None or a_max is None or a_min == a_max:
        raise UserError(f"{component.where}: a range from {a_min} to {a_max} is none", "repair the bundle")

    def scaled(state: Shown, case: str) -> Shown:
        x = (state.image - np.float32(a_min)) / np.float32(a_max - a_min)
        if b_min is not None and b_max is not None:
            x = x * np.float32(b_max - b_min) + np.float32(b_min)
        if clip and (b_min is not None or b_max is not None):
            x = np.clip(x, b_min, b_max)
        return replace(state, image=x.astype(np.float32, copy=False))

    return [scaled]


def _normalise(component: Entry, place: int) -> list[Transform]:
    component.only(("subtrahend", "divisor", "nonzero", "channel_wise"), _META)
    nonzero = bool(component.argument("nonzero", False))
    by_channel = bool(component.argument("channel_wise", False))
    subtrahend, divisor = (
        None if (value := component.argument(name)) is None else _numbers(component, name, value)
        for name in ("subtrahend", "divisor")
    )

    def normalised(state: Shown, case: str) -> Shown:
        image = state.image.copy()
        parts = [image[n] for n in range(len(image))] if by_channel else [image]
        for numbers in (subtrahend, divisor):
            if numbers is not None and len(numbers) != len(parts):
                raise UserError(
                    f"{component.where}: NormalizeIntensityd has {len(numbers)} values, not {len(parts)}",
                    "repair the bundle",
                )
        for n, x in enumerate(parts):
            inside = x != 0 if nonzero else np.ones(x.shape, bool)
            if inside.any():
                mean, std = (None if given is None else given[n] for given in (subtrahend, divisor))
                x[inside] = _standardised(x[inside], mean, std)
        return replace(state, image=image)

    return [normalised]


def _standardised(x: Volume, mean: float | None, std: float | None) -> Volume:
    """(x - mean) / std, both of `x` where they are not given; a standard deviation of 0 counts as 1."""
    import torch

    values = torch.from_numpy(np.ascontiguousarray(x))
    mean = float(values.mean()) if mean is None else mean
    std = float(values.std(unbiased=False)) if std is None else std
    return (x - np.float32(mean)) / np.float32(std if std != 0 else 1.0)


def _scale(component: Entry, place: int) -> list[Transform]:
    component.only(("minv", "maxv", "factor", "channel_wise"), _META)
    if component.argument("factor") is not None:
        raise UserError(f"{component.where}: ScaleIntensityd with a factor is not read here", _WAY_OUT)
    low, high = (
        _numbers(component, n, component.argument(n, d))[0] for n, d in (("minv", 0.0), ("maxv", 1.0))
    )
    by_channel = bool(component.argument("channel_wise", False))

    def scaled(state: Shown, case: str) -> Shown:
        image = state.image.copy()
        for x in image if by_channel else [image]:
            least, most = x.min(), x.max()
            if least == most:
                x *= np.float32(low)
            else:
                x[...] = (x - least) / (most - least) * np.float32(high - low) + np.float32(low)
        return replace(state, image=image)

    return [scaled]


def _numbers(component: Entry, name: str, value: Any, count: int | None = None) -> list[float]:
    """A number or a list of them; one alone is repeated to `count`."""
    values = value if isinstance(value, list) else [value] * (count or 1)
    if not values or (count and len(values) != count):
        raise UserError(f"{component.where}: {name} has {len(values)} values", "repair the bundle")
    for one in values:
        if isinstance(one, bool) or not isinstance(one, (int, float)) or abs(one) > 1e9:
            raise UserError(f"{component.where}: {name} {one!r} is no number", "repair the bundle")
    return values


_TABLE: Mapping[str, Callable[[Entry, int], list[Transform]]] = {
    "LoadImaged": _nothing,
    "EnsureChannelFirstd": _nothing,
    "EnsureTyped": _nothing,
    "CastToTyped": _nothing,
    "ToTensord": _nothing,
    "Orientationd": _orientation,
    "Spacingd": _spacing,
    "CropForegroundd": _crop_foreground,
    "ScaleIntensityRanged": _scale_range,
    "NormalizeIntensityd": _normalise,
    "ScaleIntensityd": _scale,
}
