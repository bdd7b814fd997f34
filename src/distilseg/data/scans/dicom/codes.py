"""What classes are in the words of SNOMED CT: suggested from their names, kept in a file, never guessed.

    {"liver": {"category": ["123037004", "SCT", "Anatomical Structure"],
               "type": ["10200004", "SCT", "Liver"]},
     "kidney_left": {"category": ..., "type": ["64033007", "SCT", "Kidney"], "laterality": "left"},
     "lesion_in_house": null}

A class is suggested the structure, tissue or lesion of DICOM's lists for segmentations (CID 7192, 7166, 7159)
that has the same name, but for case, spaces and a side. No other is. Somebody who knows looks through them;
a class that is null has no code, and gets one of our own that says no more than its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ....errors import UserError
from ....files import write_json
from ....json_files import read_object
from ....names import quoted
from ....records import Record

PRIVATE = "99DISTILSEG"
_CATEGORIES = {  # by the list that a type is in
    7192: ("123037004", "SCT", "Anatomical Structure"),
    7166: ("85756007", "SCT", "Tissue"),
    7159: ("49755003", "SCT", "Morphologically Abnormal Structure"),
}
_SIDES = ("left", "right")
_MOST = (16, 16, 64)  # characters of value, scheme and meaning

Triple = tuple[str, str, str]  # value, scheme, meaning


@dataclass(frozen=True, kw_only=True)
class Coded(Record):
    """A class in a code's words."""

    category: Triple
    type: Triple
    laterality: Literal["left", "right"] | None = None
    modifier: Triple | None = None  # of the type, other than a side

    def check(self) -> None:
        """Raises ValueError for words that no file of DICOM holds."""
        for triple in (self.category, self.type, *([self.modifier] if self.modifier else [])):
            if any(not 0 < len(word) <= most for word, most in zip(triple, _MOST, strict=True)):
                raise ValueError("a code is a value, a scheme (16 characters each) and a meaning (64)")

    def to_dict(self) -> dict[str, Any]:
        """For a file."""
        told: dict[str, Any] = self.model_dump(mode="json", exclude_none=True)
        return told

    @property
    def means(self) -> tuple[object, ...]:
        """What tells it from other codes: not how its meaning is spelled."""
        return self.type[:2], self.laterality, self.modifier and self.modifier[:2]

    @property
    def is_private(self) -> bool:
        """Whether it says no more than a name."""
        return self.type[1].startswith("99")


def private(value: int, name: str) -> Coded:
    """A code of our own, for a class that nobody gave another."""
    structure = ("SEGMENTED", PRIVATE, "Segmented structure")
    return Coded(category=structure, type=(f"CLASS-{value}", PRIVATE, name[: _MOST[2]]))


def suggested(name: str) -> Coded | None:
    """The code of DICOM's lists for segmentations that is called so; None where there is none."""
    from pydicom.sr._cid_dict import cid_concepts
    from pydicom.sr.codedict import codes

    words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]
    sides = [word for word in words if word in _SIDES]
    plain = "".join(word for word in words if word not in _SIDES)
    if len(sides) > 1:
        return None
    for cid, category in _CATEGORIES.items():
        for keyword in cid_concepts[cid].get("SCT", []):
            if keyword.lower() == plain:
                code = getattr(codes.SCT, keyword)
                told = {"category": category, "type": (code.value, "SCT", code.meaning)}
                return Coded.model_validate(told | ({"laterality": sides[0]} if sides else {}))
    return None


def suggest(path: Path, names: Iterable[str], known: Mapping[str, Coded]) -> int:
    """Writes what is `known` of classes to the file at `path`, else suggestions, null for those without.

    Returns how many have one.
    """
    found = {name: known.get(name) or suggested(name) for name in names}
    write_json(path, {name: coded and coded.to_dict() for name, coded in found.items()})
    return sum(coded is not None for coded in found.values())


def read_codes(path: Path, names: Iterable[str]) -> dict[str, Coded]:
    """The code of each class that has one; raises `UserError` where a class is missing or makes no sense."""
    told, names = read_object(path), list(names)
    if missing := [name for name in names if name not in told]:
        raise UserError(f"{path} has no {', '.join(missing)}", "add them; null is: no code")
    return {name: coded(told[name], name, path) for name in names if told[name] is not None}


def by_value(codes: Mapping[str, Coded], labels: Mapping[int, str]) -> dict[int, Coded]:
    """The code of each label value but 0: of a class without one, one of our own."""
    return {value: codes.get(name) or private(value, name) for value, name in labels.items() if value}


def coded(told: Any, name: str, path: Path) -> Coded:
    """What a file says that a class is; raises `UserError`."""
    try:
        return Coded.model_validate(told)
    except ValueError:
        raise UserError(
            f"{path}: the code of {quoted(name)} makes no sense",
            'write {"category": [value, scheme, meaning], "type": [value, scheme, meaning]}, and'
            ' "laterality": "left" or "right" where it has a side',
        ) from None
