"""The two figures of the thickened evidence: Dice against thickness, and against seconds a case."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evidence_rows import Evidence
from evidence_thickened_rows import SSA, SWEEP, VIEWS

from distilseg.report.drawing import FAINT, INK, PALETTE, WIDTH, svg
from distilseg.report.labels import Box, least_covering

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEIGHT = 4.2  # inches
FAMILIES = {  # name -> colour, rows with what stands beside their point
    "axial, by thickness": (PALETTE[1], {row: row[1:] for row in SWEEP}),
    "axial, parts left out": (
        PALETTE[0],
        {"plain": "channels", "esm": "multiplexing", "concat": "concat", "dot": "product"},
    ),
    "other views, and all": (
        PALETTE[3],
        {"coronal": "coronal", "sagittal": "sagittal", "fused": "three views"},
    ),
    "3D DynUNet": (
        PALETTE[2],
        {
            "dynunet_steps": "as many steps",
            "dynunet_time": "time of a view",
            "dynunet_fused": "as three views",
        },
    ),
}
CHARACTER, LINE = 0.085, 0.17  # inches of a label
MARGIN = 0.07


def against_thickness(found: Evidence) -> str:
    """Mean and interval over cases; each seed's mean as a small point."""
    there = [row for row in SWEEP if row in found.rows]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        across = [int(row[1:]) for row in there]
        means = [found.mean(row) for row in there]
        axes.plot(across, means, color=PALETTE[1], linewidth=1.2)
        for x, row in zip(across, there, strict=True):
            _point(found, row, x, PALETTE[1], axes)
            seeds = found.by_seed(row)
            if len(seeds) > 1:
                axes.plot([x + 0.35] * len(seeds), seeds, ".", color=FAINT, markersize=5)
        axes.set_xticks(across)
        axes.set_xlabel("slices in a slab, axial")
        axes.set_ylabel(f"Dice, {found.comparison.overall}")

    return svg(WIDTH, HEIGHT, draw, salt="thickness")


def against_seconds(found: Evidence) -> str:
    """Every row; seconds on a logarithmic axis."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        for name, (colour, labels) in FAMILIES.items():
            for row in (row for row in labels if row in found.rows):
                _point(found, row, found.cost(row, "seconds_per_case"), colour, axes)
            axes.plot([], [], "o", color=colour, label=name)
        axes.set_xlabel("seconds a case, one thread")
        axes.set_ylabel(f"Dice, {found.comparison.overall}")
        axes.margins(x=0.12)
        figure.legend(loc="outside upper left", ncols=len(FAMILIES), fontsize=9)
        figure.canvas.draw()  # only now is known where everything stands
        _name(found, axes)

    return svg(WIDTH, HEIGHT + 1, draw, salt="seconds")


def _point(found: Evidence, row: str, x: float, colour: str, axes: Axes) -> None:
    score = found.score(row)
    low, high = score.interval
    axes.plot([x, x], [low, high], color=colour, linewidth=1.0, alpha=0.6)
    axes.plot([x], [score.mean], "o", color=colour, markersize=6)


def _name(found: Evidence, axes: Axes) -> None:
    """A label beside each point, where it covers least."""
    inches = axes.figure.dpi_scale_trans.inverted()
    places = {}
    for _, labels in FAMILIES.values():
        for row in (row for row in labels if row in found.rows):
            at = (found.cost(row, "seconds_per_case"), found.mean(row))
            places[row] = inches.transform(axes.transData.transform(at))
    frame = axes.get_window_extent().transformed(inches)
    room = Box(frame.x0, frame.y0, frame.x1, frame.y1)
    taken = [Box(x - 0.05, y - 0.05, x + 0.05, y + 0.05) for x, y in places.values()]
    for colour, labels in FAMILIES.values():
        for row, label in labels.items():
            if row not in places:
                continue
            x, y = places[row]
            width = CHARACTER * len(label)
            right = Box(x + MARGIN, y - LINE / 2, x + MARGIN + width, y + LINE / 2)
            left = right.moved(right=-2 * MARGIN - width)
            shifts = sorted((0.06 * n for n in range(-12, 13)), key=abs)
            (box,) = least_covering([[right], [left]], taken, room, shifts=shifts)
            taken.append(box)
            on_left = box.right < x
            axes.annotate(
                label,
                xy=(x, y),
                xycoords=axes.figure.dpi_scale_trans,
                xytext=(box.right if on_left else box.left, box.middle),
                textcoords=axes.figure.dpi_scale_trans,
                ha="right" if on_left else "left",
                va="center",
                fontsize=8.5,
                color=INK if row in (*VIEWS, SSA, "fused") else FAINT,
                arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.5},
            )
