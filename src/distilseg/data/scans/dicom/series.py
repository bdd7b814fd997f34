"""What a folder of DICOM holds: volumes, and refusals of one line each."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from ..apart import ReaderFailed
from ..scan import UnreadableImage
from .finding import Files, Stamp, read_headers, read_pixels, stamp, stamps
from .plane import Plane, Unplaced
from .segments import Segmentation
from .sorting import Refusal, refusal_of, sorted_out
from .stack import NoStack, Volume

_KEPT = 4  # folders whose headers are remembered
_one_at_a_time = threading.Lock()
_known: dict[Path, tuple[dict[Path, Stamp | None], Found]] = {}


@dataclass(frozen=True)
class Found:
    """What lies in a folder."""

    folder: Path
    volumes: tuple[Volume, ...]
    refusals: tuple[Refusal, ...]
    broken: dict[Path, str] = field(default_factory=dict)  # files that are DICOM and cannot be read, and why
    others: dict[Path, str] = field(default_factory=dict)  # files that are no scans: what they are, or ""
    segmentations: tuple[Segmentation, ...] = ()  # which are among the others

    def volume(self, key: str) -> Volume:
        """The volume of this key, or without one the only volume there is; raises `UserError`."""
        chosen = [volume for volume in self.volumes if key in ("", volume.key)]
        doubtful = not key and any(not refusal.is_few for refusal in self.refusals)
        if len(chosen) == 1 and not doubtful:
            return chosen[0]
        if key and (refused := next((one for one in self.refusals if one.key == key), None)):
            raise UnreadableImage("geometry", f"{self.folder}: {refused.told()}", refused.fix)
        if key:
            raise _unclear(f"{self.folder}: the series that was found there is gone", "look again")
        held: list[Volume | Refusal] = [*self.volumes, *self.refusals]
        if not held:
            raise _unclear(f"{self.folder} holds no DICOM volume", "give the folder of a series")
        if len(held) == 1 and self.refusals:
            refused = self.refusals[0]
            raise _unclear(f"{self.folder}: {refused.told()}", refused.fix)
        told = "; ".join(one.told() for one in held)
        raise _unclear(f"{self.folder} holds {len(held)} series: {told}", "give the folder of one of them")


def _unclear(cause: str, fix: str) -> UnreadableImage:
    return UnreadableImage("unreadable", cause, fix)


def found_in(path: Path) -> Found:
    """The volumes and refusals in the folder, or the file, at `path`. Raises `UserError` without pydicom."""
    with _one_at_a_time:  # threads that read the cases of one folder
        return _found(path)


def found_again(path: Path, key: str, others: Iterable[Path] = ()) -> Found:
    """The same for who knows a volume by its key: where its files, and `others`, are as they were when they
    were found, what else changed in the folder is not asked."""
    with _one_at_a_time:
        then, found = _known.get(path, ({}, None))
        volume = next((one for one in found.volumes if one.key == key), None) if found else None
        if found and volume and all(then.get(file) == stamp(file) for file in (*volume.files, *others)):
            return found
        return _found(path)


def _found(path: Path) -> Found:
    now = stamps(path)
    if path in _known and _known[path][0] == now:
        return _known[path][1]
    files = read_headers(path)
    volumes: list[Volume] = []
    refusals: list[Refusal] = []
    series, unplaced = _by_series(files)
    for name, planes in series.items():
        if name in unplaced:  # whatever it is of, the others may lack it
            refusals.append(_unplaced(unplaced[name], planes))
            continue
        try:
            made, refused = sorted_out(planes, _digest)
        except ReaderFailed as error:  # two at one place, and one cannot be read
            told = f"images at one place cannot be compared: {error}"
            made, refused = [], [refusal_of(planes, "", NoStack(told, "copy the series again"))]
        volumes += made
        refusals += refused
    segmentations = tuple(files.segmentations)
    found = Found(path, tuple(volumes), tuple(refusals), files.broken, files.others, segmentations)
    while len(_known) >= _KEPT:
        _known.pop(next(iter(_known)), None)
    _known[path] = now, found
    return found


def _forget_lock() -> None:
    """In a process just forked: a thread of the other one may hold it, and never lets go of it here."""
    global _one_at_a_time
    _one_at_a_time = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)

_Name = tuple[str, str]  # study and series


def _by_series(files: Files) -> tuple[dict[_Name, list[Plane]], dict[_Name, list[Unplaced]]]:
    """The planes of each series, and its images without a place."""
    series: dict[_Name, list[Plane]] = defaultdict(list)
    unplaced: dict[_Name, list[Unplaced]] = defaultdict(list)
    for image in files.unplaced:
        unplaced[image.series.study, image.series.uid].append(image)
    for plane in files.planes:
        series[plane.series.study, plane.series.uid].append(plane)
    return {name: series[name] for name in sorted({*series, *unplaced})}, unplaced


def _unplaced(images: Sequence[Unplaced], planes: Sequence[Plane]) -> Refusal:
    first = images[0]
    files = dict.fromkeys([*(image.path for image in images), *(plane.path for plane in planes)])
    cause = f"{len(images)} of its {len(files)} files cannot be placed: {first.path.name}: {first.why}"
    return Refusal(first.series, tuple(files), len(files), "", cause, "export the series again, whole")


def _digest(plane: Plane) -> bytes:
    """Of a plane's stored pixels."""
    return blake2b(read_pixels(plane)[plane.frame].astype("<i8").tobytes(), digest_size=16).digest()
