"""The programs of a page as the wheel carries them: bundles of `web/`, packed, and what they know.

They are made by `npm run ship` in `web/`; a test says when they are not those of its sources.
"""

from __future__ import annotations

import gzip
import json
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from ...errors import UserError

FOLDER = Path(__file__).parent / "built"
MANIFEST = FOLDER / "manifest.json"
_AGAIN = "install distilseg again; in a checkout: npm run ship, in web/"


@cache
def manifest() -> dict[str, Any]:
    """What `web/build.mjs` noted: `knows`, and the SHA-256 of the sources and of each file, unpacked."""
    try:
        found: dict[str, Any] = json.loads(MANIFEST.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"the programs of a page are not there ({error})", _AGAIN) from None
    return found


def packed(name: str) -> bytes:
    """A file, gzip'd, as it goes into a page."""
    try:
        content = (FOLDER / f"{name}.gz").read_bytes()
        whole = sha256(gzip.decompress(content)).hexdigest() == manifest()["files"][name]
    except (OSError, EOFError, KeyError) as error:
        raise UserError(f"a program of the page is not there ({name}: {error})", _AGAIN) from None
    if not whole:
        raise UserError(f"{name}, a program of the page, is not what was built", _AGAIN)
    return content


def unpacked(name: str) -> bytes:
    """The same, as it is run."""
    return gzip.decompress(packed(name))


def text(name: str) -> str:
    """The same of text."""
    return unpacked(name).decode("utf-8")
