"""A transform as it is read: a value of `runtime.bundle.transforms`, or a refusal that names its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from ...errors import UserError
from ...runtime.bundle.shown import Shown
from .config import Entry

Transform = Callable[[Shown, str], Shown]  # (shown, case) -> shown


def made(kind: Callable[..., Transform], component: Entry, **options: Any) -> list[Transform]:
    """A transform of this kind with these options; raises `UserError` for options that make no sense."""
    try:
        return [kind(**options)]
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{component.where}: {where} {first['msg']}".strip(), "repair the bundle") from None
