"""Whether a label map holds what the dataset says it does."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..scans.learnable import voxels
from ..scans.scan import Scan, numbers
from .report import Findings

_TOO_MANY = 1000  # distinct values


def check_label(scan: Scan, labels: Mapping[int, str], unknown: int | None, found: Findings) -> None:
    """Reports values that have no name or are no whole numbers, an empty map, and whole numbers as floats."""
    counts, found.label_read = _counts(scan.array)
    whole = {int(value): n for value, n in counts.items() if np.isfinite(value) and value == np.floor(value)}
    found.counts = whole
    path = scan.path
    bad = sum(n for value, n in counts.items() if not np.isfinite(value))
    if bad:
        found.add(
            "non_finite", f"the label {path} has {bad} NaN or infinite {voxels(bad)}", "fill them", path
        )
    between = sorted(value for value in counts if np.isfinite(value) and value != np.floor(value))
    if between:
        more = f" and {len(between) - 3} more" if len(between) > 3 else ""
        found.add(
            "label_value",
            f"the label {path} holds {numbers(between[:3])}{more}, whole numbers were expected",
            "was it resampled or scaled? resample label maps with nearest neighbour",
            path,
        )
    strange = sorted(set(whole) - set(labels) - {unknown})
    if strange:
        held = ", ".join(f"{value} ({whole[value]} {voxels(whole[value])})" for value in strange[:5])
        more = f" and {len(strange) - 5} more" if len(strange) > 5 else ""
        found.add(
            "label_value",
            f"the label {path} holds {held}{more}, the dataset names {_span(labels)}",
            _guess(strange, labels),
            path,
        )
    elif set(whole) == {unknown} and not between and not bad:
        found.add(
            "label_empty",
            f"the label {path} leaves every voxel without a label",
            "label it, or remove the label map: the case is then an unlabelled one",
            path,
            severity="warning",
        )
    elif set(whole) <= {0, unknown} and not between and not bad:
        found.add("label_empty", f"the label {path} is empty", "was it drawn?", path, severity="warning")
    if scan.array.dtype.kind == "f" and not (between or bad):
        found.add(
            "label_type",
            f"the label {path} stores whole numbers as {scan.array.dtype}",
            "harmless; `--fix` stores them as the smallest unsigned integers",
            path,
            severity="warning",
            fixable=min(whole) >= 0,
        )


def _counts(array: np.ndarray) -> tuple[dict[float, int], bool]:
    """Voxels by value (NaN counts as infinite), and whether all were counted: it ends early on what is no
    label map, but an image."""
    counts: dict[float, int] = {}
    for k in range(array.shape[2]):
        values, times = _histogram(array[:, :, k].ravel(order="K"))
        for value, n in zip(values.tolist(), times.tolist(), strict=True):
            key = value if value == value else float("inf")
            counts[key] = counts.get(key, 0) + n
        if len(counts) > _TOO_MANY:
            return counts, False
    return counts, True


def _histogram(voxels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct values and how often each occurs; without sorting where the type is small."""
    if voxels.dtype in (np.uint8, np.uint16):
        times = np.bincount(voxels)
        values = np.flatnonzero(times)
        return values, times[values]
    return np.unique(voxels, return_counts=True)


def _guess(strange: list[int], labels: Mapping[int, str]) -> str:
    """What probably happened that a label map holds values without a name."""
    highest = max(labels)
    if strange == [4] and highest == 3:
        return "did you forget to remap BraTS label 4 to 3?"
    if strange == [255]:
        return f"is it a mask stored as 0 and 255? write {1 if 1 in labels else highest} for 255"
    if min(strange) < 0:
        return "label values start at 0; is it an image instead of a label map?"
    if len(strange) > 50:
        return "is it an image instead of a label map?"
    return "name these values in the dataset's labels, or remap them"


def _span(labels: Mapping[int, str]) -> str:
    values = sorted(labels)
    if values == list(range(len(values))) and len(values) > 2:
        return f"0 to {values[-1]}"
    return " and ".join([", ".join(map(str, values[:-1])), str(values[-1])] if len(values) > 1 else ["0"])
