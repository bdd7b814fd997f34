"""A bundle's preprocessing: the transforms of MONAI that are read here, each by its name.

`spatial.py` holds those that change the grid, `intensity.py` those that change values; LoadImaged,
EnsureChannelFirstd, AddChanneld, EnsureTyped, CastToTyped and ToTensord do nothing. Between a SplitDimd of
the image and the ConcatItemsd that puts it together, values change channel by channel. Everything else is
refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...errors import UserError
from ...runtime.bundle.intensity import OfChannel
from .components import canonical, components, key_place
from .config import WAY_OUT, Entry
from .intensity import normalise, scale, scale_percentiles, scale_range
from .spatial import crop_foreground, orientation, spacing
from .transform import Transform, made


def transforms_of(entry: Entry, image_key: str) -> list[Transform]:
    """The transforms of a preprocessing, in order; raises `UserError` for what is not in the table."""
    found: list[Transform] = []
    split = False
    for component in components(entry):
        name = canonical(component.target)
        if name in ("SplitDimd", "ConcatItemsd"):
            split = _split(component, name, image_key)
            continue
        if split:
            found += _of_channels(component, name, image_key)
            continue
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


def _split(component: Entry, name: str, image_key: str) -> bool:
    """Whether the image is in channels after it."""
    known: dict[str, tuple[Any, ...]]
    if name == "SplitDimd":
        component.only(("dim", "keepdim"), ("update_meta",))
        known = {"keys": (image_key, [image_key]), "dim": (None, 0), "keepdim": (None, True)}
    else:
        component.only(("name", "dim"))
        keys = component.argument("keys")
        known = {"name": (image_key,), "dim": (None, 0)}
        if not isinstance(keys, list) or keys != [f"{image_key}_{n}" for n in range(len(keys))]:
            raise UserError(f"{component.where} puts {keys!r} together, not the image's channels", WAY_OUT)
    for argument, values in known.items():
        if component.argument(argument) not in values:
            raise UserError(f"{component.where}: {name} with {argument} is not read here", WAY_OUT)
    return name == "SplitDimd"


def _of_channels(component: Entry, name: str, image_key: str) -> list[Transform]:
    """The transforms of single channels, whose keys are image_0, image_1, ..."""
    if name not in _INTENSITIES and _TABLE.get(name) is not _nothing:
        raise UserError(f"{component.where} is a {name} of a channel, which is not read here", WAY_OUT)
    keys = component.argument("keys")
    found: list[Transform] = []
    for place, key in enumerate([keys] if isinstance(keys, str) else keys or []):
        base, _, channel = str(key).rpartition("_")
        if base != image_key or not channel.isdigit():
            raise UserError(f"{component.where} changes {key!r}, and no channel of the image", WAY_OUT)
        for one in _TABLE[name](component, place):
            found += made(OfChannel, component, channel=int(channel), by=one)
    return found


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
    "ScaleIntensityRangePercentilesd": scale_percentiles,
    "NormalizeIntensityd": normalise,
    "ScaleIntensityd": scale,
}
_INTENSITIES = (
    "ScaleIntensityRanged",
    "ScaleIntensityRangePercentilesd",
    "NormalizeIntensityd",
    "ScaleIntensityd",
)
