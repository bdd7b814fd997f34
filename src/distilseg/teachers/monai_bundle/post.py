"""A bundle's postprocessing read: what `runtime.bundle.post` does, and what that leaves to SciPy.

Activationsd                        softmax: classes of which one holds; sigmoid: regions that may overlap
Invertd                             back to the scans, by the interpolation of the way there or the nearest
AsDiscreted                         argmax, or where a threshold is reached
KeepLargestConnectedComponentd      the largest parts of each label, or of all together
Lambdad                             regions painted over one another, by the one expression of `painting.py`
MapLabelValued                      other numbers for the labels, see `numbering.py`
SaveImaged, EnsureTyped, ...        nothing
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from ...runtime.activation import Activation
from ...runtime.bundle.post import Post, PostStep
from .components import canonical, components, key_place, of_key
from .config import WAY_OUT, Entry
from .numbering import MAP
from .painting import painted_values

_NOTHING = ("SaveImaged", "EnsureTyped", "CastToTyped", "ToTensord", "ToDeviced", "EnsureChannelFirstd")


def post_of(entry: Entry | None, skipped: Sequence[str], key: str = "pred") -> Post:
    """The postprocessing of a bundle; `skipped` are transforms that the user asked to leave out.

    Raises `UserError` for what is not in the table, and where it does not say whether classes exclude one
    another.
    """
    activation: Activation | None = None
    steps: list[PostStep] = []
    for component in [] if entry is None else components(entry):
        name = canonical(component.target)
        if name in _NOTHING or name == MAP or name in skipped:
            continue
        if name == "Lambdad":
            if painted_values(component.raw.get("func")) is not None:
                steps.append(PostStep("paint"))
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


_TABLE: Mapping[str, Any] = {
    "Activationsd": None,
    "Invertd": _invert,
    "AsDiscreted": _discrete,
    "KeepLargestConnectedComponentd": _keep_largest,
}


def largest(values: NDArray[np.float32], options: Mapping[str, Any]) -> NDArray[np.float32]:
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
