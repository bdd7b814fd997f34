"""dataset.json as values: what a model is shown, and what its logits are of.

    labels     heads are the label values without `ignore`, ascending, the background first; softmax
    regions    heads are the entries of `labels` but background and `ignore`, in their order; sigmoid, and
               region r is painted `regions_class_order[r]`, later ones over earlier ones

A value of `labels` may be one number or a list of them; one list of several makes all of them regions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import UserError
from ..teacher import Activation, Head


@dataclass(frozen=True)
class Labels:
    """What one model distinguishes, and what it is shown."""

    modalities: tuple[str, ...]
    heads: tuple[Head, ...]
    activation: Activation
    paints: tuple[int, ...]  # label value that head k is given in a label map
    foreground: tuple[int, ...]  # single label values without background and ignore, ascending
    ignore: int | None  # the value that says "unknown" in the labels it was trained on
    dataset: str
    licence: str
    reference: str


def labels_of(description: Mapping[str, Any], source: str) -> Labels:
    """What `description` (a dataset.json) says; `source` is the file's name, for errors."""
    named = description.get("labels")
    if not isinstance(named, dict) or not named:
        raise UserError(
            f"{source} names no labels", 'it needs "labels", such as {"background": 0, "liver": 1}'
        )
    values = {str(name): _values(name, value, source) for name, value in named.items()}
    if values.get("background") != (0,):
        raise UserError(f"{source}: the labels have no background of value 0", 'add "background": 0')
    ignore = values.get("ignore")
    if ignore is not None and len(ignore) != 1:
        raise UserError(
            f"{source}: the label ignore has the values {list(ignore)}", "it has one, the highest"
        )
    classes = {name: found for name, found in values.items() if name != "ignore"}
    single = sorted({value for found in classes.values() for value in found})
    regions = any(len(found) > 1 for found in values.values())
    heads = _regions(classes) if regions else _classes(classes)
    paints = tuple(head.values[0] for head in heads)
    if regions:
        order = description.get("regions_class_order")
        if not isinstance(order, list) or len(order) != len(heads) or not all(type(n) is int for n in order):
            raise UserError(
                f"{source} has {len(heads)} regions and the regions_class_order {order!r}",
                "it needs one label value per region",
            )
        paints = tuple(order)
    elif single != list(range(len(single))):
        raise UserError(
            f"{source}: the label values are {', '.join(map(str, single[:12]))}", "nnU-Net's have no gaps"
        )
    return Labels(
        _modalities(description, source),
        heads,
        "sigmoid" if regions else "softmax",
        paints,
        tuple(value for value in single if value != 0),
        None if ignore is None else ignore[0],
        str(description.get("name") or ""),
        str(description.get("licence") or description.get("license") or ""),
        str(description.get("reference") or ""),
    )


def _classes(classes: Mapping[str, tuple[int, ...]]) -> tuple[Head, ...]:
    by_value: dict[int, str] = {}
    for name, (value,) in classes.items():
        by_value.setdefault(value, name)
    return tuple(Head(by_value[value], (value,)) for value in sorted(by_value))


def _regions(classes: Mapping[str, tuple[int, ...]]) -> tuple[Head, ...]:
    return tuple(Head(name, values) for name, values in classes.items() if values != (0,))


def _values(name: object, value: Any, source: str) -> tuple[int, ...]:
    found = value if isinstance(value, list) else [value]
    # Old descriptions write numbers as text or as 1.0.
    try:
        numbers = tuple(int(n) for n in found)
        if not numbers or any(float(n) != m or m < 0 for n, m in zip(found, numbers, strict=True)):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise UserError(
            f"{source}: the label {name} has the value {value!r}",
            "a label is a whole number, or a list of them",
        ) from None
    return numbers


def _modalities(description: Mapping[str, Any], source: str) -> tuple[str, ...]:
    """The channels' names in their order; names that occur twice get their number."""
    channels = description.get("channel_names", description.get("modality"))
    try:
        found = {int(index): str(name) for index, name in channels.items()}
    except (AttributeError, ValueError):
        found = {}
    if not found or sorted(found) != list(range(len(found))):
        raise UserError(f"{source} names the channels {channels!r}", 'it needs "channel_names", {"0": "CT"}')
    names = [found[index] for index in range(len(found))]
    return tuple(
        name if names.count(name) == 1 else f"{name}_{index:04d}" for index, name in enumerate(names)
    )
