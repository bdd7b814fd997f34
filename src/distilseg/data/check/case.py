"""What is wrong within one case. Each of its files is read once, and let go before the next."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from ..case import Case, Dataset, Source
from ..planning.fingerprint import filled_along
from ..scans.hounsfield import looks_like_hounsfield
from ..scans.learnable import unlearnable
from ..scans.reading import label_as_it_is, merged_values, read_stored, scan_of
from ..scans.scan import Scan, Stored, UnreadableImage
from .grid import Placed, check_grid, compare_grids
from .label import check_label
from .report import Findings


def check_case(case: Case, dataset: Dataset, tolerance_mm: float) -> Findings:
    """Everything that is wrong with `case` by itself."""
    found = Findings(case)
    reference: Placed | None = None  # the first image on a usable grid
    for path, series in dict.fromkeys((source.path, source.series) for source in case.images.values()):
        channels = {
            name: one for name, one in case.images.items() if (one.path, one.series) == (path, series)
        }
        for name, scan in _scans(path, channels, found, series):
            _check_voxels(scan.array, name, path, found)
            if check_grid(scan, found) and channels[name].onto is None:  # else it is resampled when read
                reference = reference or Placed(scan.geometry, path)
                compare_grids(scan, reference, f"{name} image", tolerance_mm, found)
                _check_box(scan, channels[name], found)
                _remember_filled(scan, found)
    if case.label is not None:
        for scan in _label(case, case.label, found):
            check_label(merged_values(scan, case), dataset.labels, dataset.unknown, found)
            if check_grid(scan, found) and reference is not None:
                compare_grids(scan, reference, "label", tolerance_mm, found)
    return found


def _label(case: Case, label: Path, found: Findings) -> Iterator[Scan]:
    """The label map, if it can be read."""
    if case.painted is None:
        yield from (scan for _, scan in _scans(label, {"label": Source(label)}, found))
        return
    found.files += len(case.painted.files)
    try:
        yield label_as_it_is(case, label)
    except UnreadableImage as error:
        found.add(error.kind, error.cause, error.fix, label)


def _scans(
    path: Path, sources: Mapping[str, Source], found: Findings, series: str = ""
) -> Iterator[tuple[str, Scan]]:
    """The modalities in one file, or in a series of a folder; what makes it unusable is reported once."""
    found.files += 1
    try:
        stored = read_stored(path, series)
        _check_channels(stored, sources, path, found)
        for name, source in sources.items():
            yield name, scan_of(stored, source)
    except UnreadableImage as error:
        found.add(error.kind, error.cause, error.fix, path)


def _check_channels(stored: Stored, sources: Mapping[str, Source], path: Path, found: Findings) -> None:
    channels = stored.array.shape[3] if stored.array.ndim == 4 else 1
    asked = [source.channel for source in sources.values() if source.channel is not None]
    if asked and channels > len(asked):
        found.add(
            "modality",
            f"{path} holds {channels} channels, the dataset names {len(asked)} modalities",
            "name every channel in 'modality'",
            path,
            severity="warning",
        )


def _check_box(scan: Scan, source: Source, found: Findings) -> None:
    """What the scan keeps of its voxels when it is read."""
    if source.box_mm:
        from ..scans.placing import box_voxels  # with SimpleITK, which few datasets need

        try:
            box_voxels(scan.geometry, source)
        except UnreadableImage as error:
            found.add(error.kind, error.cause, error.fix, source.path)


def _remember_filled(scan: Scan, found: Findings) -> None:
    """Where the case's images are not 0, of all on the grid of the first."""
    found.grid = found.grid or scan.geometry
    if found.grid.shape == scan.geometry.shape:
        own = filled_along(scan.array)
        found.filled = [a | b for a, b in zip(found.filled or own, own, strict=True)]


def _check_voxels(array: np.ndarray, modality: str, path: Path, found: Findings) -> None:
    with np.errstate(invalid="ignore"):
        low, high = array.min(), array.max()
    found.ranges[modality] = float(low), float(high)
    if looks_like_hounsfield(array):
        found.hounsfield.add(modality)
    if (refused := unlearnable(array, str(path))) is not None:
        kind, error = refused
        found.add(kind, error.cause, error.fix, path)
    elif low == high:
        found.add(
            "constant", f"all voxels of {path} are {low}", "is it the right file?", path, severity="warning"
        )
        return
    digest = hashlib.blake2b(f"{array.shape}{array.dtype}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(array.T).data)
    fingerprint = digest.hexdigest()
    same = next((name for name, other in found.fingerprints.items() if other == fingerprint), None)
    if same is not None:
        found.add(
            "duplicate",
            f"the {modality} image holds the same voxels as the {same} image ({path})",
            "is one of the two files a copy of the other by mistake?",
            path,
            severity="warning",
        )
    found.fingerprints[modality] = fingerprint
