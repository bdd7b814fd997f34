"""A folder of DICOM before any case is made of it: which series are volumes, and why the others are none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...errors import UserError
from ..formats.segmented import SETTINGS
from ..scans.dicom.series import found_in
from ..scans.dicom.voxels import voxels_of


@dataclass(frozen=True)
class SeriesReport:
    """What lies in a folder, a line each."""

    folder: Path
    volumes: tuple[str, ...]  # every voxel of them was read
    refused: tuple[str, ...]  # why, and what to do
    single: int  # images by themselves: localizers, captures
    others: dict[str, int]  # files that are no scans, by what they are
    segmented: bool = False  # some are segmentations: then it is a dataset, too

    @property
    def ok(self) -> bool:
        """There is a volume, and nothing is refused."""
        return bool(self.volumes) and not self.refused

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return asdict(self) | {"folder": str(self.folder), "ok": self.ok}


def check_dicom(folder: Path, progress: Callable[[int, int], object] | None = None) -> SeriesReport:
    """Every series in the folder, or the file, at `folder`; all pixels are decoded."""
    found = found_in(folder)
    volumes, refused = [], [f"{file}: {why}; copy it again" for file, why in found.broken.items()]
    refused += [f"{one.told()}; {one.fix}" for one in found.refusals if not one.is_few]
    for done, volume in enumerate(found.volumes, start=1):
        told = "; ".join([volume.told(), *volume.notes])
        try:
            voxels_of(volume, folder)
        except UserError as error:
            refused.append(f"{volume.told()}: {error}")
        else:
            lean = f"; leans by {volume.lean_degrees:.1f} degrees" if volume.lean_degrees else ""
            volumes.append(told + lean)
        if progress is not None:
            progress(done, len(found.volumes))
    single = sum(one.images for one in found.refusals if one.is_few)
    others = Counter(kind or "no DICOM" for file, kind in found.others.items() if file != folder / SETTINGS)
    segmented = bool(found.segmentations)
    return SeriesReport(folder, tuple(volumes), tuple(refused), single, dict(others), segmented)
