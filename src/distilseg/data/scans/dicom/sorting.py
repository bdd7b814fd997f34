"""The planes of one series into stacks: what is no part of them set aside, doubles dropped, parts told apart.

A series may hold a localizer, several echoes, b-values or times, and one image twice. Planes of different
size, spacing, orientation or frame of reference are never of one volume. Where several lie at one place:

    one image twice       the same pixels, rescaled the same way: one is dropped
    several volumes       told apart by the first of `APART` that leaves one plane at each place
    neither               refused: nothing says which belongs to which

What is left out is noted, and where one volume would hold planes of two echoes, it is refused.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .plane import Plane, SeriesName
from .stack import SAME_PLACE, NoStack, Volume, along_normal, key_of, stacked

APART = (
    "echo",
    "b-value",
    "direction",
    "time",
    "kind",
    "stack",
    "acquisition",
    "trigger",
    "inversion",
    "flip angle",
)
ONE_IN_A_VOLUME = ("echo", "b-value", "direction", "time")  # these never vary within
_SAME_COSINE, _SAME_MM = 1e-4, 1e-4
_OTHER_COSINE = 0.95  # of two normals: more than 18 degrees apart, and they lie across each other
_MOST_SWAPPED = 0.1  # of all planes, out of order: more is an order of its own, fewer a contradiction
FEW = 2  # images of another size or orientation beside a volume are strays, no volume of their own
_CONTRADICTION = "two files say that they are the same image, and differ", "find out which is right"

Digest = Callable[[Plane], bytes]  # of a plane's pixels; raises ReaderFailed


@dataclass(frozen=True)
class Refusal:
    """Planes of a series that are no volume, and why."""

    series: SeriesName
    files: tuple[Path, ...]
    images: int
    part: str
    cause: str
    fix: str
    localizers: bool = False

    @property
    def key(self) -> str:
        """As of `Volume`."""
        return key_of(self.series, self.part)

    @property
    def is_few(self) -> bool:
        """Whether these are a few images, or localizers, that nobody would take for a volume."""
        return self.localizers or self.images <= FEW

    def told(self) -> str:
        """For the one who has to choose."""
        part = f" {self.part}" if self.part else ""
        return f"{self.series.told()}{part} ({self.images} images: {self.cause})"


def sorted_out(planes: Sequence[Plane], digest: Digest) -> tuple[list[Volume], list[Refusal]]:
    """The volumes in the planes of one series, and what cannot be one."""
    if all(plane.is_localizer for plane in planes):
        told = NoStack("it is made of localizers, no volume", "give the series that was planned on them")
        return [], [replace(refusal_of(planes, "", told), localizers=True)]
    groups = _alike([plane for plane in planes if not plane.is_localizer])
    names = [name for group in groups for name in {(plane.instance, plane.frame) for plane in group}]
    if len(set(names)) < len(names):  # in two groups
        return [], [refusal_of(planes, "", NoStack(*_CONTRADICTION))]
    notes = []
    if localizers := sum(plane.is_localizer for plane in planes):
        notes.append(f"{localizers} localizer images left out")
    try:
        groups, aside = _without_strays(groups)
    except NoStack as error:
        return [], [refusal_of(planes, "", error)]
    if aside:
        notes.append(f"{aside} images of another orientation left out")
    volumes: list[Volume] = []
    refusals: list[Refusal] = []
    for number, group in enumerate(groups, start=1):
        name = f"group={number}" if len(groups) > 1 else ""
        if number > 1 and len(_places(group)) <= FEW:
            alone = NoStack("it is no volume of its own in its series", "give the whole series")
            refusals.append(refusal_of(group, name, alone))
            continue
        made, refused = _of_group(group, name, notes, digest)
        volumes += made
        refusals += refused
    return volumes, refusals


def _of_group(
    group: Sequence[Plane], name: str, notes: Sequence[str], digest: Digest
) -> tuple[list[Volume], list[Refusal]]:
    """The volumes in planes of one size, spacing and orientation."""
    try:
        single = _single(group, digest)
        parts = _parts(single)
    except NoStack as error:
        return [], [refusal_of(group, name, error)]
    if doubles := len(group) - len(single):
        notes = [*notes, f"{doubles} doubles left out"]
    volumes, refusals = [], []
    for part, inside in parts:
        told = " ".join(filter(None, (name, part)))
        try:
            if part:
                _check_whole(inside, group)
            _check_one_kind(inside)
            volume = stacked(inside, told, notes)
            _check_order(volume)
            volumes.append(volume)
        except NoStack as error:
            refusals.append(refusal_of(inside, told, error))
    return volumes, refusals


def refusal_of(planes: Sequence[Plane], part: str, error: NoStack) -> Refusal:
    """Why these planes are no volume."""
    files = tuple(dict.fromkeys(plane.path for plane in planes))
    return Refusal(planes[0].series, files, len(planes), part, error.cause, error.fix)


def _alike(planes: Iterable[Plane]) -> list[list[Plane]]:
    """Planes that may be of one volume, the largest group first."""
    groups: list[list[Plane]] = []
    for plane in planes:
        home = next((group for group in groups if _may_share(group[0], plane)), None)
        groups.append([plane]) if home is None else home.append(plane)
    return sorted(groups, key=len, reverse=True)


def _may_share(one: Plane, other: Plane) -> bool:
    return (
        (one.rows, one.columns) == (other.rows, other.columns)
        and one.frame_of_reference == other.frame_of_reference
        and bool(np.allclose(one.spacing_mm, other.spacing_mm, rtol=0, atol=_SAME_MM))
        and bool(np.allclose(one.orientation, other.orientation, rtol=0, atol=_SAME_COSINE))
    )


def _without_strays(groups: list[list[Plane]]) -> tuple[list[list[Plane]], int]:
    """The groups without a few images across a stack, localizers that do not say so; how many they were.

    Raises `NoStack` for a few that lie along a stack and are not of it: it may lack them.
    """
    if not groups or len(_places(groups[0])) <= FEW:
        return groups, 0
    normal = groups[0][0].normal
    strays = [group for group in groups[1:] if len(_places(group)) <= FEW]
    along = sum(len(group) for group in strays if abs(float(group[0].normal @ normal)) >= _OTHER_COSINE)
    if along:
        raise NoStack(
            f"{along} of its images have another size, spacing, orientation or frame of reference",
            "find out whether they belong to it",
        )
    return [group for group in groups if group not in strays], sum(map(len, strays))


def _places(planes: Sequence[Plane]) -> list[list[Plane]]:
    """The planes by place along the normal."""
    ordered, heights = along_normal(planes)
    near = SAME_PLACE * min(planes[0].spacing_mm)
    places = [[ordered[0]]]
    for plane, step in zip(ordered[1:], np.diff(heights), strict=True):
        places[-1].append(plane) if step <= near else places.append([plane])
    return places


def _single(planes: Sequence[Plane], digest: Digest) -> list[Plane]:
    """The planes without those that are another one's double."""
    kept: list[Plane] = []
    for place in _places(planes):
        if len(place) == 1:
            kept += place
            continue
        seen: dict[tuple[object, ...], Plane] = {}
        whole = {plane.instance for plane in place if not plane.broken}
        for plane in place:
            if plane.broken and plane.instance in whole:
                continue  # a whole copy of it is here
            content = (digest(plane), plane.slope, plane.intercept, tuple(plane.apart.items()))
            near = plane.position_mm, tuple(plane.apart.items())
            seen.setdefault((content, near), plane)
        kept += seen.values()
    if len({(plane.instance, plane.frame) for plane in kept}) < len(kept):
        raise NoStack(*_CONTRADICTION)
    return kept


def _parts(planes: Sequence[Plane]) -> list[tuple[str, list[Plane]]]:
    """The planes by what tells those at one place apart; of one part where none share a place."""
    if not _shared_places(planes):
        return [("", list(planes))]
    told: list[str] = []
    for name in APART:
        if len({plane.apart.get(name, "") for plane in planes}) < 2:
            continue
        told.append(name)
        for names in ([name], told):
            parts: dict[str, list[Plane]] = defaultdict(list)
            for plane in planes:
                parts[" ".join(f"{one}={plane.apart.get(one, '')}" for one in names)].append(plane)
            if not any(map(_shared_places, parts.values())):
                return sorted(parts.items())
    many = max(len(place) for place in _places(planes))
    raise NoStack(
        f"up to {many} different images lie at one place, and nothing tells which belong together",
        "export each volume as a series of its own",
    )


def _shared_places(planes: Sequence[Plane]) -> bool:
    return len(_places(planes)) < len(planes)


def _check_whole(part: Sequence[Plane], group: Sequence[Plane]) -> None:
    """Raises `NoStack` where a part lacks every second plane of the others: how it was parted is doubtful."""
    if len(part) > 1:
        own, all_ = (float(np.median(np.diff(_heights(planes)))) for planes in (part, group))
        if own > 1.5 * all_:
            raise NoStack("its slices lie between those of the other parts", "export each as a series")


def _heights(planes: Sequence[Plane]) -> list[float]:
    return [float(np.dot(place[0].position_mm, planes[0].normal)) for place in _places(planes)]


def _check_one_kind(planes: Sequence[Plane]) -> None:
    for name in ONE_IN_A_VOLUME:
        if len({plane.apart.get(name, "") for plane in planes}) > 1:
            raise NoStack(f"its slices differ in {name}", "export each volume as a series of its own")


def _check_order(volume: Volume) -> None:
    """Raises `NoStack` where a few images are numbered against their place: one of the two is wrong."""
    numbers = [plane.order for plane in volume.planes if plane.order is not None]
    if len(numbers) < len(volume.planes) or len(set(numbers)) < len(numbers):
        return
    odd = len(numbers) - max(_longest_rising(numbers), _longest_rising(numbers[::-1]))
    if 0 < odd <= max(2.0, _MOST_SWAPPED * len(numbers)):
        raise NoStack(
            f"the numbers of {odd} of its {len(numbers)} images contradict their places",
            "find out whether two slices were swapped",
        )


def _longest_rising(numbers: Sequence[int]) -> int:
    """How many of the numbers rise, if as few as can be are left out."""
    ends: list[int] = []  # the least number at which so many rising ones can end
    for number in numbers:
        at = bisect_left(ends, number)
        ends[at : at + 1] = [number]
    return len(ends)
