"""Figures that several pages share: differences with their intervals, and a score against a cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distilseg.report.drawing import FAINT, HELPED, HURT, INK, PALETTE, WIDTH, svg

from .rows import VERDICTS, Evidence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TINTS = {"helped": HELPED, "hurt": HURT, "small": PALETTE[1], "none": PALETTE[0], "early": FAINT}


def gains(found: Evidence, question: str, than: str = "the control's") -> str:
    """Each pair of a question, its mean difference and interval; the colour is the verdict.

    than: whose Dice is taken away, in words.
    """
    told = {found.labels[a]: found.less(question, a, b) for a, b in found.questions[question]}

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axvline(0, color=INK, linewidth=0.9)
        for place, one in enumerate(told.values()):
            tint = TINTS[one.outcome]
            axes.plot(one.difference.interval, [place, place], color=tint, linewidth=1.6)
            axes.plot([one.difference.mean], [place], "o", color=tint, markersize=6)
            axes.annotate(one.gain, (1.01, place), xycoords=("axes fraction", "data"), va="center")
        axes.set_yticks(range(len(told)), list(told))
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.grid(False, axis="y")
        axes.invert_yaxis()
        axes.set_xlabel(f"Dice less {than}, 95 % interval over cases")
        for outcome in sorted({one.outcome for one in told.values()}, key=list(TINTS).index):
            axes.plot([], [], "o-", color=TINTS[outcome], label=VERDICTS[outcome])
        figure.legend(loc="outside upper left", ncols=3, fontsize=9)

    return svg(
        WIDTH,
        0.32 * len(told) + 1.1,
        draw,
        salt=f"gains {question}",
        title=f"Dice less {than}, with its 95 % interval over cases",
        told="; ".join(f"{name}: {one.gain}, {VERDICTS[one.outcome]}" for name, one in told.items()),
    )


def draw_gains(found: Evidence) -> dict[str, str]:
    """The one figure of a study that asks what rows gained over their controls."""
    return {"": gains(found, "control")}


@dataclass(frozen=True)
class Point:
    """A row at its cost, and what stands beside it, right of it unless `aside` (in points) says otherwise."""

    row: str
    x: float
    colour: str
    label: str = ""
    aside: tuple[int, int] = (7, 0)
    marker: str = "o"
    filled: bool = True


def against(
    found: Evidence,
    panels: Mapping[str, Sequence[Point]],
    legend: Mapping[str, Mapping[str, Any]],
    *,
    ticks: Sequence[float] = (),
    front: bool = False,
    height: float = 5.0,
) -> str:
    """Mean Dice with its interval against what each panel's title says.

    ticks: places within a decade of a logarithmic axis; without them a linear one with a tick at every point.
    front: a line through the rows that nothing cheaper beats. legend: name -> style.
    """

    def draw(figure: Figure) -> None:
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for one, (title, points) in zip(axes, panels.items(), strict=True):
            _panel(one, found, sorted(points, key=lambda p: (p.x, -found.score(p.row).mean)), front)
            _across(one, [point.x for point in points], ticks)
            one.set_xlabel(title)
        axes[0].set_ylabel(f"Dice, {found.comparison.overall}")
        for name, style in legend.items():
            axes[0].plot([], [], **{"marker": "o", "color": INK, "linestyle": "", "label": name, **style})
        if legend:
            figure.legend(loc="outside upper left", ncols=4, fontsize=8.5)

    rows = dict.fromkeys(point.row for points in panels.values() for point in points)
    return svg(
        WIDTH,
        height,
        draw,
        salt=" ".join(panels),
        title=f"Dice against {' and '.join(panels)}",
        told="; ".join(f"{found.labels[row]}: {found.score(row).mean:.3f}" for row in rows),
    )


def _panel(axes: Axes, found: Evidence, points: Sequence[Point], front: bool) -> None:
    best: list[tuple[float, float]] = []
    for point in points:
        mean, face = found.score(point.row).mean, point.colour if point.filled else "white"
        interval = found.score(point.row).interval
        axes.plot([point.x] * 2, interval, color=point.colour, linewidth=0.9, alpha=0.4, zorder=1)
        axes.plot(point.x, mean, point.marker, color=point.colour, markerfacecolor=face, markersize=6.5)
        beside = {
            "textcoords": "offset points",
            "va": "center",
            "ha": "left" if point.aside[0] > 0 else "right",
        }
        axes.annotate(point.label, (point.x, mean), point.aside, fontsize=8.5, color=FAINT, **beside)
        if not best or mean > best[-1][1]:
            best.append((point.x, mean))
    if front:
        axes.plot(*zip(*best, strict=True), color=FAINT, linewidth=0.9, linestyle="--", zorder=1)


def _across(axes: Axes, places: Sequence[float], ticks: Sequence[float]) -> None:
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    if not ticks:
        axes.set_xticks(places)
        return
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=ticks))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(x=0.12)
