"""Which cases a teacher was trained on, as its user says it in a file.

    a text       one case a line; what follows # is a remark
    JSON         ["case_1", ...], or lists by name or one after the other: nnU-Net's splits_final.json, a
                 split.json of ours, whose test cases were not seen

Of nnU-Net's folds all count, those that validated too: each trains in some fold, and all shaped the plans.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..data.scans.scan import stem
from ..errors import UserError

_UNSEEN = "test"  # of a split, what nobody was shown


def read_saw(path: Path | str) -> tuple[str, ...]:
    """The cases in the file, each once. Raises `UserError` for a file that names none."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--teacher-saw {path} cannot be read ({error})", "correct the path") from None
    if path.suffix.lower() == ".json":
        try:
            named = list(_texts(json.loads(text), path))
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path} is not valid JSON ({error})", "repair it") from None
    else:
        named = [line.partition("#")[0].strip() for line in text.splitlines()]
    cases = tuple(dict.fromkeys(stem(name) for name in named if name))
    if not cases:
        raise UserError(f"--teacher-saw {path} names no case", "write one a line, or leave the option out")
    return cases


def _texts(value: Any, path: Path) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one, path)
    elif isinstance(value, Mapping):
        for part, one in value.items():
            if part != _UNSEEN:
                yield from _texts(one, path)
    else:
        raise UserError(f"{path} holds {value!r}, which names no case", "write a list of names")
