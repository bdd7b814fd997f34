"""Figures that several pages share: differences with their intervals, and a score against a cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distilseg.report.drawing import FAINT, HELPED, HURT, INK, PALETTE, WIDTH, svg
from distilseg.report.labels import Box, least_covering

from .rows import Evidence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TINTS = {"helped": HELPED, "hurt": HURT, "none": PALETTE[0]}
CHARACTER, LINE, MARGIN = 0.085, 0.17, 0.07  # inches of a label, and from its point


def gains(found: Evidence, question: str) -> str:
    """Each pair of a question, its mean difference and interval; the colour is the verdict."""
    told = {found.label(a): found.less(question, a, b) for a, b in found.questions[question]}

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
        axes.set_xlabel("Dice less the control's, 95 % interval over cases")
        for name, tint in (("helped", HELPED), ("hurt", HURT), ("no difference shown", PALETTE[0])):
            axes.plot([], [], "o-", color=tint, label=name)
        figure.legend(loc="outside upper left", ncols=3, fontsize=9)

    return svg(WIDTH, 0.32 * len(told) + 1.1, draw, salt=f"gains {question}")


@dataclass(frozen=True)
class Point:
    """A row at its cost; `label` beside it; `style` as Matplotlib's `plot` takes it."""

    row: str
    x: float
    colour: str
    label: str = ""
    marker: str = "o"
    filled: bool = True


def against(
    found: Evidence,
    panels: Mapping[str, Sequence[Point]],
    legend: Mapping[str, Mapping[str, Any]],
    *,
    height: float,
    ticks: Sequence[float] | None = None,
    front: bool = False,
) -> str:
    """Mean Dice with its interval against what each panel's title says, on a logarithmic axis.

    ticks: places within a decade; None draws a linear axis with a tick at every point. front: a line through
    the rows that nothing cheaper beats. legend: name -> style.
    """

    def draw(figure: Figure) -> None:
        for axes, (title, points) in zip(
            figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels.items(), strict=True
        ):
            _panel(axes, found, points, front)
            _across(axes, [point.x for point in points], ticks)
            axes.set_xlabel(title)
        first, *_ = figure.axes
        first.set_ylabel(f"Dice, {found.comparison.overall}")
        for name, style in legend.items():
            first.plot([], [], label=name, **style)
        if legend:
            figure.legend(loc="outside upper left", ncols=4, fontsize=8.5)
        figure.canvas.draw()  # only now is known where everything stands
        for axes, points in zip(figure.axes, panels.values(), strict=True):
            _name(axes, found, points)

    return svg(WIDTH, height, draw, salt=" ".join(panels))


def _panel(axes: Axes, found: Evidence, points: Sequence[Point], front: bool) -> None:
    for point in points:
        score = found.score(point.row)
        axes.plot([point.x] * 2, score.interval, color=point.colour, linewidth=0.9, alpha=0.4, zorder=1)
        face = point.colour if point.filled else "white"
        axes.plot(
            [point.x], [score.mean], point.marker, color=point.colour, markerfacecolor=face, markersize=6.5
        )
    if front:
        best: list[tuple[float, float]] = []
        for x, mean in sorted((p.x, found.score(p.row).mean) for p in points):
            if not best or mean > best[-1][1]:
                best.append((x, mean))
        axes.plot(*zip(*best, strict=True), color=FAINT, linewidth=0.9, linestyle="--", zorder=1)


def _across(axes: Axes, places: Sequence[float], ticks: Sequence[float] | None) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    if ticks is None:
        axes.set_xticks(places)
        return
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(x=0.12)


def _name(axes: Axes, found: Evidence, points: Sequence[Point]) -> None:
    """A label beside each point that has one, left or right of it, where it covers least."""
    inches = axes.figure.dpi_scale_trans.inverted()
    places = inches.transform(axes.transData.transform([(p.x, found.score(p.row).mean) for p in points]))
    frame = axes.get_window_extent().transformed(inches)
    room = Box(frame.x0, frame.y0, frame.x1, frame.y1)
    taken = [Box(x - 0.05, y - 0.05, x + 0.05, y + 0.05) for x, y in places]
    for point, (x, y) in zip(points, places, strict=True):
        if not point.label:
            continue
        width = CHARACTER * len(point.label)
        right = Box(x + MARGIN, y - LINE / 2, x + MARGIN + width, y + LINE / 2)
        left = right.moved(right=-2 * MARGIN - width)
        shifts = sorted((0.06 * n for n in range(-12, 13)), key=abs)
        (box,) = least_covering([[right], [left]], taken, room, shifts=shifts)
        taken.append(box)
        side = "right" if box.right < x else "left"
        axes.annotate(
            point.label,
            xy=(x, y),
            xycoords=axes.figure.dpi_scale_trans,
            xytext=(box.right if side == "right" else box.left, box.middle),
            textcoords=axes.figure.dpi_scale_trans,
            ha=side,
            va="center",
            fontsize=8.5,
            color=FAINT,
            arrowprops={"arrowstyle": "-", "color": point.colour, "linewidth": 0.5},
        )
