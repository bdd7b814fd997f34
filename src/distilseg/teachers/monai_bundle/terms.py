"""Terms of use: the licence that lies in a bundle, and a warning where it forbids commercial use."""

from __future__ import annotations

import re
from pathlib import Path

NON_COMMERCIAL = ("vista2d", "vista3d", "maisi", "multi_organ_segmentation")
_TERMS = re.compile(r"non[- ]?commercial|CC[- ]BY[- ]NC", re.IGNORECASE)


def warnings_of(path: Path, name: str, terms: list[str]) -> tuple[str, ...]:
    """What to tell of the licences' texts `terms`, or of a bundle that is known by its file or `name`."""
    names = {path.stem.lower(), name.lower().replace(" ", "_")}
    strict = [text for text in terms if _TERMS.search(text)]
    if not strict and not names & set(NON_COMMERCIAL):
        return ()
    first = first_lines(strict[0] if strict else "\n".join(terms[:1]))
    told = f": {first}" if first else "; its terms are not beside it"
    return (f"{name} is not for commercial use{told}.",)


def first_lines(text: str, count: int = 3) -> str:
    """The first lines of a text that hold something, as one."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    return " / ".join(lines[:count])[:300]
