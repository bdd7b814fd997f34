"""`distilseg recipes`: what can be trained."""

from __future__ import annotations

from ..recipes import Recipe, find
from ..recipes import recipes as known


def recipes(name: str | None = None) -> list[Recipe]:
    """All recipes, or the one called `name` (or at `my_file.py:function`)."""
    return list(known().values()) if name is None else [find(name)]
