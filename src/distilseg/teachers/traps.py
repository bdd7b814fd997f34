"""What a teacher answers to without an error, and wrongly: orientations it ignores, intensities it never saw.

    orientation    the scans are stored in different orientations, and the teacher takes them as stored
    intensities    a CT scan holds no value below -200 HU, as where an offset was added (often 1024), or none
                   above 100 HU, as where it was scaled to 0 ... 1 or to 8 bits

Any CT of a patient holds air or fat and bone or contrast, so both are rare in Hounsfield units; scans cropped
to the inside of an organ are told without need. MR and PET have no scale that could be looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.planning.decide import is_ct
from ..data.scans.scan import Scan
from .teacher import Teacher

COLDEST_HU = -200.0  # a CT scan without a value below
DENSEST_HU = 100.0  # or without one above is none in Hounsfield units


@dataclass(frozen=True)
class Seen:
    """What a case's scans were like when a teacher was shown them."""

    orientation: str  # as stored
    ranges: Mapping[str, tuple[float, float]]  # the teacher's modality -> least and greatest value

    @classmethod
    def of(cls, scans: Mapping[str, Scan]) -> Seen:
        """Of scans by the teacher's modality, values that are no numbers left out."""
        first = next(iter(scans.values()))
        return cls(first.geometry.orientation, {name: _range(scan.array) for name, scan in scans.items()})

    @classmethod
    def of_plain(cls, value: Mapping[str, Any]) -> Seen:
        """What `plain` gave."""
        ranges = {name: (float(low), float(high)) for name, (low, high) in value["ranges"].items()}
        return cls(str(value["orientation"]), ranges)

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {"orientation": self.orientation, "ranges": {k: list(v) for k, v in self.ranges.items()}}


def traps(teacher: Teacher, seen: Mapping[str, Seen]) -> list[str]:
    """A sentence for each trap that these cases (by id) are for `teacher`."""
    summary = teacher.summary() if seen else {}
    return [*_orientation(teacher.name, summary, seen), *_intensities(teacher.name, summary, seen)]


def _orientation(name: str, summary: Mapping[str, Any], seen: Mapping[str, Seen]) -> list[str]:
    found = Counter(one.orientation for one in seen.values())
    if summary.get("orientation") != "as stored" or len(found) < 2:
        return []
    told = ", ".join(f"{count} {orientation}" for orientation, count in found.most_common())
    return [
        f"{name} takes scans as they are stored, and these are stored in different orientations ({told}): to"
        " some of them it answers turned or mirrored; say which one it was trained on with"
        f" --teacher-orientation, such as {found.most_common(1)[0][0]}"
    ]


def _intensities(name: str, summary: Mapping[str, Any], seen: Mapping[str, Seen]) -> list[str]:
    sentences = []
    for modality in dict.fromkeys(m for one in seen.values() for m in one.ranges if is_ct(m)):
        ranges = {id: one.ranges[modality] for id, one in seen.items() if modality in one.ranges}
        window = (summary.get("intensities") or {}).get(modality)
        known = f" (its structures had {window[0]:.4g} to {window[1]:.4g} in training)" if window else ""
        faults = {
            f"no value below {COLDEST_HU:g}": [id for id, (low, _) in ranges.items() if low > COLDEST_HU],
            f"no value above {DENSEST_HU:g}": [id for id, (_, high) in ranges.items() if high < DENSEST_HU],
        }
        sentences += [
            f"{len(ids)} of {len(ranges)} {modality} scans hold {fault} ({_some(ids)}), so these may not be"
            f" Hounsfield units, which {name} was trained on{known}: its answers may mean nothing"
            for fault, ids in faults.items()
            if ids
        ]
    return sentences


def _range(array: np.ndarray) -> tuple[float, float]:
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
