"""The transforms of a bundle's preprocessing that change the grid, as values that can be applied.

Orientation       axes turned and flipped
Spacing           size = round((n - 1) old / new + 1), voxel i at i new / old: the first voxel's centre
                  stays where it is, unlike in our grids, whose outer edges do; where the axes of a scan
                  are not quite at right angles, its middle does
CropForeground    the box of voxels above 0, or of those that are not 0
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator
from pydantic.dataclasses import dataclass

from ...data.scans.limits import check_grid
from ...data.scans.scan import axis_order
from ...errors import UserError
from .affine import moved, placed, zoomed
from .shown import Affine, Cropped, Resampled, Resampler, Shown, Volume, turned
from .strict import STRICT, Finite

_SAME = 1e-3  # MONAI's tolerance, between affines and spacings that count as the same

Three = tuple[Finite, Finite, Finite]


def _three_axes(letters: str) -> str:
    try:
        axis_order(letters)
    except UserError as error:
        raise ValueError(error.cause) from None
    return letters


Letters = Annotated[str, AfterValidator(_three_axes)]


@dataclass(config=STRICT)
class Orientation:
    """Axes turned to an orientation such as "RAS"."""

    axcodes: Letters
    kind: Literal["orientation"] = "orientation"

    def __call__(self, state: Shown, case: str) -> Shown:
        """The scans so turned."""
        return turned(state, self.axcodes, case)


@dataclass(config=STRICT)
class Spacing:
    """Another spacing, linear or of the nearest voxels."""

    pixdim: Three  # mm; 0 and below: as it is
    mode: Literal["bilinear", "nearest"] = "bilinear"
    border: Literal["border", "zeros"] = "border"
    diagonal: bool = False
    kind: Literal["spacing"] = "spacing"

    @property
    def by(self) -> Resampler:
        """How values come to another grid; on the way back the nearest may be asked for."""

        def resampled(values: Volume, matrix: Affine, shape: Sequence[int], nearest: bool) -> Volume:
            nearest = nearest or self.mode == "nearest"
            return moved(values, matrix, shape, nearest=nearest, zeros=self.border == "zeros")

        return resampled

    def __call__(self, state: Shown, case: str) -> Shown:
        """The scans on that grid."""
        old = np.linalg.norm(state.affine[:3, :3], axis=0)
        wanted = np.array([mm if mm > 0 else own for mm, own in zip(self.pixdim, old, strict=True)])
        new = np.where(np.abs(wanted - old) <= _SAME, old, wanted)
        voxels = np.round((np.array(state.shape) - 1) * old / new + 1)
        check_grid(voxels.tolist(), new.tolist(), f"case {case}")
        shape, affine = placed(
            state.shape, state.affine, zoomed(state.affine, new.tolist(), diagonal=self.diagonal)
        )
        matrix = np.linalg.solve(state.affine, affine)
        same = any(np.allclose(a, b, atol=_SAME) for a, b in ((state.affine, affine), (matrix, np.eye(4))))
        if shape == state.shape and same:
            return state
        image = self.by(state.image, matrix, shape, False)
        return replace(
            state, image=image, affine=affine, steps=(*state.steps, Resampled(matrix, state.shape, self.by))
        )


@dataclass(config=STRICT)
class CropForeground:
    """The box of voxels above 0, or other than 0, with a margin, its sides multiples of something."""

    margin: tuple[int, int, int] = (0, 0, 0)
    multiple: tuple[int, int, int] = (1, 1, 1)
    smaller: bool = False  # a margin ends where the scan does
    channels: tuple[int, ...] | None = None  # of these alone
    nonzero: bool = False  # what is below 0 counts too
    kind: Literal["crop_foreground"] = "crop_foreground"
    MOST: ClassVar[int] = 4096  # voxels of margin, or of a multiple

    def __post_init__(self) -> None:
        if (
            max(map(abs, self.margin)) > self.MOST
            or not 1 <= min(self.multiple) <= max(self.multiple) <= self.MOST
        ):
            raise ValueError(f"margins {self.margin} and multiples {self.multiple} of no use")

    def __call__(self, state: Shown, case: str) -> Shown:
        """The scans within that box."""
        seen = state.image if self.channels is None else state.image[list(self.channels)]
        inside: NDArray[np.bool_] = np.any(seen != 0 if self.nonzero else seen > 0, axis=0)
        if not inside.any():
            wanted = "other than" if self.nonzero else "above"
            raise UserError(
                f"case {case}: no voxel is {wanted} 0, the bundle crops to those", "is the scan empty?"
            )
        starts, stops = [], []
        for axis, n in enumerate(state.shape):
            others = tuple(other for other in range(3) if other != axis)
            filled = np.flatnonzero(inside.any(axis=others))
            first, stop = int(filled[0]) - self.margin[axis], int(filled[-1]) + 1 + self.margin[axis]
            if self.smaller:
                first, stop = max(first, 0), min(stop, n)
            size = -(-(stop - first) // self.multiple[axis]) * self.multiple[axis]
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


def _narrowed(state: Shown) -> tuple[tuple[float, float], ...]:
    """The box of a crop that was just made, in edges of stored voxels."""
    matrix = np.linalg.solve(state.stored, state.affine)
    corners = matrix[:3, :3] @ np.array([[-0.5] * 3, [n - 0.5 for n in state.shape]]).T + matrix[:3, 3:]
    found = zip(corners.min(1), corners.max(1), state.box, strict=True)
    return tuple((max(float(low), a), min(float(high), b)) for low, high, (a, b) in found)
