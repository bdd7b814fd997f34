"""Networks that bundles bring as scripts of their own, and that are known here: no script is ever run.

UNesT   as in MONAI's model zoo (`wholeBrainSeg_Large_UNEST_segmentation`,
        `renalStructures_UNEST_segmentation`); ours is `networks/unest.py`. Its scripts fix the patch to
        96x96x96 voxels of one modality, that of the kidneys its size too, whatever their arguments say
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from ...errors import UserError
from ...networks.unest import UNesT
from ...networks.unest_published import TABLE, our_name
from ..checkpoint import Stored
from .config import WAY_OUT, Entry

State = Mapping[str, Stored]

_UNEST_DEFAULTS: dict[str, Any] = {
    "feature_size": 16,
    "patch_size": 2,
    "depths": [2, 2, 2, 2],
    "num_heads": [3, 6, 12, 24],
    "embed_dim": [128, 256, 512],
    "norm_name": "instance",
    "res_block": True,
}
# A script's class -> what it fixes.
_UNESTS: dict[str, dict[str, Any]] = {
    "scripts.networks.unest_base_patch_4.UNesT": {},
    "scripts.networks.unest.UNesT": {
        "patch_size": 4,
        "depths": [2, 2, 8],
        "num_heads": [4, 8, 16],
        "embed_dim": [128, 256, 512],
    },
}
_WITHOUT_EFFECT = ("img_size", "window_size", "conv_block", "dropout_rate")
_PATCH, _TOKEN, _LEVELS = (96, 96, 96), 4, 3
_WIDEST, _DEEPEST = 4096, 256


@dataclass(frozen=True)
class Script:
    """A network of a bundle's script: its name, how it is made, and its weights by our names."""

    name: str
    make: Callable[[], nn.Module]
    weights: Callable[[State], dict[str, Stored]]


def script_of(entry: Entry) -> Script | None:
    """The network that `entry` names by a script that is known here; None where it names another class.

    Raises `UserError` for arguments that the script does not take, or that make another network than ours.
    """
    fixed = _UNESTS.get(entry.whole_target)
    return None if fixed is None else _unest(entry, fixed)


def _unest(entry: Entry, fixed: dict[str, Any]) -> Script:
    entry.only(("in_channels", "out_channels", *_UNEST_DEFAULTS), _WITHOUT_EFFECT)
    told = {name: entry.argument(name, default) for name, default in _UNEST_DEFAULTS.items()} | fixed
    classes = entry.argument("out_channels")
    widths, heads, depths = told["embed_dim"], told["num_heads"], told["depths"]
    for name, values, most in (("embed_dim", widths, _WIDEST), ("depths", depths, _DEEPEST)):
        _check_levels(entry, name, values, most)
    _check_levels(entry, "num_heads", heads, _WIDEST)
    finest = told["feature_size"]
    expected = {"in_channels": 1, "patch_size": _TOKEN, "norm_name": "instance", "res_block": True}
    found = {"in_channels": entry.argument("in_channels"), **told}
    if wrong := [name for name, value in expected.items() if found[name] != value]:
        raise _other(entry, f"{wrong[0]} {found[wrong[0]]!r}, {expected[wrong[0]]!r} was expected")
    if widths != [8 * finest, 16 * finest, 32 * finest]:
        raise _other(entry, f"embed_dim {widths} beside feature_size {finest!r}, 8, 16 and 32 times that fit")
    if any(width % count for width, count in zip(widths, heads, strict=True)):
        raise _other(entry, f"num_heads {heads}, which do not divide {widths}")
    if not isinstance(classes, int) or not 1 <= classes <= _WIDEST:
        raise _other(entry, f"out_channels {classes!r}")
    return Script("UNesT", lambda: UNesT(1, classes, _PATCH, widths, heads, depths, 0.0), _unest_weights)


def _check_levels(entry: Entry, name: str, values: Any, most: int) -> None:
    whole = isinstance(values, list) and len(values) == _LEVELS
    if not whole or not all(isinstance(n, int) and 1 <= n <= most for n in values):
        raise _other(entry, f"{name} {values!r}, a number from 1 to {most} was expected for each of 3 levels")


def _unest_weights(state: State) -> dict[str, Stored]:
    """Under our names; position tables without their first axis."""
    named = {our_name(name): stored for name, stored in state.items()}
    return {name: _table(stored) if TABLE.fullmatch(name) else stored for name, stored in named.items()}


def _table(stored: Stored) -> Stored:
    if stored.shape[:1] != (1,):
        return stored  # which is refused as one of another shape
    return replace(stored, shape=stored.shape[1:], strides=stored.strides[1:])


def _other(entry: Entry, told: str) -> UserError:
    return UserError(f"{entry.where}: UNesT with {told}", WAY_OUT)
