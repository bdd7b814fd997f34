"""The components of a composition, and the arguments of one: the words that all transforms of MONAI share."""

from __future__ import annotations

from typing import Any

from ...errors import UserError
from .config import Entry

META = ("meta_keys", "meta_key_postfix", "lazy", "dtype", "device")  # arguments without effect here


def components(entry: Entry) -> list[Entry]:
    """The components of a composition, those within others included, but for the disabled."""
    entry = entry.followed()
    if not entry.is_component and not isinstance(entry.raw, list):
        raise UserError(f"{entry.where} is no composition of transforms", "repair the bundle")
    if isinstance(entry.raw, list):
        return [inner for item in entry.items() for inner in components(item)]
    if entry.disabled:
        return []
    if entry.target != "Compose":
        return [entry]
    entry.only(("transforms",), ("map_items", "unpack_items", "log_stats", "lazy", "overrides"))
    return components(entry.child("transforms", entry.raw.get("transforms", [])))


def canonical(name: str) -> str:
    """Spacingd, for SpacingD and SpacingDict too."""
    for ending in ("Dict", "D"):
        if name.endswith(ending):
            return name.removesuffix(ending) + "d"
    return name


def key_place(component: Entry, key: str) -> int | None:
    """The place of `key` among those that a transform is applied to, or None."""
    keys = component.argument("keys")
    keys = [keys] if isinstance(keys, str) else list(keys or [])
    return keys.index(key) if key in keys else None


def of_key(component: Entry, name: str, place: int, default: Any) -> Any:
    """An argument that may differ by key."""
    value = component.argument(name, default)
    return value[min(place, len(value) - 1)] if isinstance(value, list) and value else value


def numbers(component: Entry, name: str, value: Any, count: int | None = None) -> list[float]:
    """A number or a list of them; one alone is repeated to `count`."""
    values = value if isinstance(value, list) else [value] * (count or 1)
    if not values or (count and len(values) != count):
        raise UserError(f"{component.where}: {name} has {len(values)} values", "repair the bundle")
    for one in values:
        if isinstance(one, bool) or not isinstance(one, (int, float)) or abs(one) > 1e9:
            raise UserError(f"{component.where}: {name} {one!r} is no number", "repair the bundle")
    return values
