"""Many cases as DICOM SEG: which can be, where reports of volumes go, and which of them are empty."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ..data.case import Case
from ..data.scans.scan import Scan
from ..errors import UserError
from ..files import written_whole

if TYPE_CHECKING:
    from ..data.scans.dicom.segmentation import SegWriter

SEG_ENDING = ".dcm"


@dataclass(frozen=True)
class SegFiles:
    """Writes labels as `seg` does, where a case's file goes, and remembers where nothing was found."""

    seg: SegWriter
    reports: Mapping[str, Path] = field(default_factory=dict)  # by the name of a SEG, where its report goes
    nothing: set[str] = field(default_factory=set)  # names of SEGs without a voxel

    def __call__(self, path: Path, labels_IJK: NDArray[Any], like: Scan) -> None:
        if path.name in self.reports:
            with written_whole(self.reports[path.name]) as aside:
                self.seg(path, labels_IJK, like, report=aside)
        else:
            self.seg(path, labels_IJK, like)
        if not labels_IJK.any():
            self.nothing.add(path.name)

    def notes(self, written: Mapping[str, Path], skipped: Mapping[str, Path]) -> dict[str, str]:
        """What is worth telling of cases."""
        told = {case: "nothing found" for case, file in written.items() if file.name in self.nothing}
        for case, file in skipped.items():
            if file.name in self.reports and not self.reports[file.name].exists():
                told[case] = "no report: its SEG is there already (--overwrite)"
        return told


def reports_beside(files: Iterable[Path]) -> dict[str, Path]:
    """Where the report of each SEG goes, by the name of its file. Raises `UserError` where a SEG does."""
    segs = list(files)
    reports = {file.name: file.with_name(f"{file.stem}_report{file.suffix}") for file in segs}
    if taken := set(reports.values()) & set(segs):
        raise UserError(f"{min(taken)} would be a SEG and a report", "predict the two studies apart")
    return reports


def of_dicom(cases: Sequence[Case], refused: dict[str, str]) -> list[Case]:
    """The cases of which a SEG can be made; why the others are none is noted."""
    kept = []
    for case in cases:
        if all(source.series for source in case.images.values()):
            kept.append(case)
        else:
            told = UserError(f"case {case.id} is no DICOM, and a SEG refers to its images", "use --as nifti")
            refused[case.id] = str(told)
    return kept
