"""Segments of DICOM SEG as classes: by what people wrote down, else by name and code where these agree.

Several people segment, each in words of their own. Without a list of classes, segments of one name (but for
case and punctuation) are one class. Where names and codes contradict each other, nothing is guessed:

    one name, two codes       Kidney with the code of the left one here, of the right one there
    two names, one code       Liver here, LIV there, never both in one file; in one file they are two classes

A list says which segments a class is, by their names, and by its code:

    {"liver": {"segments": ["LIV", "Liver 1"], "category": [...], "type": ["10200004", "SCT", "Liver"]},
     "lesion": null}
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UserError
from ...names import plain, quoted
from ..scans.dicom.codes import PRIVATE, Coded, coded

if TYPE_CHECKING:
    from ..scans.dicom.segments import Segment, Segmentation


@dataclass(frozen=True)
class Classes:
    """Which segment is which label value."""

    labels: Mapping[int, str]  # value -> name; 0 is the background
    codes: Mapping[str, Coded]  # of those that have one
    values: Mapping[tuple[Path, int], int]  # file and number of a segment -> value
    left: tuple[str, ...] = ()  # names of segments that are of no class


@dataclass(frozen=True)
class Listed:
    """A class as somebody wrote it down."""

    name: str
    segments: tuple[str, ...] = ()  # names of segments that are of it, beside its own
    code: Coded | None = None

    def is_named(self, segment: Segment) -> bool:
        """Whether a segment is called as this class."""
        return plain(segment.name) in {plain(name) for name in (self.name, *self.segments)}

    def is_coded(self, segment: Segment) -> bool:
        """Whether a segment has the code of this class."""
        return None not in (self.code, segment.code) and _means(self.code) == _means(segment.code)


def listed_classes(told: Any, path: Path) -> tuple[Listed, ...]:
    """The classes that a file lists; raises `UserError` where that makes no sense."""
    if not isinstance(told, dict) or not told:
        raise UserError(f"{path}: the classes must be an object", 'write {"liver": null, ...}')
    return tuple(_listed(name, one, path) for name, one in told.items())


def _listed(name: str, told: Any, path: Path) -> Listed:
    if told is None:
        return Listed(name)
    segments = told.get("segments", []) if isinstance(told, dict) else None
    if not isinstance(segments, list) or not all(isinstance(one, str) for one in segments):
        raise UserError(
            f"{path}: the class {quoted(name)} makes no sense",
            'write null, or {"segments": [names], "category": [value, scheme, meaning], "type": [...]}',
        )
    code = {key: value for key, value in told.items() if key != "segments"}
    return Listed(name, tuple(segments), coded(code, name, path) if code else None)


def classes_of(segmentations: Sequence[Segmentation], listed: Sequence[Listed], file: Path) -> Classes:
    """The class of each segment; raises `UserError` where names and codes do not say that.

    `file` is where the classes may be listed.
    """
    if not listed:
        listed = _by_themselves(segmentations, file)
    values: dict[tuple[Path, int], int] = {}
    left: dict[str, None] = {}
    for one in segmentations:
        for segment in one.segments:
            own = _class_of(segment, one.path, listed, file)
            if own is None:
                left[segment.name] = None
            else:
                values[one.path, segment.number] = own
    labels = {0: "background", **{n: one.name for n, one in enumerate(listed, start=1)}}
    codes = {one.name: one.code for one in listed if one.code is not None}
    return Classes(labels, codes, values, tuple(left))


def _class_of(segment: Segment, path: Path, listed: Sequence[Listed], file: Path) -> int | None:
    """The label value of a segment: by its name, else by its code; None for one that is of no class."""
    found = [n for n, one in enumerate(listed, start=1) if one.is_named(segment)]
    found = found or [n for n, one in enumerate(listed, start=1) if one.is_coded(segment)]
    if len(found) > 1:
        names = " and ".join(listed[n - 1].name for n in found)
        raise UserError(
            f"{path}: the segment {quoted(segment.name)} is of {names}", f"say in {file} of which"
        )
    return found[0] if found else None


@dataclass
class _Named:
    """The segments of one name, but for case and punctuation."""

    spelled: Counter[str] = field(default_factory=Counter)
    codes: dict[tuple[object, ...], Coded] = field(default_factory=dict)
    files: set[Path] = field(default_factory=set)


def _by_themselves(segmentations: Sequence[Segmentation], file: Path) -> list[Listed]:
    """A class for each name; raises `UserError` where codes say that it is none."""
    named: dict[str, _Named] = defaultdict(_Named)
    for one in segmentations:
        for segment in one.segments:
            if not plain(segment.name):
                raise UserError(
                    f"{one.path}: segment {segment.number} has no name", f"list the classes in {file}"
                )
            same = named[plain(segment.name)]
            same.spelled[segment.name] += 1
            same.files.add(one.path)
            if segment.code is not None and segment.code.type[1] != PRIVATE:
                same.codes.setdefault(_means(segment.code), segment.code)
    for same in named.values():
        if len(same.codes) > 1:
            told = ", ".join(_told(code) for code in same.codes.values())
            raise UserError(
                f"segments are called {quoted(_spelling(same))} and have {len(same.codes)} codes: {told}",
                f"say in {file} which classes they are",
            )
    by_code: dict[tuple[object, ...], list[_Named]] = defaultdict(list)
    for same in named.values():
        for means in same.codes:
            by_code[means].append(same)
    for means, several in by_code.items():
        for first, second in combinations(several, 2):
            if not first.files & second.files:
                raise UserError(
                    f"segments are called {quoted(_spelling(first))} in {len(first.files)} files and"
                    f" {quoted(_spelling(second))} in {len(second.files)}, and both are"
                    f" {_told(first.codes[means])}",
                    f"say in {file} whether they are one class",
                )
    return [
        Listed(_spelling(same), tuple(same.spelled), next(iter(same.codes.values()), None))
        for _, same in sorted(named.items())
    ]


def _spelling(same: _Named) -> str:
    return min(same.spelled, key=lambda name: (-same.spelled[name], name))


def _told(code: Coded) -> str:
    side = f" {code.laterality}" if code.laterality else ""
    return f"{code.type[2]}{side} ({code.type[0]})"


def _means(code: Coded | None) -> tuple[object, ...]:
    return code.means if code is not None else ()
