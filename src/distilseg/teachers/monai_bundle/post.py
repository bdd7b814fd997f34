"""What a bundle makes of its network's answers: probabilities, then labels on the grid of the scans.

Activationsd                        softmax: classes of which one holds; sigmoid: regions that may overlap
Invertd                             back to the scans, by the interpolation of the way there or the nearest
AsDiscreted                         argmax, or where a threshold is reached
KeepLargestConnectedComponentd      the largest parts of each label, or of all together
MapLabelValued                      other numbers for the labels
Lambdad                             regions painted over one another, by the one expression of `painting.py`
SaveImaged, EnsureTyped, ...        nothing
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from ..restoring import activated
from ..teacher import Activation, Head, Labels
from .components import canonical, components, key_place, of_key
from .config import WAY_OUT, Entry
from .painting import painted_values
from .shown import Shown

Kind = Literal["activate", "invert", "argmax", "threshold", "largest", "map", "paint"]

_NOTHING = ("SaveImaged", "EnsureTyped", "CastToTyped", "ToTensord", "ToDeviced", "EnsureChannelFirstd")


@dataclass(frozen=True)
class PostStep:
    """One step; which options it has depends on its kind."""

    kind: Kind
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Post:
    """A bundle's postprocessing."""

    activation: Activation
    steps: tuple[PostStep, ...]

    def probabilities(self, logits: NDArray[np.float32], shown: Shown) -> NDArray[np.float32]:
        """Probabilities [K I J K] on the grid of the scans; 0 where the bundle had cut the scans off.

        The nearest is taken only where the bundle does so before it decides.
        """
        kinds = [step.kind for step in self.steps]
        inverting = next((step for step in self.steps if step.kind == "invert"), None)
        decided = min((kinds.index(k) for k in ("argmax", "threshold") if k in kinds), default=len(kinds))
        nearest = inverting is not None and inverting.options["nearest"] and kinds.index("invert") < decided
        if "invert" in kinds and "activate" not in kinds[: kinds.index("invert")]:
            inside = shown.undone(np.ones((1, *logits.shape[1:]), np.float32), nearest=True) > 0
            return activated(shown.undone(logits, nearest=nearest), self.activation) * inside
        return shown.undone(activated(logits, self.activation), nearest=nearest)

    def numbered(self, heads: Sequence[Head]) -> tuple[Head, ...]:
        """The heads with the label values that they end with."""
        for step in self.steps:
            if step.kind == "map":
                values = [step.options["values"].get(head.values[0], head.values[0]) for head in heads]
            elif step.kind == "paint" and len(step.options["values"]) == len(heads):
                values = step.options["values"]
            elif step.kind == "paint":
                raise UserError(
                    f"its postprocessing paints {len(step.options['values'])} regions, the metadata names"
                    f" {len(heads)}",
                    "do they belong to one bundle?",
                )
            else:
                continue
            heads = [Head(head.name, (value,)) for head, value in zip(heads, values, strict=True)]
        return tuple(heads)

    def labels(self, logits: NDArray[np.float32], shown: Shown, heads: Sequence[Head]) -> Labels:
        """Label values [I J K] on the scans' grid; of regions that overlap the larger is painted first."""
        values, inverted, decided, half = logits, False, False, 0.0
        for n, step in enumerate(self.steps):
            options = step.options
            if step.kind == "activate":
                values, half = activated(values, self.activation), 0.5
            elif step.kind == "paint":
                return _over_one_another(values if inverted else shown.undone(values), options["values"])
            elif step.kind == "invert" and [after.kind for after in self.steps[n + 1 : n + 2]] == ["argmax"]:
                values, inverted, decided = _winners(values, shown, options["nearest"]), True, True
            elif step.kind == "invert":
                values, inverted = shown.undone(values, nearest=options["nearest"]), True
            elif step.kind == "argmax" and not decided:
                values, decided = values.argmax(0)[None].astype(np.float32), True
            elif step.kind == "threshold":
                values, decided = (values >= options["at"]).astype(np.float32), True
            elif step.kind == "largest":
                values = _largest(values, options)
        if not inverted and not decided and self.activation == "softmax":
            values, inverted, decided = _winners(values, shown, False), True, True
        if not inverted:
            values = shown.undone(values, nearest=decided)
        if not decided:
            winners = values.argmax(0)[None] if self.activation == "softmax" else values > half
            values = winners.astype(np.float32)
        return _painted(values, heads, self.activation)


def post_of(entry: Entry | None, skipped: Sequence[str], key: str = "pred") -> Post:
    """The postprocessing of a bundle; `skipped` are transforms that the user asked to leave out.

    Raises `UserError` for what is not in the table, and where it does not say whether classes exclude one
    another.
    """
    activation: Activation | None = None
    steps: list[PostStep] = []
    for component in [] if entry is None else components(entry):
        name = canonical(component.target)
        if name in _NOTHING or name in skipped:
            continue
        if name == "Lambdad":
            if (painted := painted_values(component.raw.get("func"))) is not None:
                steps.append(PostStep("paint", {"values": painted}))
                continue
            raise UserError(
                f"{component.where} is a Lambdad, code of the bundle's own",
                "if it only numbers the labels anew, leave it out: skip=Lambdad",
            )
        if name not in _TABLE:
            raise UserError(f"{component.where} is a {name}, which is not read here", WAY_OUT)
        place = key_place(component, key)
        if place is None:
            continue
        if name == "Activationsd":
            activation = _activation(component, place)
            steps.append(PostStep("activate", {}))
        else:
            steps += _TABLE[name](component, place)
    kinds = [step.kind for step in steps]
    if activation is None:
        found: dict[str, Activation] = {"argmax": "softmax", "threshold": "sigmoid"}
        activation = next((found[kind] for kind in kinds if kind in found), None)
    if activation is None:
        where = "its configuration" if entry is None else entry.where
        raise UserError(
            f"{where} does not say whether classes exclude one another (no Activationsd or AsDiscreted)",
            WAY_OUT,
        )
    return Post(activation, tuple(steps))


def _activation(component: Entry, place: int) -> Activation:
    component.only(("softmax", "sigmoid", "other"))
    softmax, sigmoid = (bool(of_key(component, name, place, False)) for name in ("softmax", "sigmoid"))
    if of_key(component, "other", place, None) is not None or softmax == sigmoid:
        raise UserError(f"{component.where}: an Activationsd is softmax or sigmoid", WAY_OUT)
    return "softmax" if softmax else "sigmoid"


def _invert(component: Entry, place: int) -> list[PostStep]:
    component.only(
        ("nearest_interp", "post_func"),
        (
            *("transform", "orig_keys", "meta_keys", "orig_meta_keys", "meta_key_postfix"),
            "to_tensor",
            "device",
        ),
    )
    if of_key(component, "post_func", place, None) is not None:
        raise UserError(f"{component.where}: Invertd with a post_func is not read here", WAY_OUT)
    return [PostStep("invert", {"nearest": bool(of_key(component, "nearest_interp", place, True))})]


def _discrete(component: Entry, place: int) -> list[PostStep]:
    component.only(("argmax", "threshold", "to_onehot", "rounding"), ("dim", "keepdim", "dtype"))
    for name in ("to_onehot", "rounding"):
        if of_key(component, name, place, None) is not None:
            raise UserError(f"{component.where}: AsDiscreted with {name} is not read here", WAY_OUT)
    at = of_key(component, "threshold", place, None)
    steps = [PostStep("argmax", {})] if of_key(component, "argmax", place, False) else []
    if at is not None:
        if steps or isinstance(at, bool) or not isinstance(at, (int, float)):
            raise UserError(f"{component.where}: AsDiscreted with the threshold {at!r}", WAY_OUT)
        steps = [PostStep("threshold", {"at": float(at)})]
    return steps


def _keep_largest(component: Entry, place: int) -> list[PostStep]:
    names = ("applied_labels", "is_onehot", "independent", "connectivity", "num_components")
    component.only(names)
    labels = component.argument("applied_labels")
    labels = labels if labels is None or isinstance(labels, list) else [labels]
    numbers = [
        *(labels or []),
        component.argument("connectivity", 1),
        component.argument("num_components", 1),
    ]
    if not all(isinstance(n, int) and 0 <= n < 2**16 for n in numbers):
        raise UserError(f"{component.where}: {numbers} are no labels and numbers", "repair the bundle")
    return [
        PostStep(
            "largest",
            {
                "labels": labels,
                "onehot": component.argument("is_onehot"),
                "independent": bool(component.argument("independent", True)),
                "connectivity": component.argument("connectivity"),
                "count": component.argument("num_components", 1),
            },
        )
    ]


def _map(component: Entry, place: int) -> list[PostStep]:
    component.only(("orig_labels", "target_labels"), ("dtype",))
    both = [component.argument(name) for name in ("orig_labels", "target_labels")]
    if not all(isinstance(one, list) and all(type(n) is int and 0 <= n < 2**16 for n in one) for one in both):
        raise UserError(f"{component.where}: {both[0]} and {both[1]} are no labels", "repair the bundle")
    if len(both[0]) != len(both[1]):
        raise UserError(f"{component.where}: {both[0]} and {both[1]} are not as many", "repair the bundle")
    return [PostStep("map", {"values": dict(zip(*both, strict=True))})]


_TABLE: Mapping[str, Any] = {
    "Activationsd": None,
    "MapLabelValued": _map,
    "Invertd": _invert,
    "AsDiscreted": _discrete,
    "KeepLargestConnectedComponentd": _keep_largest,
}


def _winners(values: NDArray[np.float32], shown: Shown, nearest: bool) -> NDArray[np.float32]:
    """The index of the highest of `values` [K *S] once they are brought back, [1 I J K]; one by one, for all
    at once need far more memory than the scan."""
    best = shown.undone(values[:1], nearest=nearest)
    winner = np.zeros(best.shape, np.float32)
    for k in range(1, len(values)):
        value = shown.undone(values[k : k + 1], nearest=nearest)
        winner[value > best] = k
        np.maximum(best, value, out=best)
    return winner


def _over_one_another(values: NDArray[np.float32], paints: Sequence[int]) -> Labels:
    labels: Labels = np.zeros(values.shape[1:], np.min_scalar_type(max(paints)))
    for region, value in zip(values, paints, strict=True):
        labels[region > 0.5] = value
    return labels


def _largest(values: NDArray[np.float32], options: Mapping[str, Any]) -> NDArray[np.float32]:
    """Labels [1 *S], or a map for each [K *S], without all but the largest connected parts."""
    onehot = len(values) > 1 if options["onehot"] is None else bool(options["onehot"])
    labels = options["labels"]
    if labels is None:
        labels = range(1, len(values)) if onehot else [int(v) for v in np.unique(values[0]) if v]
    labels = [k for k in labels if not onehot or k < len(values)]
    values = values.copy()
    maps = {k: values[k] > 0 if onehot else values[0] == k for k in labels}
    groups = [[k] for k in labels] if options["independent"] else [labels]
    for group in filter(None, groups):
        union = np.any([maps[k] for k in group], axis=0)
        lost = union & ~_parts(union, options["connectivity"], options["count"])
        for k in group:
            values[k if onehot else 0][lost] = 0
    return values


def _parts(mask: NDArray[np.bool_], connectivity: int | None, count: int) -> NDArray[np.bool_]:
    """The `count` largest connected parts; of equals the first."""
    from scipy.ndimage import generate_binary_structure, label

    structure = generate_binary_structure(mask.ndim, connectivity or mask.ndim)
    parts, found = label(mask, structure)
    if found <= count:
        return mask
    sizes = np.bincount(parts.ravel())[1:]
    kept = 1 + np.argsort(-sizes, kind="stable")[:count]
    inside: NDArray[np.bool_] = np.isin(parts, kept)
    return inside


def _painted(values: NDArray[np.float32], heads: Sequence[Head], activation: Activation) -> Labels:
    highest = max(value for head in heads for value in head.values)
    labels: Labels
    if activation == "softmax" and len(values) == 1:
        by_index = np.array([head.values[0] for head in heads], np.min_scalar_type(highest))
        labels = by_index[values[0].astype(np.int64)]
        return labels
    labels = np.zeros(values.shape[1:], np.min_scalar_type(highest))
    sizes = [int((region > 0).sum()) for region in values]
    for k in np.argsort([-size for size in sizes], kind="stable"):
        if heads[k].values[0]:
            labels[values[k] > 0] = heads[k].values[0]
    return labels
