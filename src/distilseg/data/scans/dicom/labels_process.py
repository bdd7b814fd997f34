"""The labels of a DICOM SEG on the grid of a series; runs in `process.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from .frames import Unplaceable, frame_on
from .header import segmentation_of
from .pixels import decoded_frames


def labels_on(
    path: Path,
    instance: str,
    shape: Sequence[int],
    grid_lps: Sequence[Sequence[float]],
    values: Mapping[str, int],
) -> np.ndarray:
    """Label values [I J K] of the segments that `values` names by their number, 0 elsewhere.

    Raises ValueError in words where a frame does not lie on the grid, or two values claim a voxel.
    """
    dataset = dcmread(path, force=True)
    said = segmentation_of(dataset)
    if said["instance"] != instance:
        raise ValueError("another segmentation lies there now")
    if "unusable" in said:
        raise ValueError(said["unusable"])
    rows, columns, frames = said["rows"], said["columns"], said["frames"]
    by_number = {int(number): value for number, value in values.items()}
    labels = np.zeros(shape, np.min_scalar_type(max(by_number.values(), default=0)))
    grid = np.array(grid_lps)
    described = {0, dataset.get("PixelPaddingValue", 0), *(one["number"] for one in said["segments"])}
    chosen = [n for n, one in enumerate(frames) if one["segment"] in ({0} | by_number.keys())]
    seen: set[tuple[int, ...]] = set()
    overlapping = outside = 0
    for n, pixels in zip(chosen, _pixels(dataset, said["kind"], chosen), strict=True):
        try:
            placed = frame_on(frames[n], grid, rows, columns)
        except Unplaceable:
            raise ValueError("its pixels are not those of the series") from None
        own = by_number.get(frames[n]["segment"], 0)
        if (mark := (frames[n]["segment"], *placed.start.tolist())) in seen:
            raise ValueError("two of its frames are of one segment and place")
        seen.add(mark)
        if said["kind"] == "LABELMAP":
            if strange := set(np.unique(pixels).tolist()) - described:
                raise ValueError(f"it has pixels of {min(strange)}, and describes no such segment")
            pixels = _values(pixels, by_number)
        elif not own:
            raise ValueError("a frame does not say of which segment it is")
        r, c = np.nonzero(pixels)
        voxels = placed.voxels(r, c)
        inside = ((voxels >= 0) & (voxels < np.array(shape)[:, np.newaxis])).all(axis=0)
        outside += int(np.count_nonzero(~inside))
        at = tuple(voxels[:, inside])
        new = pixels[r, c][inside] if said["kind"] == "LABELMAP" else own
        overlapping += int(np.count_nonzero((labels[at] != 0) & (labels[at] != new)))
        labels[at] = new
    if outside:
        raise ValueError(f"{outside} of its labelled pixels lie outside the series")
    if overlapping:
        raise ValueError(f"two of its classes share {overlapping} voxels")
    return labels


def _pixels(dataset: Dataset, kind: str, frames: Sequence[int]) -> Iterator[np.ndarray]:
    """The frames, [rows columns], as they are stored; of shares only those that are 0 and 1."""
    most = int(dataset.get("MaximumFractionalValue", 1) or 1) if kind == "FRACTIONAL" else 1
    for pixels in decoded_frames(dataset, frames):
        if pixels.shape != (dataset.Rows, dataset.Columns) or pixels.dtype.kind != "u":
            raise ValueError("its pixels are not what its header says")
        if kind != "LABELMAP" and dataset.BitsAllocated != 1 and not np.isin(pixels, (0, most)).all():
            raise ValueError("it holds shares of voxels, which are no labels")
        yield pixels


def _values(pixels: NDArray[np.generic], by_number: Mapping[int, int]) -> np.ndarray:
    table = np.zeros(int(pixels.max()) + 1, np.min_scalar_type(max(by_number.values(), default=0)))
    for number, value in by_number.items():
        if number < len(table):
            table[number] = value
    values: np.ndarray = table[pixels]
    return values
