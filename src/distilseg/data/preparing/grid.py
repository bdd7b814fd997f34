"""Where the voxels of a case lie before and after it is prepared, and the way back.

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
from ..scans.axes import axes_along
from ..scans.limits import check_grid
from ..scans.scan import axis_order

if TYPE_CHECKING:
    from ..planning.plan import Plan
    from ..scans.scan import Scan

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


def make_grid(scans: list[Scan], plan: Plan, *, case: str) -> Grid:
    """Where the plan puts the voxels of scans that share one grid."""
    geometry = scans[0].geometry
    if len(geometry.shape) != 3 or 0 in geometry.shape:
        raise UserError(
            f"case {case}: {scans[0].path.name} has shape {geometry.shape}",
            "a scan needs three axes of voxels",
        )
    if sorted(plan.orientation) not in [sorted(a + b + c) for a in "LR" for b in "AP" for c in "IS"]:
        raise UserError(f"the plan's orientation is {plan.orientation!r}", "use three letters such as RAS")
    stored = axes_along(geometry.affine)
    if np.isnan(stored).any():
        raise UserError(
            f"case {case}: {scans[0].path.name} has an axis of spacing zero", "repair its header's affine"
        )
    along, towards = stored[:, 0].tolist(), stored[:, 1] > 0
    order = tuple(along.index(ras) for ras in axis_order(plan.orientation))  # oriented axis -> original one
    grid = Grid(
        original_shape=tuple(int(size) for size in geometry.shape),
        affine=tuple(tuple(float(entry) for entry in row) for row in geometry.affine),
        order=order,
        flipped=tuple(
            bool(towards[axis]) != (letter in "RAS")
            for axis, letter in zip(order, plan.orientation, strict=True)
        ),
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
    check_grid(working, plan.spacing_mm, f"case {case}: {scans[0].path}")
    return Grid(grid.original_shape, grid.affine, grid.order, grid.flipped, box, working)


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


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(entry) for entry in value) if isinstance(value, (list, tuple)) else value
