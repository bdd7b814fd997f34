"""What classes are in the words of SNOMED CT: suggested from their names, kept in a file, never guessed.

    {"liver": {"category": ["123037004", "SCT", "Anatomical Structure"],
               "type": ["10200004", "SCT", "Liver"]},
     "kidney_left": {"category": ..., "type": ["64033007", "SCT", "Kidney"], "laterality": "left"}}

A class is suggested the structure, tissue or lesion of DICOM's lists for segmentations (CID 7192, 7166, 7159)
that has the same name, but for case, spaces and a side. No other is. Somebody who knows looks through them;
a class that is null has no code, and gets one of our own that says no more than its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....errors import UserError
from ....files import write_json
from ....json_files import read_object
from ....names import quoted

PRIVATE = "99DISTILSEG"
_CATEGORIES = {  # by the list that a type is in
    7192: ("123037004", "SCT", "Anatomical Structure"),
    7166: ("85756007", "SCT", "Tissue"),
    7159: ("49755003", "SCT", "Morphologically Abnormal Structure"),
}
_SIDES = ("left", "right")
_MOST = {0: 16, 1: 16, 2: 64}  # characters of value, scheme and meaning

Triple = tuple[str, str, str]  # value, scheme, meaning


@dataclass(frozen=True)
class Coded:
    """A class in a code's words."""

    category: Triple
    type: Triple
    laterality: str = ""  # left, right or ""

    def to_dict(self) -> dict[str, Any]:
        """For the file."""
        side = {"laterality": self.laterality} if self.laterality else {}
        return {"category": list(self.category), "type": list(self.type)} | side


def private(value: int, name: str) -> Coded:
    """A code of our own, for a class that nobody gave another."""
    structure = ("SEGMENTED", PRIVATE, "Segmented structure")
    return Coded(structure, (f"CLASS-{value}", PRIVATE, name[: _MOST[2]]))


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
                return Coded(category, (code.value, "SCT", code.meaning), sides[0] if sides else "")
    return None


def suggest(path: Path, names: Iterable[str]) -> int:
    """Writes suggestions for classes to the file at `path`, null for those without; how many have one."""
    found = {name: suggested(name) for name in names}
    write_json(path, {name: coded and coded.to_dict() for name, coded in found.items()})
    return sum(coded is not None for coded in found.values())


def read_codes(path: Path, labels: Mapping[int, str]) -> dict[int, Coded]:
    """The code of each label value but 0; raises `UserError` where a class is missing or makes no sense."""
    told = read_object(path)
    if missing := [name for value, name in labels.items() if value and name not in told]:
        raise UserError(f"{path} has no {', '.join(missing)}", "add them; null is: no code")
    return {
        value: private(value, name) if told[name] is None else _coded(told[name], name, path)
        for value, name in labels.items()
        if value
    }


def _coded(told: Any, name: str, path: Path) -> Coded:
    try:
        category, kind = (tuple(told[key]) for key in ("category", "type"))
        side = told.get("laterality", "")
        for triple in (category, kind):
            if len(triple) != 3 or any(
                not isinstance(word, str) or not 0 < len(word) <= _MOST[n] for n, word in enumerate(triple)
            ):
                raise ValueError
        if side not in ("", *_SIDES) or not set(told) <= {"category", "type", "laterality"}:
            raise ValueError
    except (TypeError, KeyError, ValueError, AttributeError):
        raise UserError(
            f"{path}: the code of {quoted(name)} makes no sense",
            'write {"category": [value, scheme, meaning], "type": [value, scheme, meaning]}, and'
            ' "laterality": "left" or "right" where it has a side',
        ) from None
    return Coded(category, kind, side)
