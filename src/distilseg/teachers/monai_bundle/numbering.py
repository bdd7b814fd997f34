"""The numbers that a bundle's labels end with, where its postprocessing gives others than its metadata.

MapLabelValued      one for another
Lambdad             those of the one expression of `painting.py`, in its order
"""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import UserError
from ..teacher import Head
from .components import canonical, components, key_place
from .config import Entry
from .painting import painted_values

MAP = "MapLabelValued"


def numbered(
    heads: Sequence[Head], entry: Entry | None, skipped: Sequence[str], key: str = "pred"
) -> tuple[Head, ...]:
    """The heads with the label values that they end with; `entry` and `skipped` as of `post_of`."""
    values = [head.values[0] for head in heads]
    for component in [] if entry is None else components(entry):
        name = canonical(component.target)
        if name in skipped:
            continue
        if name == MAP and key_place(component, key) is not None:
            others = _mapped(component)
            values = [others.get(value, value) for value in values]
        elif name == "Lambdad" and (painted := painted_values(component.raw.get("func"))) is not None:
            if len(painted) != len(heads):
                raise UserError(
                    f"its postprocessing paints {len(painted)} regions, the metadata names {len(heads)}",
                    "do they belong to one bundle?",
                )
            values = list(painted)
    return tuple(Head(head.name, (value,)) for head, value in zip(heads, values, strict=True))


def _mapped(component: Entry) -> dict[int, int]:
    component.only(("orig_labels", "target_labels"), ("dtype",))
    both = [component.argument(name) for name in ("orig_labels", "target_labels")]
    if not all(isinstance(one, list) and all(type(n) is int and 0 <= n < 2**16 for n in one) for one in both):
        raise UserError(f"{component.where}: {both[0]} and {both[1]} are no labels", "repair the bundle")
    if len(both[0]) != len(both[1]):
        raise UserError(f"{component.where}: {both[0]} and {both[1]} are not as many", "repair the bundle")
    return dict(zip(*both, strict=True))
