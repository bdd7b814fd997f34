"""Words of the command line as values: lists, pairs, sizes; and the examples under a command's help."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import UserError


def words(text: str | Iterable[str] | None) -> list[str] | None:
    """ "a,b" -> ["a", "b"]; also of a repeated option. None stays None."""
    if text is None:
        return None
    parts = [text] if isinstance(text, str) else text
    return [word.strip() for part in parts for word in part.split(",") if word.strip()]


def runs_of(name: Path) -> Path | list[Path]:
    """RUN or RUN_1,RUN_2, or models of others: a comma parts them, unless it is in the name of one."""
    parts = words(str(name)) or []
    return name if len(parts) < 2 or name.exists() else [Path(part) for part in parts]


def whole_numbers(text: str | Iterable[str] | None, option: str) -> tuple[int, ...] | None:
    """ "32,48,32" or "32x48x32" -> (32, 48, 32)."""
    numbers = _numbers(text, option)
    if numbers is None:
        return None
    if any(number != int(number) for number in numbers):
        raise UserError(f"{option} {_shown(text)} holds no whole numbers", _such_as(option))
    return tuple(int(number) for number in numbers)


def lengths(text: str | None, option: str) -> tuple[float, ...] | None:
    """ "1,1,2.5" -> (1.0, 1.0, 2.5)."""
    return _numbers(text, option)


def _numbers(text: str | Iterable[str] | None, option: str) -> tuple[float, ...] | None:
    if text is None:
        return None
    parts = [text] if isinstance(text, str) else text
    try:
        numbers = tuple(float(word) for word in words([part.replace("x", ",") for part in parts]) or [])
    except ValueError:
        numbers = (math.nan,)
    if not all(map(math.isfinite, numbers)):
        raise UserError(f"{option} {_shown(text)} is no list of numbers", _such_as(option))
    return numbers


def _such_as(option: str) -> str:
    return f"write it as {option} {'0,1,2' if option == '--seeds' else '32,48,32'}"


def pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    """["MR=zscore", "CT=range:-175:250"] -> {"MR": "zscore", ...}; also with commas."""
    found: dict[str, str] = {}
    for text in words(texts) or []:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise UserError(f"{option} {text!r} is no pair", f"write it as {option} NAME=VALUE")
        found[name] = value
    return found


def ranges(texts: Iterable[str] | None, option: str) -> dict[str, list[tuple[float, float]]]:
    """["CT=-160:240", "CT=-1000:-400"] -> {"CT": [(-160.0, 240.0), (-1000.0, -400.0)]}."""
    found: dict[str, list[tuple[float, float]]] = {}
    for text in texts or ():
        name, _, ends = text.partition("=")
        try:
            low, high = map(float, ends.split(":"))
        except ValueError:
            raise UserError(f"{option} {text!r} is no range", f"write it as {option} CT=-160:240") from None
        found.setdefault(name, []).append((low, high))
    return found


def literal(text: str) -> Any:
    """A Python literal, or else the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def drawn_view(one_slice_per_subject: bool, view: str | None) -> str | None:
    """The view of which one slice of each patient is kept; None: volumes are kept whole."""
    if view is not None and not one_slice_per_subject:
        raise UserError(f"--slice-view {view} is of slices drawn from volumes", "add --one-slice-per-subject")
    return view or "axial" if one_slice_per_subject else None


def examples(*lines: str) -> str:
    """The lines under a command's help; each stays on a line of its own."""
    return "\n\n".join(["Examples:", *(f"  {line}" for line in lines)])


def _shown(text: str | Iterable[str] | None) -> str:
    return repr(text if isinstance(text, str) else ",".join(text or ()))
