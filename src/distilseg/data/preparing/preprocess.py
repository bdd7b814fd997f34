"""A case and a plan give arrays: oriented, cropped, resampled, normalised; and `Grid` leads back.

Three grids are met on the way, all with voxel axes I J K:

    original   as stored; any axis order, any direction, oblique or not
    cropped    axes permuted and flipped to the plan's orientation (exact), cut to a box (exact)
    working    resampled to the plan's spacing

The extents of the cropped and the working grid coincide: their outer voxel *edges* align and voxel i of n has
its centre at (i + 1/2) / n of the extent. This is the geometry of `torch.nn.functional.interpolate` with
`align_corners=False`, which therefore inverts it. The working spacing is extent / voxels: the plan's, but for
the rounding to whole voxels. What lies outside the box is background when labels are restored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from ...types import UNKNOWN
from .normalise import normalise
from .resample import resample_linear

if TYPE_CHECKING:
    from ..planning.plan import Plan
    from ..scans.scan import Scan

VERSION = 1  # part of every cache key: raise it when the same input gives voxels that differ beyond rounding

Array = NDArray[Any]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Grid:
    """From the original voxels to the working ones, and back."""

    original_shape: Shape
    affine: tuple[tuple[float, ...], ...]  # original voxel index -> RAS+ mm, [4 4]
    order: Shape  # oriented axis a is the original axis order[a]
    flipped: tuple[bool, ...]  # whether oriented axis a runs against it
    box: tuple[tuple[int, int], ...]  # start, stop of the crop in oriented voxels
    working_shape: Shape

    @property
    def oriented_shape(self) -> Shape:
        """Voxels after turning to the plan's orientation."""
        return tuple(self.original_shape[axis] for axis in self.order)

    @property
    def cropped_shape(self) -> Shape:
        """Voxels of the crop, oriented, at the original spacing."""
        return tuple(stop - start for start, stop in self.box)

    @property
    def cropped_spacing_mm(self) -> tuple[float, ...]:
        """The original spacing, along the oriented axes."""
        lengths = np.linalg.norm(np.asarray(self.affine)[:3, :3], axis=0)
        return tuple(float(lengths[axis]) for axis in self.order)

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """Spacing of the working grid."""
        grids = zip(self.cropped_spacing_mm, self.cropped_shape, self.working_shape, strict=True)
        return tuple(spacing * cropped / working for spacing, cropped, working in grids)

    def crop(self, array: Array) -> Array:
        """The cropped view of an array on the original grid; no voxel is copied."""
        return self.orient(array)[tuple(slice(start, stop) for start, stop in self.box)]

    def orient(self, array: Array) -> Array:
        """The oriented view of an array on the original grid; no voxel is copied."""
        return array.transpose(self.order)[self._flips]

    def restore(self, labels: Array) -> Array:
        """Inverts `crop`: class indices on the cropped grid -> on the original one, 0 outside the box."""
        if labels.shape != self.cropped_shape:
            raise ValueError(f"labels are {labels.shape}, the cropped grid is {self.cropped_shape}")
        restored = np.zeros(self.original_shape, labels.dtype)
        self.crop(restored)[...] = labels
        return restored

    @property
    def _flips(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, -1 if flip else 1) for flip in self.flipped)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Grid:
        """Inverts `to_dict`."""
        return cls(**{name: _as_tuple(value) for name, value in values.items()})


@dataclass(frozen=True)
class Preprocessed:
    """One case, ready for a network."""

    image: NDArray[np.float32]  # [M *S]
    label: NDArray[np.uint8] | None  # [*S] class indices
    grid: Grid


def preprocess(scans: Mapping[str, Scan], label: Scan | None, plan: Plan, *, case: str) -> Preprocessed:
    """Orient, crop, resample and normalise one case.

    `scans` by modality, all on one grid; extra modalities are ignored. `label` holds label values, or is None
    where none is known (prediction): the image and the grid do not depend on it. Raises `UserError`, naming
    the case, for a modality that is missing, grids that differ, voxels that are NaN or infinite, and label
    values the plan does not know.
    """
    missing = [name for name in plan.modalities if name not in scans]
    if missing:
        raise UserError(
            f"case {case}: modality {', '.join(missing)} is missing; it has {', '.join(scans) or 'none'}",
            f"the plan needs {', '.join(plan.modalities)}",
        )
    images = {name: scans[name] for name in plan.modalities}
    _same_grid({**images, **({} if label is None else {"label": label})}, case)
    grid = make_grid(list(images.values()), plan, case=case)
    # Cropped first, cast second: a scan is never held as float32 beyond its box.
    image = np.stack(
        [
            normalise(
                resample(grid.crop(scan.array), grid.working_shape, plan.interpolation),
                plan.normalisation[name],
            )
            for name, scan in images.items()
        ]
    ).astype(np.float32, copy=False)
    for modality, volume in zip(plan.modalities, image, strict=True):
        if not np.isfinite(volume).all():
            raise UserError(
                f"case {case}: {modality} holds voxels that are NaN or infinite",
                "`distilseg check` shows where; repair the scan",
            )
    if label is None:
        return Preprocessed(image, None, grid)
    classes = class_indices(grid.crop(label.array), plan.label_values, unknown=plan.unknown, case=case)
    return Preprocessed(image, resample_labels(classes, grid.working_shape), grid)


def make_grid(scans: list[Scan], plan: Plan, *, case: str) -> Grid:
    """Where the plan puts the voxels of scans that share one grid."""
    from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

    geometry = scans[0].geometry
    if len(geometry.shape) != 3 or 0 in geometry.shape:
        raise UserError(
            f"case {case}: {scans[0].path.name} has shape {geometry.shape}",
            "a scan needs three axes of voxels",
        )
    if sorted(plan.orientation) not in [sorted(a + b + c) for a in "LR" for b in "AP" for c in "IS"]:
        raise UserError(f"the plan's orientation is {plan.orientation!r}", "use three letters such as RAS")
    stored = io_orientation(geometry.affine)
    if np.isnan(stored).any():
        raise UserError(
            f"case {case}: {scans[0].path.name} has an axis of spacing zero", "repair its header's affine"
        )
    turn = ornt_transform(stored, axcodes2ornt(plan.orientation))  # original axis a -> [oriented axis, sign]
    order = tuple(int(axis) for axis in np.argsort(turn[:, 0]))
    grid = Grid(
        original_shape=tuple(int(size) for size in geometry.shape),
        affine=tuple(tuple(float(entry) for entry in row) for row in geometry.affine),
        order=order,
        flipped=tuple(bool(turn[axis, 1] < 0) for axis in order),
        box=tuple((0, int(geometry.shape[axis])) for axis in order),
        working_shape=(),
    )
    box = grid.box
    if plan.crop == "nonzero":
        box = _nonzero_box([grid.orient(scan.array) for scan in scans])
    elif plan.crop_voxels is not None:
        box = _centre_box(grid.box, plan.crop_voxels)
    sizes = zip(box, grid.cropped_spacing_mm, plan.spacing_mm, strict=True)
    working = tuple(max(1, round((stop - start) * old / new)) for (start, stop), old, new in sizes)
    # Across a single slice there is nothing to interpolate, however thick it is.
    working = tuple(1 if n == 1 else m for n, m in zip(grid.oriented_shape, working, strict=True))
    return Grid(grid.original_shape, grid.affine, grid.order, grid.flipped, box, working)


def resample(image: Array, shape: Shape, interpolation: str = "linear") -> NDArray[np.float32]:
    """Image [*s] -> [*shape] over the same extent, "linear" or "cubic" (B-spline), borders replicated."""
    if interpolation == "linear":
        return resample_linear(image, shape)
    if image.shape == shape:
        return np.ascontiguousarray(image, np.float32)
    try:
        import SimpleITK as sitk
    except ImportError:
        raise UserError(
            "the plan asks for cubic interpolation, which SimpleITK does", "pip install SimpleITK"
        ) from None
    return _resample(np.ascontiguousarray(image, np.float32), shape, sitk.sitkBSpline)


def resample_labels(classes: NDArray[np.uint8], shape: Shape) -> NDArray[np.uint8]:
    """Class indices [*s] -> [*shape]: the class whose linearly interpolated indicator is largest.

    Smoother than the nearest voxel, whose borders are jagged.
    """
    import SimpleITK as sitk

    return _resample(np.ascontiguousarray(classes), shape, sitk.sitkLabelLinear)


def class_indices(
    label: Array, label_values: tuple[int, ...], *, case: str, unknown: int | None = None
) -> NDArray[np.uint8]:
    """Label values -> class indices: index k stands for `label_values[k]`, which ascend.

    UNKNOWN stands for the value `unknown`, of voxels that nobody labelled.
    """
    if len(label_values) > UNKNOWN:
        raise UserError(f"the plan names {len(label_values)} classes", f"at most {UNKNOWN} fit")
    values = np.asarray(label_values)
    if label.dtype.kind == "b":
        label = label.view(np.uint8)
    classes = np.empty(label.shape, np.uint8)
    strange_values: list[Array] = []
    for plane, indices in zip(label, classes, strict=True):  # plane by plane: temporaries stay small
        indices[...] = np.searchsorted(values, plane).clip(max=len(values) - 1)
        strange = values[indices] != plane  # unequal also where it is not a number
        if unknown is not None:
            nobodys = plane == unknown
            indices[nobodys] = UNKNOWN
            strange &= ~nobodys
        strange_values.append(np.unique(plane[strange]))
    strange = np.unique(np.concatenate(strange_values))
    if strange.size:
        shown = ", ".join(f"{value:g}" for value in strange[:5]) + (", ..." if strange.size > 5 else "")
        raise UserError(
            f"case {case}: the label holds {shown}, the plan names the classes "
            + ", ".join(str(value) for value in label_values),
            _guess(strange, label_values),
        )
    return classes


def _guess(strange: Array, label_values: tuple[int, ...]) -> str:
    if np.any(strange != np.round(strange)):
        return "was the label map resampled like an image? resample it again with nearest neighbours"
    if strange.size > 20:
        return "is this file an image instead of a label map?"
    if 255 in strange and len(label_values) == 2:
        return f"did you mean {label_values[1]} by 255? remap it"
    if list(strange) == [4] and max(label_values) == 3:
        return "did you forget to remap BraTS label 4 to 3?"
    return "name them in the dataset's labels or remap them"


def _same_grid(scans: Mapping[str, Scan], case: str) -> None:
    """All scans must have one shape, and agree within a voxel on where their voxels are."""
    (first, reference), *others = scans.items()
    shape = tuple(reference.geometry.shape)
    corners = np.array([*np.ndindex(2, 2, 2)]) * (np.array(shape[:3]) - 1) if len(shape) == 3 else None
    for name, scan in others:
        if tuple(scan.geometry.shape) != shape:
            raise UserError(
                f"case {case}: {name} has {_times(scan.geometry.shape)} voxels, {first} {_times(shape)}",
                "resample them to one grid first",
            )
        if corners is None:
            continue
        difference = np.asarray(scan.geometry.affine) - np.asarray(reference.geometry.affine)
        apart_mm = np.linalg.norm(corners @ difference[:3, :3].T + difference[:3, 3], axis=1).max()
        if not apart_mm <= max(reference.geometry.spacing_mm):
            raise UserError(
                f"case {case}: the headers of {name} and {first} put the same voxel {apart_mm:.1f} mm apart",
                "`distilseg check` shows where they differ",
            )


def _times(shape: Shape) -> str:
    return " x ".join(str(size) for size in shape)


def _centre_box(whole: Sequence[tuple[int, int]], voxels: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """The middle `voxels` along each axis, or all where there are fewer."""
    sizes = [min(stop, n) for (_, stop), n in zip(whole, voxels, strict=True)]
    starts = [(stop - n) // 2 for (_, stop), n in zip(whole, sizes, strict=True)]
    return tuple((start, start + n) for start, n in zip(starts, sizes, strict=True))


def _nonzero_box(images: list[Array]) -> tuple[tuple[int, int], ...]:
    """The smallest box around every voxel at which any image is not zero; the whole, if there is none."""
    box = []
    for axis in range(images[0].ndim):
        others = tuple(other for other in range(images[0].ndim) if other != axis)
        filled = np.flatnonzero(np.any([image.any(axis=others) for image in images], axis=0))
        if not filled.size:
            return tuple((0, size) for size in images[0].shape)
        box.append((int(filled[0]), int(filled[-1]) + 1))
    return tuple(box)


def _resample(array: Array, shape: Shape, kind: int) -> Array:
    import SimpleITK as sitk

    if array.shape == shape:
        return array
    # Unit input spacing; ITK names axes in the opposite order. Output voxel i is centred at input index
    # (i + 1/2) * step - 1/2, which never leaves the input's extent; there ITK replicates the border.
    step = [old / new for old, new in zip(array.shape[::-1], shape[::-1], strict=True)]
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize([int(size) for size in shape[::-1]])
    resampler.SetOutputSpacing(step)
    resampler.SetOutputOrigin([size / 2 - 0.5 for size in step])
    resampler.SetInterpolator(kind)
    resampled: Array = sitk.GetArrayFromImage(resampler.Execute(sitk.GetImageFromArray(array)))
    return resampled


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(entry) for entry in value) if isinstance(value, (list, tuple)) else value
