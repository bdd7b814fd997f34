"""From scans to what the network is shown, as nnU-Net v2 does it.

    turned      to the orientation asked for, or as stored; axes z y x, then moved by `transpose_forward`
    cropped     to the smallest box around every voxel that is not 0 in some channel
    normalised  channel by channel, at the scan's own spacing, in float32
    resampled   to the configuration's spacing; a 2D configuration keeps the slices
    in a cascade, one channel of 0 and 1 for each label value that the first stage found

nnU-Net itself ignores how scans lie in the patient: it sees what is stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data.preparing.grid import Grid
from ...data.preparing.preprocess import Preprocessed, same_grid
from ...data.scans.limits import check_grid
from ...data.scans.scan import Scan, axis_order
from ...errors import UserError
from .holes import filled
from .preparation import Channel, Preparation
from .resample import coarse_axis, resampled, resampled_labels

Array = NDArray[Any]
_FAR = 999.0  # times the largest spacing: across an image that has no third axis


@dataclass(frozen=True)
class WorkingGrid(Grid):
    """A grid whose spacing is the one that nnU-Net's readers give: a header's own, not the affine's."""

    read_spacing_mm: tuple[float, ...] = ()  # of the scan, along the working axes

    @property
    def cropped_spacing_mm(self) -> tuple[float, ...]:
        """The original spacing, along the working axes."""
        return self.read_spacing_mm


@dataclass(frozen=True)
class View:
    """How the working axes lie in a stored scan."""

    order: tuple[int, ...]  # working axis a is the stored axis order[a]
    flipped: tuple[bool, ...]  # whether it runs against it
    spacing: tuple[float, ...]  # mm between voxels along the working axes

    def of(self, array_IJK: Array) -> Array:
        """The array along the working axes, no voxel copied."""
        return array_IJK.transpose(self.order)[tuple(slice(None, None, -1 if f else 1) for f in self.flipped)]


def view_of(scan: Scan, preparation: Preparation, orientation: str | None, *, case: str) -> View:
    """The working axes in `scan`, which is turned to `orientation` first, or taken as stored."""
    order: tuple[int, ...] = (0, 1, 2)
    flipped: tuple[bool, ...] = (False,) * 3
    if orientation is not None:
        axis_order(orientation)  # three letters, or it is refused
        order, flipped = _turned(scan, orientation, case)
    spacing = _spacing_mm(scan)
    axes = [2 - axis for axis in preparation.transpose]  # z y x are the turned axes 2 1 0
    return View(
        tuple(order[axis] for axis in axes),
        tuple(flipped[axis] for axis in axes),
        tuple(spacing[order[axis]] for axis in axes),
    )


def prepare(
    scans: Sequence[Scan],
    preparation: Preparation,
    orientation: str | None = None,
    *,
    case: str,
    first_stage: Array | None = None,
    foreground: Sequence[int] = (),
) -> Preprocessed:
    """One case, its modalities in the teacher's order.

    In a cascade `first_stage` holds the label values [I J K] that the first stage found, of which those in
    `foreground` become channels. Raises `UserError`, naming the case.
    """
    same_grid({scan.path.name or str(n): scan for n, scan in enumerate(scans)}, case)
    _check_numbers(scans, case)
    view = view_of(scans[0], preparation, orientation, case=case)
    turned = [_in_memory(view.of(scan.array), preparation) for scan in scans]
    box = _box(turned)
    inside = tuple(slice(*ends) for ends in box)
    cropped = [image[inside] for image in turned]
    del turned
    found = None if first_stage is None else view.of(first_stage)[inside]
    body = _body(cropped, found) if found is not None or _masked(preparation) else None
    for image, channel in zip(cropped, preparation.channels, strict=True):
        _normalise(image, channel, body, case)
    shape = cropped[0].shape
    spacing, goal = view.spacing, working_spacing(preparation, view.spacing)
    working = tuple(round(old / new * size) for old, new, size in zip(spacing, goal, shape, strict=True))
    working = shape if preparation.image.kind == "none" else working
    check_grid(working, goal, f"case {case}: {scans[0].path}")
    if 0 in working:
        raise UserError(
            f"case {case}: {list(shape)} voxels of {_mm(spacing)} are too few for a spacing of {_mm(goal)}",
            "give a scan that covers more",
        )
    across = coarse_axis(preparation.image, spacing, goal)
    more = 0 if found is None else len(foreground)
    shown = np.empty((len(cropped) + more, *working), np.float32)
    for n in range(len(cropped)):
        shown[n] = resampled(cropped[0], working, preparation.image, across)
        del cropped[0]  # one channel after the other leaves memory
    if found is not None and body is not None:
        # nnU-Net calls what lies outside of the body -1, which is no label.
        labels = np.where((found == 0) & ~body, -1, found).astype(np.int32)
        across = coarse_axis(preparation.labels, spacing, goal)
        labels = resampled_labels(labels, working, preparation.labels, across)
        for n, value in enumerate(foreground, start=len(scans)):
            shown[n] = labels == value
    affine = tuple(tuple(float(entry) for entry in row) for row in scans[0].geometry.affine)
    grid = WorkingGrid(
        tuple(scans[0].array.shape), affine, view.order, view.flipped, box, working, view.spacing
    )
    return Preprocessed(shown, None, grid)


def working_spacing(preparation: Preparation, spacing: Sequence[float]) -> tuple[float, ...]:
    """In mm along the working axes, for a scan of this `spacing` along them; across the slices of a 2D
    configuration the scan's own."""
    if len(preparation.spacing) == 3:
        return preparation.spacing
    return (spacing[0], *preparation.spacing)


def _turned(scan: Scan, orientation: str, case: str) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """For each axis of `orientation`, the stored axis along it and whether it runs against it."""
    from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

    stored = io_orientation(scan.geometry.affine)
    if np.isnan(stored).any():
        raise UserError(
            f"case {case}: {scan.path.name} has an axis of spacing zero", "repair its header's affine"
        )
    turn = ornt_transform(stored, axcodes2ornt(orientation))
    order = tuple(int(axis) for axis in np.argsort(turn[:, 0]))
    return order, tuple(bool(turn[axis, 1] < 0) for axis in order)


def _spacing_mm(scan: Scan) -> tuple[float, ...]:
    """Along the stored axes, as the readers of nnU-Net give it: a NIfTI header's own voxel sizes."""
    spacing = scan.geometry.spacing_mm
    header = scan.header
    if header is None:
        return spacing
    stored = tuple(int(n) for n in header.get_data_shape())
    if len(stored) == 2:
        return (*spacing[:2], _FAR * max(spacing[:2]))
    zooms = tuple(float(abs(mm)) for mm in header.get_zooms()[:3])
    # Those differ in the last digits from the affine's; where they differ more, they are of another grid.
    return zooms if stored[:3] == scan.array.shape and np.allclose(zooms, spacing, rtol=1e-3) else spacing


def _check_numbers(scans: Sequence[Scan], case: str) -> None:
    for scan in scans:
        if scan.array.dtype.kind == "f" and not np.isfinite(scan.array).all():
            raise UserError(
                f"case {case}: {scan.path.name} holds voxels that are NaN or infinite",
                "`distilseg check` shows where; repair the scan",
            )


def _in_memory(image: Array, preparation: Preparation) -> NDArray[np.float32]:
    """float32, in memory in the order z y x as nnU-Net has it: sums in float32 depend on the order."""
    made = np.empty([image.shape[axis] for axis in np.argsort(preparation.transpose)], np.float32)
    view: NDArray[np.float32] = made.transpose(preparation.transpose)
    view[...] = image
    return view


def _box(images: Sequence[Array]) -> tuple[tuple[int, int], ...]:
    """First and last + 1 along each axis, around all that is not 0; the whole where everything is."""
    filled = np.zeros(images[0].shape, bool)
    for image in images:
        filled |= image != 0
    box: list[tuple[int, int]] = []
    for axis in range(filled.ndim):
        there = np.flatnonzero(filled.any(axis=tuple(a for a in range(filled.ndim) if a != axis)))
        if not there.size:
            return tuple((0, int(n)) for n in images[0].shape)
        box.append((int(there[0]), int(there[-1]) + 1))
    return tuple(box)


def _body(cropped: Sequence[Array], found: Array | None) -> NDArray[np.bool_]:
    """Where any channel is not 0, with the holes; and where the first stage found something."""
    mask = np.zeros(cropped[0].shape, bool)
    for image in cropped:
        mask |= image != 0
    body = filled(mask)
    return body if found is None else body | (found > 0)


def _masked(preparation: Preparation) -> bool:
    return any(channel.masked and channel.scheme == "ZScoreNormalization" for channel in preparation.channels)


def _normalise(image: NDArray[np.float32], channel: Channel, body: Array | None, case: str) -> None:
    """In place. Moments in float32, as nnU-Net takes them."""
    match channel.scheme:
        case "CTNormalization":
            np.clip(image, channel.low, channel.high, out=image)
            image -= channel.mean
            image /= max(channel.std, 1e-8)
        case "ZScoreNormalization" if channel.masked and body is not None:
            inside = image[body]
            if inside.size:
                image[body] = (inside - inside.mean()) / max(inside.std(), 1e-8)
        case "ZScoreNormalization":
            mean, std = image.mean(), image.std()
            image -= mean
            image /= max(std, 1e-8)
        case "RescaleTo01Normalization":
            image -= image.min()
            image /= max(image.max(), 1e-8)
        case "RGBTo01Normalization":
            if image.min() < 0 or image.max() > 255:
                raise UserError(
                    f"case {case}: intensities from {image.min():g} to {image.max():g}, the teacher takes"
                    " 0 to 255",
                    "give images of 8 bit",
                )
            image /= 255.0
        case "NoNormalization":
            pass


def _mm(spacing: Sequence[float]) -> str:
    return " x ".join(f"{mm:.3g}" for mm in spacing) + " mm"


def in_order(scans: Mapping[str, Scan], modalities: Sequence[str], *, case: str) -> list[Scan]:
    """The teacher's modalities in its order; others are ignored. Raises `UserError` where one is missing."""
    missing = [name for name in modalities if name not in scans]
    if missing:
        raise UserError(
            f"case {case}: modality {', '.join(missing)} is missing; it has {', '.join(scans) or 'none'}",
            f"the teacher is shown {', '.join(modalities)}",
        )
    return [scans[name] for name in modalities]
