"""A plane of a scan and its place in the patient: an image, or a frame of an enhanced one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SeriesName:
    """What tells a series from others; UIDs are for comparing, and never shown."""

    study: str
    uid: str
    modality: str  # CT, MR or PT
    description: str
    number: int | None
    units: str = ""  # of PET's values
    patient: str = ""  # a digest of whose it is, good for this process alone; "": it does not say

    def told(self) -> str:
        """For the one who has to choose."""
        number = "without number" if self.number is None else f"number={self.number}"
        return f"{number} modality={self.modality} description={self.description!r}"


@dataclass(frozen=True)
class Plane:
    """Rows x columns pixels, and where they lie (LPS+ mm)."""

    path: Path
    frame: int
    series: SeriesName
    instance: str
    frame_of_reference: str
    rows: int
    columns: int
    position_mm: tuple[float, ...]  # of the centre of the first pixel
    orientation: tuple[float, ...]  # unit vectors along a row, then down a column
    spacing_mm: tuple[float, ...]  # between rows, then between columns
    slope: float
    intercept: float
    order: int | None  # the number of the image in its series
    apart: Mapping[str, str] = field(default_factory=dict)  # echo, b-value, ...: what may vary in a series
    broken: str = ""  # why its pixels cannot be read

    @property
    def normal(self) -> NDArray[np.float64]:
        """The unit vector along which planes are stacked."""
        return np.cross(self.orientation[:3], self.orientation[3:])

    @property
    def is_localizer(self) -> bool:
        """Whether it says that it is there to plan others on."""
        return "LOCALIZER" in self.apart.get("kind", "").upper().split("\\")


@dataclass(frozen=True)
class Unplaced:
    """An image of a series that does not say where it lies."""

    path: Path
    series: SeriesName
    why: str


def series_of(said: Mapping[str, Any]) -> SeriesName:
    """Of a file, of what `process.py` says about it."""
    of = said["series"]
    return SeriesName(
        of["study"],
        of["series"],
        of["modality"],
        of["description"],
        of["number"],
        of["units"],
        of["patient"],
    )


def planes_in(path: Path, said: Mapping[str, Any]) -> list[Plane]:
    """The planes of the file at `path`, of what `process.py` says about it."""
    of, name = said["series"], series_of(said)
    return [
        Plane(
            path=path,
            frame=number,
            series=name,
            instance=of["instance"],
            frame_of_reference=of["frame_of_reference"],
            rows=of["rows"],
            columns=of["columns"],
            position_mm=tuple(frame["position"]),
            orientation=tuple(frame["orientation"]),
            spacing_mm=tuple(frame["spacing"]),
            slope=frame["slope"],
            intercept=frame["intercept"],
            order=frame["order"],
            apart=frame["apart"],
            broken=said["broken"],
        )
        for number, frame in enumerate(said["frames"])
    ]
