"""Networks by name, and what is inside them.

Light: `names`, `describe` and `NetworkSpec` never import torch; the rest does when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .build import Description, NetworkSpec, Option, build, describe, divisor, names, options_from_text

if TYPE_CHECKING:
    from .checkpoint import load_network, load_weights, save_weights
    from .count import multiply_accumulates, parameters
    from .features import FeaturePoint, Tapped, feature_modules, feature_shapes
    from .overview import NetworkRow, network_table

_HEAVY = {
    "FeaturePoint": "features",
    "NetworkRow": "overview",
    "Tapped": "features",
    "feature_modules": "features",
    "feature_shapes": "features",
    "load_network": "checkpoint",
    "load_weights": "checkpoint",
    "multiply_accumulates": "count",
    "network_table": "overview",
    "parameters": "count",
    "save_weights": "checkpoint",
}


def __getattr__(name: str) -> Any:
    if name not in _HEAVY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HEAVY[name]}", __name__), name)


__all__ = [
    "Description",
    "FeaturePoint",
    "NetworkRow",
    "NetworkSpec",
    "Option",
    "Tapped",
    "build",
    "describe",
    "divisor",
    "feature_modules",
    "feature_shapes",
    "load_network",
    "load_weights",
    "multiply_accumulates",
    "names",
    "network_table",
    "options_from_text",
    "parameters",
    "save_weights",
]
