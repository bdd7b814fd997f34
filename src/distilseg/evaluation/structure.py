"""One structure, cut out of two label maps: the smallest box around both of its masks, and a margin.

Everything after the cut costs in proportion to the structure, not to the scan; what several metrics share
(counts, distances) is computed once, when the first of them asks.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .overlap import Counts, Mask, count
from .surface import SurfaceDistances, surface_distances

Box = tuple[slice, ...]


@dataclass(frozen=True)
class Structure:
    """Both masks of one structure [*s], with an empty margin of one voxel."""

    name: str
    reference: Mask
    prediction: Mask
    spacing_mm: Sequence[float]

    @functools.cached_property
    def counts(self) -> Counts:
        return count(self.reference, self.prediction)

    @functools.cached_property
    def distances(self) -> SurfaceDistances:
        """Only where neither mask is empty."""
        return surface_distances(self.reference, self.prediction, self.spacing_mm)


def cut_out(
    reference: npt.NDArray[Any],
    prediction: npt.NDArray[Any],
    regions: Mapping[str, Collection[int]],
    spacing_mm: Sequence[float],
) -> Iterator[Structure]:
    """Each region (a name and the label values it unites) of two integer label maps [*S]."""
    from scipy.ndimage import find_objects

    named = np.unique([value for values in regions.values() for value in values])
    found: list[list[Box | None]] = [
        find_objects(_numbered(labels, named), max_label=len(named)) for labels in (reference, prediction)
    ]
    number = {value: n for n, value in enumerate(named.tolist())}
    for name, values in regions.items():
        if min(values) > 0:
            box = _around(
                [box for boxes in found for value in values if (box := boxes[number[value]])], reference.ndim
            )
        else:
            box = (slice(None),) * reference.ndim
        yield Structure(name, _mask(reference[box], values), _mask(prediction[box], values), spacing_mm)


def _numbered(labels: npt.NDArray[Any], named: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """1 + n where a label map [*S] has the n-th of the values `named`, which ascend; 0 elsewhere.

    Slice by slice: an atlas' values reach 6e8, and nothing here may be as large as they are.
    """
    numbers = np.zeros(labels.shape, np.int32)
    for plane, own in zip(labels, numbers, strict=True):
        places = np.searchsorted(named, plane).clip(max=len(named) - 1)
        own[...] = np.where(named[places] == plane, places + 1, 0)
    return numbers


def _around(boxes: Sequence[Box], ndim: int) -> Box:
    """The smallest box that holds all `boxes`; an empty one if there are none."""
    if not boxes:
        return (slice(0, 0),) * ndim
    return tuple(
        slice(min(s.start for s in axis), max(s.stop for s in axis)) for axis in zip(*boxes, strict=True)
    )


def _mask(labels: npt.NDArray[Any], values: Collection[int]) -> Mask:
    """Where `labels` [*s] has one of `values`, with an empty margin of one voxel: [*(s + 2)]."""
    mask = np.zeros([size + 2 for size in labels.shape], dtype=bool)
    centre = mask[(slice(1, -1),) * labels.ndim]
    for value in values:
        centre |= labels == value
    return mask
