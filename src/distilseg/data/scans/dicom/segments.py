"""What lies in a DICOM SEG, as plain values: segments with their codes, and of which series it may be.

Which series that is, is told by the images that a SEG refers to; where it refers to none that are here, by
its frame of reference and its grid. It lies on a series where each pixel of its frames is a voxel there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .codes import Coded
from .frames import Unplaceable, frame_on
from .stack import LPS_TO_RAS, Volume


@dataclass(frozen=True)
class Segment:
    """One segment of a file."""

    number: int
    name: str  # its label, as somebody wrote it
    code: Coded | None


@dataclass(frozen=True)
class Segmentation:
    """One SEG; UIDs are for comparing, and never shown."""

    path: Path
    study: str
    instance: str
    frame_of_reference: str
    segments: tuple[Segment, ...]
    places: tuple[Mapping[str, Any], ...]  # where frames lie, each place once, as `process.py` says them
    of_series: frozenset[str]  # that it refers to
    of_instances: frozenset[str]
    unusable: str = ""  # why nothing can be learned from it

    @property
    def files(self) -> tuple[Path, ...]:
        """Its own."""
        return (self.path,)

    def candidates(self, volumes: Sequence[Volume]) -> list[Volume]:
        """The volumes that it may be of: those that it refers to; else those on whose grid it lies."""
        near = [one for one in volumes if one.series.study == self.study or one.series.uid in self.of_series]
        here = [volume for volume in near if self._shares_place(volume)]
        images = [one for one in here if self.of_instances & {plane.instance for plane in one.planes}]
        named = [one for one in here if one.series.uid in self.of_series]
        if images or named:
            return images or named
        return [one for one in here if self.lies_on(one)]

    def _shares_place(self, volume: Volume) -> bool:
        frame = volume.planes[0].frame_of_reference
        return self.frame_of_reference == frame or not (frame and self.frame_of_reference)

    def lies_on(self, volume: Volume) -> bool:
        """Whether each of its frames lies on the voxels of the volume."""
        try:
            for place in self.places:
                frame_on(place, grid_lps(volume))
        except Unplaceable:
            return False
        return bool(self.places) and bool(self.frame_of_reference)


def segmentation_in(path: Path, said: Mapping[str, Any]) -> Segmentation:
    """The SEG at `path`, of what `process.py` says about it."""
    try:
        segments = tuple(
            Segment(one["number"], one["name"], one["code"] and Coded.model_validate(one["code"]))
            for one in said.get("segments", ())
        )
        unusable = said.get("unusable", "")
    except ValueError:
        segments, unusable = (), "the code of a segment makes no sense"
    return Segmentation(
        path=path,
        study=said["study"],
        instance=said["instance"],
        frame_of_reference=said["frame_of_reference"],
        segments=segments,
        places=tuple({str(_place(one)): _place(one) for one in said.get("frames", ())}.values()),
        of_series=frozenset(said.get("of_series", ())),
        of_instances=frozenset(said.get("of_instances", ())),
        unusable=unusable,
    )


def _place(frame: Mapping[str, Any]) -> dict[str, Any]:
    return {name: frame[name] for name in ("position", "orientation", "spacing")}


def grid_lps(volume: Volume) -> NDArray[np.float64]:
    """The volume's affine as files have it: voxel index -> LPS+ mm."""
    grid: NDArray[np.float64] = LPS_TO_RAS @ volume.geometry.affine
    return grid
