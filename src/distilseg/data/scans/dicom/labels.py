"""Labels of a series that lie in DICOM SEG, as a label map on its planes: voxel for voxel, or refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ....names import plain, quoted
from ...case import Painted
from ..apart import ReaderFailed
from ..scan import Scan, UnreadableImage
from .finding import read_labels
from .segments import Segmentation, grid_lps
from .series import found_again


def read_painted(painted: Painted) -> Scan:
    """The label map that segments of one or more files paint. Raises `UnreadableImage`, naming the file."""
    found = found_again(painted.on.path, painted.on.series, painted.files)
    volume = found.volume(painted.on.series)
    shape, grid = volume.geometry.shape, grid_lps(volume)
    here = {one.path: one for one in found.segmentations}
    most = max((value for _, values in painted.values for _, value in values), default=0)
    labels = np.zeros(shape, np.min_scalar_type(most))
    read: dict[Path, tuple[dict[str, int], np.ndarray]] = {}
    for path, values in painted.values:
        if path not in here:
            raise UnreadableImage(
                "missing", f"{path}: the segmentation that was found there is gone", "look again"
            )
        asked = {"shape": shape, "grid_lps": grid.tolist(), "values": {str(n): value for n, value in values}}
        try:
            own = read_labels(here[path], asked)
        except ReaderFailed as error:
            raise _refused(path, str(error)) from None
        if shared := int(np.count_nonzero((labels != 0) & (own != 0) & (labels != own))):
            raise _refused(path, f"its classes share {shared} voxels with those of another segmentation")
        mine = _names(here[path], values)
        for other, (their_names, theirs) in read.items():
            for name in mine.keys() & their_names.keys():
                _check_one_reading(path, other, name, own == mine[name], theirs == their_names[name])
        read[path] = mine, own
        labels = np.maximum(labels, own.astype(labels.dtype))
    return Scan(labels, volume.geometry, painted.files[0])


def _names(one: Segmentation, values: Sequence[tuple[int, int]]) -> dict[str, int]:
    """The label value of each segment, by its name."""
    of_number = dict(values)
    return {plain(each.name): of_number[each.number] for each in one.segments if each.number in of_number}


def _check_one_reading(path: Path, other: Path, name: str, own: np.ndarray, theirs: np.ndarray) -> None:
    """Raises `UnreadableImage` for one thing that two drew differently; apart they are two of a kind."""
    differing = int(np.count_nonzero(own != theirs))
    if differing and np.any(own & theirs):
        raise _refused(path, f"{other} segments {quoted(name)} too, and differs in {differing} voxels")


def _refused(path: Path, why: str) -> UnreadableImage:
    return UnreadableImage(
        "label",
        f"{path} is no label map of its series: {why}",
        "correct it, or leave its case out: 'without' in dicom.json",
    )
