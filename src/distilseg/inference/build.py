"""An inferer from its description, as experiment.json records it: {"kind": ..., option: value, ...}."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import UserError, unknown
from .inferer import Inferer
from .slabs import Slabs
from .slices import Slices
from .sliding_window import SlidingWindow

KINDS: Mapping[str, Callable[..., Inferer]] = {
    "sliding_window": SlidingWindow,
    "slices": Slices,
    "slabs": Slabs,
}


def make_inferer(description: Mapping[str, Any]) -> Inferer:
    """The inferer that `description` names; raises `UserError` for an unknown kind or option."""
    options: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in description.items()
        if name != "kind"
    }
    kind = str(description.get("kind"))
    if kind not in KINDS:
        raise unknown("kind of inferer", kind, KINDS)
    parameters = inspect.signature(KINDS[kind]).parameters
    for name in options:
        if name not in parameters:
            raise unknown(f"option of the inferer {kind}", name, parameters)
    if missing := [name for name, p in parameters.items() if p.default is p.empty and name not in options]:
        raise UserError(f"the inferer {kind} lacks {', '.join(missing)}", "add it to its description")
    return KINDS[kind](**options)
