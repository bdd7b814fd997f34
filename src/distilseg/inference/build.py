"""From a run's description of its inferer, as plain values, to the inferer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..errors import unknown
from .inferer import Inferer
from .sliding_window import SlidingWindow

KINDS: Mapping[str, Callable[..., Inferer]] = {"sliding_window": SlidingWindow}


def make_inferer(description: Mapping[str, Any]) -> Inferer:
    """`{"kind": "sliding_window", "patch": [...], ...}`: the other entries are the inferer's arguments."""
    arguments = {
        name: tuple(v) if isinstance(v, list) else v for name, v in description.items() if name != "kind"
    }
    if description.get("kind") not in KINDS:
        raise unknown("inferer", description.get("kind"), KINDS)
    return KINDS[description["kind"]](**arguments)
