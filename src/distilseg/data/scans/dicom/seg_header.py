"""What a DICOM SEG says, in plain values: its segments, where its frames lie, what it was made of; runs in
`process.py`.

    BINARY       a frame is one segment's, of 1 bit a pixel; FRACTIONAL is read where its shares are 0 or 1
    LABELMAP     a pixel is the number of its segment (Supplement 243)

Frames may be left out, stand in any order and lie in any direction: each says its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydicom import Dataset

from .values import Unusable

SEGMENTATIONS = {
    "1.2.840.10008.5.1.4.1.1.66.4": "Segmentation Storage",
    "1.2.840.10008.5.1.4.1.1.66.7": "Label Map Segmentation Storage",
}
KINDS = ("BINARY", "FRACTIONAL", "LABELMAP")
_SIDES = {"7771000": "left", "24028007": "right"}
_MOST_TEXT = 64  # characters of what is kept of a segment

Groups = Mapping[str, Dataset]


def segments_of(dataset: Dataset) -> list[dict[str, Any]]:
    """Number, name and code of every segment but the background; raises `Unusable` for two of a number."""
    found = []
    for one in dataset.get("SegmentSequence") or []:
        number = int(one.SegmentNumber)
        if number:
            found.append({"number": number, "name": _text(one.get("SegmentLabel")), "code": _code(one)})
    if len({one["number"] for one in found}) < len(found):
        raise Unusable("two of its segments have one number")
    return found


def kind_of(dataset: Dataset) -> str:
    """One of `KINDS`; raises `Unusable` for any other."""
    kind = str(dataset.get("SegmentationType", "") or "").strip().upper()
    if kind not in KINDS:
        raise Unusable("it is of no type that is known")
    return kind


def segment_of(groups: Groups) -> int:
    """The segment that a frame is of; 0 where it may be of several."""
    return int(groups.get("SegmentIdentificationSequence", Dataset()).get("ReferencedSegmentNumber") or 0)


def made_of(dataset: Dataset, frames: Iterable[Groups]) -> dict[str, list[str]]:
    """The series and the images that it refers to."""
    series, instances = set(), set()
    for one in dataset.get("ReferencedSeriesSequence") or []:
        series.add(str(one.get("SeriesInstanceUID", "") or ""))
        for keyword in ("ReferencedInstanceSequence", "ReferencedSOPSequence"):
            instances |= _instances(one.get(keyword))
    instances |= _instances(dataset.get("SourceImageSequence"))
    for groups in frames:
        for source in groups.get("DerivationImageSequence", Dataset()).get("SourceImageSequence") or []:
            instances |= _instances([source])
    return {"of_series": sorted(series - {""}), "of_instances": sorted(instances - {""})}


def _instances(items: Iterable[Dataset] | None) -> set[str]:
    return {str(one.get("ReferencedSOPInstanceUID", "") or "") for one in items or []}


def _code(segment: Dataset) -> dict[str, Any] | None:
    """What a segment is, as of `codes.Coded`; None where it does not say that whole."""
    category = _triple(segment.get("SegmentedPropertyCategoryCodeSequence"))
    kind = _triple(segment.get("SegmentedPropertyTypeCodeSequence"))
    if category is None or kind is None:
        return None
    code: dict[str, Any] = {"category": category, "type": kind}
    of_type = segment.SegmentedPropertyTypeCodeSequence[0]
    for one in of_type.get("SegmentedPropertyTypeModifierCodeSequence") or []:
        modifier = _triple([one])
        if modifier is None:
            return None  # what it is modified to is not known
        side = _SIDES.get(modifier[0], "") if modifier[1] == "SCT" else ""
        code |= {"laterality": side} if side else {"modifier": modifier}
    return code


def _triple(items: Any) -> list[str] | None:
    if not items:
        return None
    one = items[0]
    value = one.get("CodeValue") or one.get("LongCodeValue") or ""
    told = [_text(value), _text(one.get("CodingSchemeDesignator")), _text(one.get("CodeMeaning"))]
    return told if all(told) else None


def _text(value: Any) -> str:
    return "".join(sign for sign in str(value or "") if sign.isprintable()).strip()[:_MOST_TEXT]
