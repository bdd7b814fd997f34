"""Dice against seconds and against size, of everything that was shipped; who is beaten in both is faint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evidence_rows import Evidence
from evidence_students_rows import NETWORKS, OF_KEY, WAYS

from distilseg.report.drawing import FAINT, INK, PALETTE, WIDTH, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEIGHT = 5.2  # inches
MIB = 2**20
MARKERS = dict(zip(NETWORKS, "Dso^", strict=True))
COLOURS = dict(zip(WAYS, (PALETTE[0], PALETTE[1], PALETTE[2], PALETTE[4]), strict=True))
ACROSS = (
    ("end_to_end_s", 1.0, "seconds for 40 scans, process start included", "{:g}"),
    ("bytes_on_disk", MIB, "size of the artefact [MiB]", "{:g}"),
)


def pareto(costs: Sequence[float], means: Sequence[float]) -> list[int]:
    """Which are on the front, cheapest first: nobody costs as little or less and is better."""
    front: list[int] = []
    for n in sorted(range(len(costs)), key=lambda n: (costs[n], -means[n])):
        if not front or means[n] > means[front[-1]]:
            front.append(n)
    return front


def against_cost(found: Evidence) -> str:
    """Two panels, one for each cost; logarithmic across."""
    shown = [key for key in found.rows if "end_to_end_s" in found.rows[key].cost]

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, 2, sharey=True)
        for axes, (name, unit, title, style) in zip(panels, ACROSS, strict=True):
            costs = [found.cost(key, name) / unit for key in shown]
            _panel(axes, found, shown, costs)
            axes.set_xscale("log")
            _ticks(axes, style)
            axes.set_xlabel(title)
        panels[0].set_ylabel(f"Dice, {found.comparison.overall}")
        _explain(panels[0])
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=4, fontsize=8.5)

    return svg(WIDTH, HEIGHT, draw, salt="students")


def _panel(axes: Axes, found: Evidence, shown: Sequence[str], costs: Sequence[float]) -> None:
    means = [found.mean(key) for key in shown]
    front = pareto(costs, means)
    axes.plot(
        [costs[n] for n in front],
        [means[n] for n in front],
        color=FAINT,
        linewidth=0.9,
        linestyle="--",
        zorder=1,
    )
    for n, key in enumerate(shown):
        row = OF_KEY[key]
        low, high = found.score(key).interval
        colour = COLOURS[row.way]
        axes.plot([costs[n]] * 2, [low, high], color=colour, linewidth=0.7, alpha=0.25, zorder=1)
        axes.plot(
            [costs[n]],
            [means[n]],
            MARKERS[row.network],
            color=colour,
            markerfacecolor=colour if row.numbers == "openvino" else "white",
            markersize=7,
        )


def _ticks(axes: Axes, style: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: style.format(value)))
    axes.xaxis.set_minor_locator(NullLocator())


def _explain(axes: Axes) -> None:
    """Shapes are networks, colours trainings, hollow is int8, the line is the front."""
    for network, marker in MARKERS.items():
        axes.plot([], [], marker, color=INK, label=NETWORKS[network])
    for way, colour in COLOURS.items():
        axes.plot([], [], "o", color=colour, label=WAYS[way])
    axes.plot([], [], "o", color=INK, markerfacecolor="white", label="int8 (filled: float)")
    axes.plot([], [], "--", color=FAINT, label="nothing cheaper is better")
