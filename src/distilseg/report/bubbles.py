"""Quality against size in one picture, as papers on small networks open with.

Across: parameters, on a logarithmic axis. Up: the mean over test cases, with its 95 % bootstrap interval. A
bubble's area: multiply-accumulates of one forward pass of one patch. Runs of one network would hide each
other: they stand side by side, the lowest first, over a bracket that points at their number of parameters. An
arrow leads from the control's level to each run that is measured against it.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from . import words
from .comparison import Comparison
from .contenders import Contender, Metric
from .drawing import FAINT, INK, PALETTE, WIDTH, svg
from .labels import Box, least_covering, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROLES = {"teacher": PALETTE[1], "control": PALETTE[0], "student": PALETTE[4]}
APART = 1.1  # networks whose sizes differ by less are no reason for this figure
ALIKE = 1.02  # and by less than this stand side by side
# Inches
LEFT, BELOW, HEADING = 0.75, 0.5, 1.0  # margins; colours and sizes are explained in the heading
LEAST_HEIGHT = 5.0
LARGEST = 0.36  # radius
STEP = 0.13  # from one run of a network to the next
GAP = 0.12
FONT = 8.5  # points
CHARACTER, LINE_HEIGHT = 0.6 * FONT / 72, 1.35 * FONT / 72
LONGEST = 30  # characters of a line


@dataclass(frozen=True)
class Point:
    """What is told of one contender."""

    name: str
    lines: tuple[str, ...]  # its label
    role: str
    control: str | None
    parameters: float
    operations: float  # multiply-accumulates; 0 where they were not counted
    mean: float
    interval: tuple[float, float]

    @property
    def width(self) -> float:
        return CHARACTER * max(map(len, self.lines))

    @property
    def height(self) -> float:
        return LINE_HEIGHT * len(self.lines)


@dataclass(frozen=True)
class Placed:
    """Where it stands on the axes, in inches."""

    point: Point
    x: float
    y: float
    low: float
    high: float
    radius: float

    @property
    def box(self) -> Box:
        """Around bubble and interval."""
        return Box(
            self.x - self.radius,
            min(self.y - self.radius, self.low),
            self.x + self.radius,
            max(self.y + self.radius, self.high),
        )

    @property
    def drawn(self) -> tuple[Box, Box]:
        """What a label should not cover: the bubble, and the line of the interval."""
        bubble = Box(self.x - self.radius, self.y - self.radius, self.x + self.radius, self.y + self.radius)
        return bubble, Box(self.x - 0.03, self.low, self.x + 0.03, self.high)


def bubbles(comparison: Comparison, names: Mapping[str, str] | None = None) -> str:
    """The first metric against parameters, for runs of networks that differ in size; else "".

    names: contender -> its label, where the tables' name is not to be shown.
    """
    points = _points(comparison, names or {})
    sizes = [point.parameters for point in points]
    if len(points) < 2 or max(sizes) < APART * min(sizes):
        return ""
    metric = comparison.metrics[0]
    groups = _groups(points)
    largest_group = max(sum(point.height for point in group) for group in groups)
    height = max(LEAST_HEIGHT, largest_group + 0.6 + BELOW + HEADING)
    room = Box(0.0, 0.0, WIDTH - LEFT - 0.1, height - BELOW - HEADING)
    axis = _Axis.over(groups, room, max(point.operations for point in points))
    placed = [[axis.place(point, group, n) for n, point in enumerate(group)] for group in groups]
    labels = _labels(placed, room)

    def draw(figure: Figure) -> None:
        figure.set_layout_engine(None)  # everything has its place already
        share = (LEFT / WIDTH, BELOW / height, room.right / WIDTH, room.top / height)
        axes = figure.add_axes(share)
        axes.set_xlim(room.left, room.right)
        axes.set_ylim(room.bottom, room.top)
        _ticks(axis, axes, metric, comparison.overall)
        everyone = [one for group in placed for one in group]
        _brackets(placed, axes)
        _arrows(everyone, axes)
        for one in everyone:
            _bubble(one, labels[one.point.name], axes)
        _colours(points, axes, room)
        _sizes(axis, axes, room, _patch(comparison))

    return svg(
        WIDTH,
        height,
        draw,
        salt="bubbles",
        title=f"{metric.title} against parameters, with multiply-accumulates of one patch",
        told=alternative(points, metric),
    )


def alternative(points: Sequence[Point], metric: Metric) -> str:
    """The figure in words, for those who cannot see it."""
    return "; ".join(
        f"{' '.join(point.lines)} ({point.role}) {words.number(point.mean, metric.decimals)},"
        f" {words.count(point.parameters)} parameters, {words.giga(point.operations or None)} G"
        for point in sorted(points, key=lambda point: -point.mean)
    )


def _points(comparison: Comparison, names: Mapping[str, str]) -> list[Point]:
    """Contenders with a score and a number of parameters."""
    if not comparison.metrics:
        return []
    metric = comparison.metrics[0]
    taught_by = {name for c in comparison.contenders for name in c.teachers}
    points = []
    for c in comparison.contenders:
        score = comparison.scores.get((c.name, comparison.overall, metric.name))
        if score and math.isfinite(score.mean) and c.cost.get("parameters"):
            finite = all(map(math.isfinite, score.interval))
            points.append(
                Point(
                    name=c.name,
                    lines=tuple(textwrap.wrap(names.get(c.name, c.name), LONGEST)),
                    role=_role(c, comparison, taught_by),
                    control=comparison.controls[c.name],
                    parameters=float(c.cost["parameters"]),
                    operations=float(c.cost.get("multiply_accumulates") or 0.0),
                    mean=score.mean,
                    interval=score.interval if finite else (score.mean, score.mean),
                )
            )
    return points


def _role(contender: Contender, comparison: Comparison, taught_by: Iterable[str]) -> str:
    if comparison.controls[contender.name]:
        return "student"
    teaches = {run.name for run in contender.runs} & set(taught_by)
    return "teacher" if teaches and contender.name not in comparison.controls.values() else "control"


def _groups(points: Sequence[Point]) -> list[list[Point]]:
    """Points of one number of parameters, from small to large; within, from low to high."""
    ordered = sorted(points, key=lambda point: point.parameters)
    starts: list[float] = []
    for point in ordered:
        if not starts or point.parameters > ALIKE * starts[-1]:
            starts.append(point.parameters)
    by_start = groupby(ordered, key=lambda point: max(s for s in starts if s <= point.parameters))
    return [sorted(group, key=lambda point: point.mean) for _, group in by_start]


@dataclass(frozen=True)
class _Axis:
    """From values to inches."""

    left: float  # log10 of the parameters at `start`
    start: float
    per_decade: float
    low: float
    bottom: float
    per_unit: float
    per_operation: float  # radius² of a bubble

    @classmethod
    def over(cls, groups: Sequence[Sequence[Point]], room: Box, operations: float) -> _Axis:
        """All groups in view, with room for the labels of the outermost."""
        points = [point for group in groups for point in group]

        def beside(group: Sequence[Point]) -> float:
            width = max(point.width for point in group)
            needed = STEP * (len(group) - 1) / 2 + LARGEST + GAP
            return min(needed + width if len(group) > 1 else max(needed, width / 2 + GAP), 0.35 * room.right)

        start, end = beside(groups[0]), room.right - beside(groups[-1])
        left, right = (math.log10(group[0].parameters) for group in (groups[0], groups[-1]))
        low = min(point.interval[0] for point in points)
        high = max(point.interval[1] for point in points)
        pad = LARGEST + 0.2
        return cls(
            left=left,
            start=start,
            per_decade=(end - start) / (right - left),
            low=low,
            bottom=pad,
            per_unit=(room.top - 2 * pad) / ((high - low) or 1.0),
            per_operation=LARGEST**2 / (operations or 1.0),
        )

    def x(self, parameters: float) -> float:
        return self.start + (math.log10(parameters) - self.left) * self.per_decade

    def y(self, value: float) -> float:
        return self.bottom + (value - self.low) * self.per_unit

    def radius(self, operations: float) -> float:
        return math.sqrt(operations * self.per_operation)

    def place(self, point: Point, group: Sequence[Point], n: int) -> Placed:
        """The n-th of its group: side by side around the group's place."""
        x = self.x(group[0].parameters) + STEP * (n - (len(group) - 1) / 2)
        low, high = (self.y(value) for value in point.interval)
        return Placed(point, x, self.y(point.mean), low, high, self.radius(point.operations))


def _labels(placed: Sequence[Sequence[Placed]], room: Box) -> dict[str, Box]:
    """Contender -> box of its label: outermost groups first, a column of labels for each group."""
    labels: dict[str, Box] = {}
    middle = len(placed) / 2 - 0.5
    for group in sorted(placed, key=lambda group: -abs(placed.index(group) - middle)):
        drawn = [box for g in placed for one in g for box in one.drawn]
        shifts = sorted((0.1 * n for n in range(-30, 31)), key=abs)
        best = least_covering(
            _candidates(group, leftmost=group is placed[0]), [*drawn, *labels.values()], room, shifts=shifts
        )
        labels |= {one.point.name: box for one, box in zip(group, best, strict=True)}
    return labels


def _candidates(group: Sequence[Placed], *, leftmost: bool) -> list[list[Box]]:
    """A column at the left or at the right; one alone may have its label above or below."""
    middles = spread([one.y for one in group], [one.point.height for one in group])
    left = min(one.box.left for one in group) - GAP
    right = max(one.box.right for one in group) + GAP
    columns: list[list[Box]] = [[], []]
    for one, y in zip(group, middles, strict=True):
        half = one.point.height / 2
        columns[0].append(Box(left - one.point.width, y - half, left, y + half))
        columns[1].append(Box(right, y - half, right + one.point.width, y + half))
    if not leftmost:
        columns.reverse()
    if len(group) > 1:
        return columns
    one, half = group[0], group[0].point.width / 2
    above = Box(one.x - half, one.box.top + 0.04, one.x + half, one.box.top + 0.04 + one.point.height)
    below = Box(one.x - half, one.box.bottom - 0.04 - one.point.height, one.x + half, one.box.bottom - 0.04)
    return [[above], [below], *columns]


def _bubble(one: Placed, label: Box, axes: Axes) -> None:
    tint = ROLES[one.point.role]
    axes.vlines(one.x, one.low, one.high, colors=tint, linewidth=1.1, zorder=3)
    area = (2 * 72 * one.radius) ** 2  # Matplotlib's: the diameter in points, squared
    axes.scatter([one.x], [one.y], s=area, color=tint, alpha=0.22, linewidths=0, zorder=2)
    axes.scatter([one.x], [one.y], s=22, color=tint, linewidths=0, zorder=5)
    side = "left" if label.left > one.x else "right" if label.right < one.x else "center"
    x = {"left": label.left, "right": label.right, "center": (label.left + label.right) / 2}[side]
    for n, line in enumerate(one.point.lines):  # each on its own: the page's font is not Matplotlib's
        y = label.top - (n + 0.5) * LINE_HEIGHT
        axes.text(x, y, line, ha=side, va="center_baseline", fontsize=FONT, color=INK, zorder=6)
    end = {"left": x - 0.04, "right": x + 0.04, "center": x}[side]
    edge = label.middle if side != "center" else label.bottom if label.middle > one.y else label.top
    axes.plot([one.x, end], [one.y, edge], color=FAINT, linewidth=0.5, zorder=1)


def _brackets(placed: Sequence[Sequence[Placed]], axes: Axes) -> None:
    """Where runs stand side by side: at which number of parameters they all are."""
    for group in placed:
        first, last = group[0].x, group[-1].x
        middle = (first + last) / 2
        if len(group) > 1:
            axes.plot([first, first, last, last], [0.13, 0.08, 0.08, 0.13], color=FAINT, linewidth=0.8)
            axes.plot([middle, middle], [0.08, 0.0], color=FAINT, linewidth=0.8)


def _arrows(placed: Sequence[Placed], axes: Axes) -> None:
    """From the control, along its level, up or down to the run that is measured against it."""
    found = {one.point.name: one for one in placed}
    for one in placed:
        control = found.get(one.point.control or "")
        if control is None:
            continue
        axes.plot(
            [control.x, one.x], [control.y, control.y], color=INK, linewidth=0.7, dashes=(3, 2), zorder=4
        )
        axes.annotate(
            "", (one.x, one.y), (one.x, control.y), zorder=4,
            arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 1.0, "mutation_scale": 7,
                        "shrinkA": 0, "shrinkB": 2},
        )  # fmt: skip


def _ticks(axis: _Axis, axes: Axes, metric: Metric, structure: str) -> None:
    from matplotlib.ticker import MaxNLocator

    right, top = axes.get_xlim()[1], axes.get_ylim()[1]
    start = 10 ** (axis.left - axis.start / axis.per_decade)
    end = start * 10 ** (right / axis.per_decade)
    exponents = range(math.floor(math.log10(start)), math.ceil(math.log10(end)) + 1)
    for steps in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), tuple(n / 10 for n in range(10, 100))):
        across = [s * 10.0**e for e in exponents for s in steps if start <= s * 10.0**e <= end]
        if len(across) >= 3:
            break
    axes.set_xticks([axis.x(value) for value in across], [f"{value / 1e6:g}" for value in across])
    high = axis.low + (top - axis.bottom) / axis.per_unit
    low = axis.low - axis.bottom / axis.per_unit
    ticks = MaxNLocator(7, steps=[1, 2, 5, 10]).tick_values(low, high)
    up = [round(float(v), 6) for v in ticks if low <= v <= high]
    decimals = 2 if up == [round(v, 2) for v in up] else 3  # ticks that are close together
    axes.set_yticks([axis.y(v) for v in up], [words.number(v, decimals) for v in up])
    axes.set_xlabel("parameters [millions], logarithmic")
    axes.set_ylabel(f"{words.heading(metric)}, {structure}")


def _colours(points: Sequence[Point], axes: Axes, room: Box) -> None:
    """Which colour is which role, above."""
    x, y = 0.0, room.top + 0.78
    for role in (role for role in ROLES if any(point.role == role for point in points)):
        axes.scatter([x + 0.06], [y], s=40, color=ROLES[role], linewidths=0, clip_on=False)
        axes.text(x + 0.17, y, role, va="center", fontsize=9)
        x += 1.0
    if any(point.control for point in points):
        axes.text(x, y, "arrow: from its control", va="center", fontsize=9, color=FAINT)


def _sizes(axis: _Axis, axes: Axes, room: Box, patch: str) -> None:
    """Three bubbles with their numbers, above at the right."""
    most = LARGEST**2 / axis.per_operation
    if most <= 1:
        return
    x, y = room.right - 0.45, room.top + 0.5
    for value in dict.fromkeys(_round(most * share) for share in (1, 1 / 4, 1 / 16)):
        radius = axis.radius(value)
        x -= radius
        area = (2 * 72 * radius) ** 2
        axes.scatter([x], [y], s=area, color=FAINT, alpha=0.25, linewidths=0, clip_on=False)
        axes.text(x + radius + 0.05, y, f"{value / 1e9:g} G", va="center", fontsize=FONT, color=INK)
        x -= radius + 0.55
    for line, up in (("multiply–accumulates", 0.08), (patch, -0.08)):
        axes.text(x + 0.4, y + up, line, ha="right", va="center", fontsize=FONT, color=FAINT)


def _round(value: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is not above."""
    power = 10.0 ** math.floor(math.log10(value))
    return float(max(step * power for step in (1, 2, 5) if step * power <= value * (1 + 1e-9)))


def _patch(comparison: Comparison) -> str:
    """On what was counted."""
    shapes = {tuple(c.cost["counted_on"][2:]) for c in comparison.contenders if c.cost.get("counted_on")}
    return f"of one patch, {'×'.join(map(str, shapes.pop()))}" if len(shapes) == 1 else "of one patch"
