"""From a bundle's logits to probabilities and labels on the grid of the scans, by its own postprocessing.

activate     softmax: classes of which one holds; sigmoid: regions that may overlap
invert       back to the scans, by the interpolation of the way there or the nearest
argmax, threshold
paint        regions over one another, later over earlier
largest      the largest connected parts of each label, or of all together; only where a function is given
             that finds them, which takes SciPy
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from ..activation import Activation, activated
from .shown import Shown, Volume

Labels = NDArray[np.unsignedinteger[Any]]
Kind = Literal["activate", "invert", "argmax", "threshold", "paint", "largest"]
Largest = Callable[[Volume, Mapping[str, Any]], Volume]


@dataclass(config=ConfigDict(extra="forbid", frozen=True))
class PostStep:
    """One step; which options it has depends on its kind: of invert `nearest`, of threshold `at`."""

    kind: Kind
    options: dict[str, Any] = Field(default_factory=dict)

    def __post_init__(self) -> None:
        needed = {"invert": ("nearest", bool), "threshold": ("at", int | float)}.get(self.kind)
        if needed is not None and not isinstance(self.options.get(needed[0]), needed[1]):
            raise ValueError(f"{self.kind} says nothing of {needed[0]}")


@dataclass(config=ConfigDict(extra="forbid", frozen=True))
class Post:
    """A bundle's postprocessing."""

    activation: Activation
    steps: tuple[PostStep, ...]

    def probabilities(self, logits: Volume, shown: Shown) -> Volume:
        """Probabilities [K I J K] on the grid of the scans; 0 where the bundle had cut the scans off.

        Logits are interpolated where the bundle brings back those; else what they say. The nearest is taken
        only where the bundle does so before it decides.
        """
        kinds = [step.kind for step in self.steps]
        inverting = next((step for step in self.steps if step.kind == "invert"), None)
        decided = min((kinds.index(k) for k in ("argmax", "threshold") if k in kinds), default=len(kinds))
        nearest = inverting is not None and inverting.options["nearest"] and kinds.index("invert") < decided
        if "invert" in kinds and "activate" not in kinds[: kinds.index("invert")]:
            inside = shown.undone(np.ones((1, *logits.shape[1:]), np.float32), nearest=True) > 0
            return activated(shown.undone(logits, nearest=nearest), self.activation) * inside
        return shown.undone(activated(logits, self.activation), nearest=nearest)

    def labels(
        self, logits: Volume, shown: Shown, paints: Sequence[int], largest: Largest | None = None
    ) -> Labels:
        """Label values [I J K] on the scans' grid, of logit k `paints[k]`; of regions that overlap the larger
        is painted first, unless a step paints them one after the other."""
        values, inverted, decided, half = logits, False, False, 0.0
        for n, step in enumerate(self.steps):
            options = step.options
            if step.kind == "activate":
                values, half = activated(values, self.activation), 0.5
            elif step.kind == "paint":
                return _over_one_another(values if inverted else shown.undone(values), paints)
            elif step.kind == "invert" and [after.kind for after in self.steps[n + 1 : n + 2]] == ["argmax"]:
                values, inverted, decided = _winners(values, shown, options["nearest"]), True, True
            elif step.kind == "invert":
                values, inverted = shown.undone(values, nearest=options["nearest"]), True
            elif step.kind == "argmax" and not decided:
                values, decided = values.argmax(0)[None].astype(np.float32), True
            elif step.kind == "threshold":
                values, decided = (values >= options["at"]).astype(np.float32), True
            elif step.kind == "largest":
                assert largest is not None
                values = largest(values, options)
        if not inverted and not decided and self.activation == "softmax":
            values, inverted, decided = _winners(values, shown, False), True, True
        if not inverted:
            values = shown.undone(values, nearest=decided)
        if not decided:
            winners = values.argmax(0)[None] if self.activation == "softmax" else values > half
            values = winners.astype(np.float32)
        return _painted(values, paints, self.activation)


def _winners(values: Volume, shown: Shown, nearest: bool) -> Volume:
    """The index of the highest of `values` [K *S] once they are brought back, [1 I J K]; one by one, for all
    at once need far more memory than the scan."""
    best = shown.undone(values[:1], nearest=nearest)
    winner = np.zeros(best.shape, np.float32)
    for k in range(1, len(values)):
        value = shown.undone(values[k : k + 1], nearest=nearest)
        winner[value > best] = k
        np.maximum(best, value, out=best)
    return winner


def _over_one_another(values: Volume, paints: Sequence[int]) -> Labels:
    labels: Labels = np.zeros(values.shape[1:], np.min_scalar_type(max(paints)))
    for region, value in zip(values, paints, strict=True):
        labels[region > 0.5] = value
    return labels


def _painted(values: Volume, paints: Sequence[int], activation: Activation) -> Labels:
    kind = np.min_scalar_type(max(paints))
    if activation == "softmax" and len(values) == 1:
        named: Labels = np.array(paints, kind)[values[0].astype(np.int64)]
        return named
    labels: Labels = np.zeros(values.shape[1:], kind)
    sizes = [int((region > 0).sum()) for region in values]
    for k in np.argsort([-size for size in sizes], kind="stable"):
        if paints[k]:
            labels[values[k] > 0] = paints[k]
    return labels
