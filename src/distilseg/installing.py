"""How another machine gets this package: from its wheel, one file that `make wheel` writes."""

from __future__ import annotations

from . import __version__

WHEEL = f"distilseg-{__version__}-py3-none-any.whl"


def from_wheel(extra: str) -> str:
    """The line to type beside the wheel; `extra`: what it is for, as pyproject.toml names it."""
    return f"pip install '{WHEEL}[{extra}]'"
