"""Labels of a series that lie in DICOM SEG, as a label map on its planes: voxel for voxel, or refused."""

from __future__ import annotations

import numpy as np

from ...case import Painted
from ..apart import ReaderFailed
from ..scan import Scan, UnreadableImage
from .finding import read_labels
from .segments import grid_lps
from .series import found_again


def read_painted(painted: Painted) -> Scan:
    """The label map that segments of one or more files paint. Raises `UnreadableImage`, naming the file."""
    found = found_again(painted.on.path, painted.on.series, painted.files)
    volume = found.volume(painted.on.series)
    shape, grid = volume.geometry.shape, grid_lps(volume)
    here = {one.path: one for one in found.segmentations}
    most = max((value for _, values in painted.values for _, value in values), default=0)
    labels = np.zeros(shape, np.min_scalar_type(most))
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
        labels = np.maximum(labels, own.astype(labels.dtype))
    return Scan(labels, volume.geometry, painted.files[0])


def _refused(path: object, why: str) -> UnreadableImage:
    return UnreadableImage(
        "label", f"{path} is no label map of its series: {why}", "correct it, or name its case in 'without'"
    )
