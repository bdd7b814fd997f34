"""An inferer from its description, as experiment.json records it: {"kind": ..., option: value, ...}."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..functional.window_options import described
from .fitted_windows import FittedWindows
from .inferer import Inferer
from .slabs import Slabs
from .slices import Slices
from .sliding_window import SlidingWindow

KINDS: Mapping[str, Callable[..., Inferer]] = {
    "sliding_window": SlidingWindow,
    "slices": Slices,
    "slabs": Slabs,
    "fitted_windows": FittedWindows,
}


def make_inferer(description: Mapping[str, Any]) -> Inferer:
    """The inferer that `description` names; raises `UserError` for an unknown kind or option."""
    return described(description, KINDS)
