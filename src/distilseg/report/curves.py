"""Training as curves: loss terms and validation Dice over steps, all contenders overlaid."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..evaluation.agreement import titled
from . import words
from .comparison import Comparison
from .drawing import WIDTH, legend, svg
from .figures import PANEL_HEIGHT, colours
from .logged import Curve, curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS = 240  # per curve; more are averaged in equal stretches
WINDOW = 15  # points of the running mean
COLUMNS = 3


def loss_curves(comparison: Comparison) -> str:
    """The total and every unweighted term of losses.csv."""
    return _grid(comparison, "losses", skipped=("step", "learning_rate", "epoch", "seconds"), first="total")


def validation_curves(comparison: Comparison) -> str:
    """Dice of the validation cases, the mean and every class."""
    return _grid(comparison, "validation", skipped=("step", "seconds"), first="mean")


def validated_by(comparison: Comparison) -> str:
    """What was measured on the validation cases: Dice, or agreement where a teacher's answers chose."""
    return " or ".join(dict.fromkeys(titled("Dice", c.chosen_by) for c in comparison.contenders))


def _grid(comparison: Comparison, table: str, *, skipped: Sequence[str], first: str) -> str:
    """A panel per column of the table, a curve per run; the first seed is full, the others are pale."""
    read = [
        (c.name, i, curves(run.losses if table == "losses" else run.validation))
        for c in comparison.contenders
        for i, run in enumerate(c.runs)
    ]
    names = [name for name in dict.fromkeys(n for _, _, found in read for n in found) if name not in skipped]
    names.sort(key=lambda name: name != first)
    if not names:
        return ""
    tints = colours(comparison)
    rows = math.ceil(len(names) / COLUMNS)

    def draw(figure: Figure) -> None:
        panels = list(figure.subplots(rows, COLUMNS, squeeze=False).flat)
        for name, axes in zip(names, panels, strict=False):
            axes.set_title(name)
            for contender, seed, found in read:
                if name in found:
                    steps, values = _thinned(found[name])
                    look = {
                        "color": tints[contender],
                        "markersize": 3.2,
                        "marker": "o" if len(steps) <= 30 else "",
                    }
                    if table == "losses" and len(steps) > WINDOW:
                        axes.plot(steps, values, **look, alpha=0.25, linewidth=0.8)
                        values = _running_mean(values)
                    axes.plot(steps, values, **look, alpha=0.4 if seed else 0.95, linewidth=1.7)
            axes.set_xlabel("step")
            if table == "validation":
                axes.set_ylabel(validated_by(comparison))
                axes.set_ylim(bottom=max(-0.02, axes.get_ylim()[0]), top=min(1.02, axes.get_ylim()[1]))
        for axes in panels[len(names) :]:
            axes.set_visible(False)
        legend(figure, tints)

    title = "Loss terms" if table == "losses" else f"{validated_by(comparison)} of the validation cases"
    return svg(
        WIDTH,
        PANEL_HEIGHT * rows + 0.4,
        draw,
        salt=table,
        title=f"{title} over training steps",
        told="; ".join(
            f"{contender}: {first} ends at {words.number(found[first][1][-1], 3)} after"
            f" {found[first][0][-1]:,.0f} steps"
            for contender, seed, found in read
            if not seed and first in found
        ),
    )


def _thinned(curve: Curve) -> Curve:
    """At most `POINTS` points: means of equal stretches, which also shows the trend of a noisy loss."""
    steps, values = curve
    if len(steps) <= POINTS:
        return curve
    edges = [round(i * len(steps) / POINTS) for i in range(POINTS + 1)]
    stretches = [slice(a, b) for a, b in itertools.pairwise(edges)]
    return tuple([sum(x[s]) / len(x[s]) for s in stretches] for x in (steps, values))  # type: ignore[return-value]


def _running_mean(values: list[float]) -> list[float]:
    """Over `WINDOW` points around each, fewer at the ends."""
    half = WINDOW // 2
    windows = (values[max(0, i - half) : i + half + 1] for i in range(len(values)))
    return [sum(window) / len(window) for window in windows]
