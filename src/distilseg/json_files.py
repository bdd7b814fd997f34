"""JSON that anybody may have written: read as an object, or refused in one line that names the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .errors import UserError
from .names import quoted

MOST_BYTES = 2**28


def read_object(
    path: Path,
    *,
    missing: UserError | None = None,
    unlike: UserError | None = None,
    fix: str = "repair it there",
) -> dict[str, Any]:
    """The JSON object in the file at `path`.

    Raises `UserError`: `missing` where there is no such file, `unlike` where it holds no object,
    else one that says where the file is damaged and, as `fix`, what to do.
    """
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path} cannot be read (it is no regular file)", "restore the file")
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        if missing is not None:
            raise missing from None
        raise UserError(f"{path} cannot be read ({error.strerror})", "restore the file") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})", "restore the file") from None
    return object_in(content, path, unlike=unlike, fix=fix)


def object_in(
    content: bytes, place: object, *, unlike: UserError | None = None, fix: str = "repair it there"
) -> dict[str, Any]:
    """The JSON object that `content` spells; `place` is where it was, for the message. Raises `UserError`."""
    if len(content) > MOST_BYTES:
        raise UserError(f"{place} has more than {MOST_BYTES:,} bytes", "is it the right file?")
    try:
        value = json.loads(content.decode("utf-8-sig"), object_pairs_hook=_each_key_once)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise UserError(f"{place} is not valid JSON ({where})", fix) from None
    except _Twice as twice:
        raise UserError(f"{place} names {twice} twice in one object", "keep one of the two") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{place} is not valid JSON (byte {error.start} is no UTF-8)", fix) from None
    except RecursionError:
        raise UserError(f"{place} is not valid JSON (lists within lists without end)", fix) from None
    except ValueError as error:  # such as a number of thousands of digits
        raise UserError(f"{place} is not valid JSON ({error})", fix) from None
    if not isinstance(value, dict):
        kind = type(value).__name__
        raise unlike or UserError(f"{place} holds a {kind}, an object {{...}} was expected", "correct it")
    return value


class _Twice(Exception):
    """A key that stands twice: JSON's readers keep the last and say nothing."""


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise _Twice(quoted(key))
        values[key] = value
    return values
