"""What the labels of a description mean: classes of which one holds, or regions that may overlap.

As nnU-Net writes them, `labels` maps a name to a value, or to the list of values that a region unites; a
value named "ignore" stands for voxels that nobody judged and has no head. Decathlon's form, value to name, is
read too, and `regions` beside plain labels, as plans of ours have them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.formats.common import value_to_name, whole_number
from ..errors import UserError
from .teacher import Activation, Head

IGNORE = "ignore"


@dataclass(frozen=True)
class Naming:
    """The heads of a description's labels, and how a label map is made of them."""

    heads: tuple[Head, ...]
    activation: Activation
    paints: tuple[int, ...] = ()  # of regions: the value that each is painted with, in their order
    ignore: int | None = None  # the value of voxels that nobody judged


class Named:
    """A teacher whose heads have their names from a description."""

    naming: Naming

    @property
    def heads(self) -> tuple[Head, ...]:
        """Classes, the background first, or regions."""
        return self.naming.heads

    @property
    def activation(self) -> Activation:
        """Of classes softmax, of regions sigmoid."""
        return self.naming.activation


def naming_of(known: Mapping[str, Any], path: Path) -> Naming:
    """The naming in a dataset.json or card; raises `UserError`, naming `path`, where it makes no sense."""
    labels = known.get("labels")
    if isinstance(labels, Mapping) and any(isinstance(value, list) for value in labels.values()):
        return _of_regions(labels, known.get("regions_class_order"), path)
    if isinstance(known.get("regions"), Mapping) and known["regions"]:
        return _of_regions({"background": 0, **known["regions"]}, known.get("regions_class_order"), path)
    named = value_to_name(labels, path)
    ignore = next((value for value, name in named.items() if name.lower() == IGNORE), None)
    heads = tuple(Head(name, (value,)) for value, name in sorted(named.items()) if value != ignore)
    if not heads or heads[0].values != (0,) or len(heads) < 2:
        raise UserError(f"{path}: labels need the background 0 and a structure", "name both")
    return Naming(heads, "softmax", ignore=ignore)


def _of_regions(labels: Mapping[str, Any], order: Any, path: Path) -> Naming:
    united: dict[str, tuple[int, ...]] = {}
    for name, value in labels.items():
        values = value if isinstance(value, list) else [value]
        united[str(name)] = tuple(whole_number(one, f"a label value of {name!r}", path) for one in values)
    ignore = next((values[0] for name, values in united.items() if name.lower() == IGNORE), None)
    heads = tuple(
        Head(name, values)
        for name, values in united.items()  # in the order of the description
        if values not in ((0,), ()) and name.lower() != IGNORE
    )
    if order is None:
        paints = _own(heads, path)
    else:
        if not isinstance(order, list) or len(order) != len(heads):
            raise UserError(
                f"{path} names {len(heads)} regions and regions_class_order is {order!r}",
                "give one label value for each region, in their order",
            )
        paints = tuple(whole_number(value, "a value in regions_class_order", path) for value in order)
    if not heads:
        raise UserError(f"{path} names no region but the background", "name its structures")
    return Naming(heads, "sigmoid", paints, ignore)


def _own(heads: tuple[Head, ...], path: Path) -> tuple[int, ...]:
    """The value that each region has and no later one."""
    paints = []
    for n, head in enumerate(heads):
        own = [v for v in head.values if not any(v in later.values for later in heads[n + 1 :])]
        if not own:
            raise UserError(
                f"{path}: region {head.name!r} holds no value of its own", 'add "regions_class_order"'
            )
        paints.append(own[0])
    return tuple(paints)
