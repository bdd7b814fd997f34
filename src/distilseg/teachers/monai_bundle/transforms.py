"""A bundle's preprocessing: the transforms of MONAI that are read here, each by its name.

`spatial.py` holds those that change the grid, `intensity.py` those that change values; LoadImaged,
EnsureChannelFirstd, AddChanneld, EnsureTyped, CastToTyped and ToTensord do nothing. Everything else is
refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...errors import UserError
from .components import canonical, components, key_place
from .config import WAY_OUT, Entry
from .intensity import normalise, scale, scale_range
from .spatial import crop_foreground, orientation, spacing
from .transform import Transform


def transforms_of(entry: Entry, image_key: str) -> list[Transform]:
    """The transforms of a preprocessing, in order; raises `UserError` for what is not in the table."""
    found: list[Transform] = []
    for component in components(entry):
        name = canonical(component.target)
        if name not in _TABLE:
            raise UserError(f"{component.where} is a {name}, which is not read here", WAY_OUT)
        place = key_place(component, image_key)
        if place is not None:
            found += _TABLE[name](component, place)
    return found


def image_key(preprocessing: Entry) -> str:
    """The key of the image: what LoadImaged loads first."""
    for component in components(preprocessing):
        if component.target.startswith("LoadImage"):
            keys = component.argument("keys")
            return str(keys[0] if isinstance(keys, list) and keys else keys)
    return "image"


def argument_of(preprocessing: Entry, target: str, name: str) -> Any:
    """An argument of its first transform of the class `target`; None where there is none."""
    for component in components(preprocessing):
        if component.target == target:
            return component.argument(name)
    return None


def _nothing(component: Entry, place: int) -> list[Transform]:
    return []


_TABLE: Mapping[str, Callable[[Entry, int], list[Transform]]] = {
    "LoadImaged": _nothing,
    "EnsureChannelFirstd": _nothing,
    "AddChanneld": _nothing,  # of former MONAIs, for scans without channels
    "EnsureTyped": _nothing,
    "CastToTyped": _nothing,
    "ToTensord": _nothing,
    "Orientationd": orientation,
    "Spacingd": spacing,
    "CropForegroundd": crop_foreground,
    "ScaleIntensityRanged": scale_range,
    "NormalizeIntensityd": normalise,
    "ScaleIntensityd": scale,
}
