"""Label maps of DICOM series as DICOM SEG, beside `write_label_map`: the same labels, on the same planes.

Segments are numbered 1, 2, ... in the order of the label values. The file is made in a process apart: neither
what a source's headers hold nor an encoder's fault meets this one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ....errors import UserError, unknown
from ..apart import ReaderFailed, asked_apart
from ..scan import Scan
from .codes import Coded

PROCESS = "distilseg.data.scans.dicom.seg_process"
KINDS = ("binary", "labelmap")


@dataclass(frozen=True)
class Model:
    """Who segmented: a SEG says it in its algorithm identification."""

    name: str
    version: str  # of distilseg
    digest: str  # SHA-256 of the artefact's description, which holds those of all its files
    digest_of: str = "SHA-256 of the artefact"


@dataclass(frozen=True)
class SegWriter:
    """Writes SEG files of one model."""

    labels: Mapping[int, str]  # value -> name; 0 is the background
    codes: Mapping[int, Coded]  # of every other value
    model: Model
    kind: str = "binary"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown("value of --seg", self.kind, KINDS)
        if find_spec("highdicom") is None:
            raise UserError(
                "DICOM SEG needs highdicom, which is not installed", "pip install 'distilseg[dicom]'"
            )

    def __call__(self, path: Path, labels_IJK: np.ndarray, like: Scan, *, report: Path | None = None) -> None:
        """Writes labels on the grid of `like`, which was read from DICOM, to `path`. Raises `UserError`.

        With `report`, a structured report of their volumes goes there.
        """
        origin = like.origin
        volume = origin.volume
        if origin.tilt is not None:
            labels_IJK = origin.tilt.put_back(labels_IJK)
        first = volume.planes[0]
        if not first.frame_of_reference:
            raise UserError(
                f"{like.path}: the series has no frame of reference, so a SEG of it has no place",
                "write its labels with --as nifti",
            )
        values = sorted(self.codes)
        numbers = np.searchsorted(values, labels_IJK) + 1
        segments_KJI = np.where(labels_IJK == 0, 0, numbers).astype(np.min_scalar_type(len(values))).T
        step_mm = float(abs(np.diff([np.dot(p.position_mm, first.normal) for p in volume.planes[:2]])[0]))
        size = sum(file.stat().st_size for file in volume.files)
        with tempfile.TemporaryDirectory() as folder:
            np.save(Path(folder) / "labels.npy", np.ascontiguousarray(segments_KJI))
            asked = {
                "out": str(path.absolute()),
                "labels": str(Path(folder) / "labels.npy"),
                "files": [str(file.absolute()) for file in volume.files],
                "planes": {
                    "positions": [plane.position_mm for plane in volume.planes],
                    "orientation": first.orientation,
                    "spacing": first.spacing_mm,
                    "step": step_mm,
                    "voxel_mm3": volume.geometry.voxel_mm3,
                },
                "segments": [self._segment(value) for value in values],
                "model": {
                    "name": self.model.name,
                    "version": self.model.version,
                    "digest": self.model.digest,
                    "parameters": {self.model.digest_of: self.model.digest},
                },
                "kind": self.kind.upper(),
                "report": str(report.absolute()) if report is not None else "",
            }
            try:
                said, _ = asked_apart(PROCESS, asked, size=size)
            except ReaderFailed as error:
                said = {"error": str(error)}
        if "error" in said:
            raise UserError(
                f"{like.path}: no SEG can be made of it ({said['error']})", "write its labels with --as nifti"
            )

    def _segment(self, value: int) -> dict[str, object]:
        told: dict[str, object] = self.codes[value].model_dump(mode="json")
        return {"name": self.labels[value]} | told
