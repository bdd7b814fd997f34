"""The low-data regime: what each recipe scores with fewer training subjects, judged on the same cases.

A line is a family: runs that differ in nothing but the number of subjects (and in seeds and folds). Its
intervals are the bootstrap's over test cases; whether student and control differ at one number of subjects is
told by their paired difference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import words
from .comparison import Comparison
from .contenders import Contender
from .drawing import INK, legend, svg
from .figures import colours
from .score import Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (6.4, 3.7)  # inches
ASIDE = 5 / 72  # inches between the intervals of two families, so that none hides another
MANYFOLD = 4  # numbers that grow as 20, 40, 80 do stand at equal distances


def families(comparison: Comparison) -> dict[str, list[Contender]]:
    """Those of several numbers of training subjects, by family; the controls' families first."""
    found: dict[str, list[Contender]] = {}
    for contender in comparison.contenders:
        if contender.subjects is not None:
            found.setdefault(contender.family, []).append(contender)
    controls = {comparison.contender(name).family for name in comparison.controls.values() if name}
    return {
        family: sorted(found[family], key=lambda c: c.subjects or 0)
        for family in sorted(found, key=lambda family: family not in controls)
        if len({c.subjects for c in found[family]}) > 1
    }


def numbers(found: Mapping[str, Sequence[Contender]]) -> list[int]:
    """Every number of training subjects of these families."""
    return sorted({c.subjects for members in found.values() for c in members if c.subjects})


def title(comparison: Comparison) -> str:
    """Of the table and the figure."""
    return f"{comparison.metrics[0].title} by number of training subjects"


def size_curves(comparison: Comparison) -> str:
    """The first metric by number of training subjects, the mean over structures: a line per family."""
    found = families(comparison)
    if not found or not comparison.metrics:
        return ""
    metric = comparison.metrics[0]
    tints = {family: colours(comparison)[members[-1].name] for family, members in found.items()}

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for place, (family, members) in enumerate(found.items()):
            scores = [
                (c.subjects, score)
                for c in members
                if c.subjects and (score := comparison.scores.get((c.name, comparison.overall, metric.name)))
            ]
            _line(axes, scores, tints[family], aside=ASIDE * (place - (len(found) - 1) / 2))
        _subjects_axis(axes, numbers(found))
        axes.set_ylabel(f"{metric.title}{f' [{metric.unit}]' if metric.unit else ''}, {comparison.overall}")
        legend(figure, tints)

    return svg(
        *SIZE,
        draw,
        salt="subjects",
        title=title(comparison),
        told="; ".join(
            f"{family}: "
            + ", ".join(
                f"{words.number(score.mean, metric.decimals)} with {c.subjects}"
                for c in members
                if (score := comparison.scores.get((c.name, comparison.overall, metric.name)))
            )
            for family, members in found.items()
        ),
    )


def _line(axes: Axes, scores: Sequence[tuple[int, Score]], tint: str, *, aside: float) -> None:
    """A dot for each mean, joined, and its interval through it; all moved `aside` by so many inches."""
    from matplotlib.transforms import ScaledTranslation

    known = [(n, score.mean, score.interval) for n, score in scores if math.isfinite(score.mean)]
    bounded = [(n, *interval) for n, _, interval in known if all(map(math.isfinite, interval))]
    place = axes.transData + ScaledTranslation(aside, 0, axes.figure.dpi_scale_trans)
    look: dict[str, Any] = {"color": tint, "transform": place}
    axes.plot([n for n, _, _ in known], [mean for _, mean, _ in known], marker="o", zorder=3, **look)
    for n, low, high in bounded:
        axes.plot([n, n], [low, high], linewidth=1.3, alpha=0.75, **look)
    # What is moved does not count for the limits of the axes unless it is told.
    axes.update_datalim([(n, mean) for n, mean, _ in known])
    axes.update_datalim([(n, bound) for n, *interval in bounded for bound in interval])
    axes.autoscale_view()


def _subjects_axis(axes: Axes, ticks: Sequence[int]) -> None:
    from matplotlib.ticker import NullLocator

    if ticks[-1] >= MANYFOLD * ticks[0]:
        axes.set_xscale("log")
    axes.margins(x=0.08)
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params(axis="x", labelcolor=INK)
    axes.set_xlabel("training subjects")
