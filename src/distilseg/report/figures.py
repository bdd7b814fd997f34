"""The figures of the report: each takes a comparison and gives an SVG element, or "" for nothing to draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import words
from .comparison import Comparison
from .contenders import Metric
from .drawing import FAINT, HELPED, HURT, INK, LINE, PALETTE, WIDTH, legend, quiet, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_HEIGHT = 2.3  # inches
MOST_COLUMNS = 4  # panels beside each other


def colours(comparison: Comparison) -> dict[str, str]:
    """Contender -> colour: grey for the first control, then the palette in order.

    Those that differ in their number of training subjects share a colour, paler the fewer these are.
    """
    ordered = sorted(comparison.contenders, key=lambda c: comparison.controls[c.name] is not None)
    families: dict[str, list[str]] = {}
    for contender in ordered:
        families.setdefault(contender.family, []).append(contender.name)
    return {
        name: _paler(PALETTE[i % len(PALETTE)], 0.7 * (1 - place / len(names)))
        for i, names in enumerate(families.values())
        for place, name in enumerate(names, start=1)
    }


def _paler(colour: str, share: float) -> str:
    """Mixed with this share of white."""
    mixed = (round(int(colour[i : i + 2], 16) * (1 - share) + 255 * share) for i in (1, 3, 5))
    return "#" + "".join(f"{part:02x}" for part in mixed)


def paired_differences(comparison: Comparison, name: str) -> str:
    """Contender minus control for every case, sorted, with mean and interval; a panel per structure."""
    tested = {metric for contender, _, metric in comparison.differences if contender == name}
    shown = [metric for metric in comparison.metrics if metric.name in tested]
    if not shown:
        return ""

    def draw(figure: Figure) -> None:
        labels = [f"Δ {metric.title}{f' [{metric.unit}]' if metric.unit else ''}" for metric in shown]
        panels = _panels(figure, labels, comparison.structures)
        for metric, row in zip(shown, panels, strict=True):
            for structure, axes in row.items():
                _differences_panel(comparison, name, structure, metric, axes)
        for axes in panels[-1].values():
            axes.set_xlabel("test cases, sorted")

    return svg(
        WIDTH,
        PANEL_HEIGHT * _rows(comparison) * len(shown),
        draw,
        salt=f"differences {name}",
        title=f"{name} minus {comparison.control_told(name)}, case by case",
        told="; ".join(
            f"{metric.title}, {structure}: mean {words.number(found.mean, metric.decimals, sign=True)},"
            f" p {words.p_value(found.p_holm)}, {found.n} cases"
            for metric in shown
            for structure in comparison.structures
            if (found := comparison.differences.get((name, structure, metric.name)))
        ),
    )


def _rows(comparison: Comparison) -> int:
    return math.ceil(len(comparison.structures) / MOST_COLUMNS)


def _panels(figure: Figure, labels: Sequence[str], structures: Sequence[str]) -> list[dict[str, Axes]]:
    """A block of panels per label, one panel per structure; the panels of a block share their scale."""
    columns = min(len(structures), MOST_COLUMNS)
    rows = math.ceil(len(structures) / columns)
    grid = figure.subplots(rows * len(labels), columns, squeeze=False)
    blocks = []
    for n, label in enumerate(labels):
        panels = list(grid[n * rows : (n + 1) * rows].flat)
        for place, axes in enumerate(panels):
            axes.set_visible(place < len(structures))
            if place:
                axes.sharey(panels[0])
            if place % columns:
                axes.tick_params(labelleft=False)
            else:
                axes.set_ylabel(label)
            if place < len(structures) and (n == 0 or rows > 1):
                axes.set_title(structures[place])
        blocks.append(dict(zip(structures, panels, strict=False)))
    return blocks


def _differences_panel(comparison: Comparison, name: str, structure: str, metric: Metric, axes: Axes) -> None:
    axes.set_xticks([])
    axes.margins(y=0.16)
    axes.axhline(0, color=INK, linewidth=0.9)
    difference = comparison.differences.get((name, structure, metric.name))
    if difference is None:
        axes.text(0.5, 0.5, "no pair of values", transform=axes.transAxes, ha="center", color=FAINT)
        return
    values = sorted(difference.values.values())
    better = [(value > 0) == metric.higher_is_better and value != 0 for value in values]
    tints = [
        LINE if value == 0 else HELPED if good else HURT for value, good in zip(values, better, strict=True)
    ]
    size = max(8.0, min(30.0, 500 / len(values)))
    axes.vlines(range(len(values)), 0, values, colors=tints, linewidth=1.0, alpha=0.45)
    axes.scatter(range(len(values)), values, s=size, c=tints, linewidths=0, zorder=3)
    if all(map(math.isfinite, difference.interval)):
        axes.axhspan(*difference.interval, color=PALETTE[1], alpha=0.16, linewidth=0)
    axes.axhline(difference.mean, color=PALETTE[1], linewidth=1.6)
    axes.set_xlim(-1, len(values))
    told = words.number(difference.mean, metric.decimals, sign=True)
    axes.text(
        0.03, 0.97, f"mean {told}\np {words.p_value(difference.p_holm)}", transform=axes.transAxes,
        ha="left", va="top", fontsize=8.5, color=INK,
    )  # fmt: skip


def distributions(comparison: Comparison) -> str:
    """Every case as a dot beside the box of its contender; a panel per metric and structure."""
    if not comparison.metrics:
        return ""
    tints = colours(comparison)
    names = [c.name for c in comparison.contenders]

    def draw(figure: Figure) -> None:
        labels = [words.heading(metric) for metric in comparison.metrics]
        panels = _panels(figure, labels, comparison.structures)
        for metric, row in zip(comparison.metrics, panels, strict=True):
            for structure, axes in row.items():
                for place, name in enumerate(names):
                    _box(comparison, (name, structure, metric.name), tints[name], place, axes)
                axes.set_xlim(-0.6, len(names) - 0.4)
                axes.set_xticks([])
                axes.grid(False, axis="x")
        legend(figure, tints)

    rows = _rows(comparison) * len(comparison.metrics)
    return svg(
        WIDTH,
        PANEL_HEIGHT * rows + 0.4,
        draw,
        salt="distributions",
        title=f"{', '.join(m.title for m in comparison.metrics)} of every case, by structure and run",
        told="; ".join(
            f"{metric.title}, {comparison.overall}, {name}: {words.score(score, metric)}"
            for metric in comparison.metrics
            for name in names
            if (score := comparison.scores.get((name, comparison.overall, metric.name)))
        ),
    )


def _box(comparison: Comparison, key: tuple[str, str, str], tint: str, place: int, axes: Axes) -> None:
    score = comparison.scores.get(key)
    values = sorted(v for v in score.values.values() if math.isfinite(v)) if score else []
    if not values:
        return
    box(values, tint, place, axes)
    golden = 0.6180339887  # a fixed low-discrepancy jitter: the figure is the same every time
    jitter = [place + 0.36 * ((i * golden) % 1 - 0.5) for i in range(len(values))]
    axes.scatter(jitter, values, s=9, color=tint, linewidths=0, alpha=0.85, zorder=3)


def box(values: Sequence[float], tint: str, place: float, axes: Axes, *, outliers: bool = False) -> None:
    """Quartiles, median, and whiskers to what lies within 1.5 times the box; `outliers`: dots beyond."""
    axes.boxplot(
        [values], positions=[place], widths=0.55, showfliers=outliers, patch_artist=True,
        boxprops={"facecolor": tint, "alpha": 0.28, "edgecolor": tint},
        medianprops={"color": tint, "linewidth": 2.2}, whiskerprops={"color": tint}, capprops={"color": tint},
        flierprops={"marker": ".", "markersize": 5, "markerfacecolor": tint, "markeredgewidth": 0},
    )  # fmt: skip


def cost_bars(comparison: Comparison) -> str:
    """Parameters, GFLOPs, seconds a case and peak memory, written out beside their bars."""
    kinds = (
        ("parameters", "parameters", words.count),
        ("multiply_accumulates", "GFLOPs", words.giga),
        ("seconds_per_case", "seconds a case", words.seconds),
        ("peak_memory_bytes", "peak memory", words.memory),
    )
    measured = [kind for kind in kinds if any(c.cost.get(kind[0]) is not None for c in comparison.contenders)]
    if not measured or len(comparison.contenders) < 2:
        return ""
    tints = colours(comparison)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, len(measured), squeeze=False)[0]
        for (key, title, told), axes in zip(measured, panels, strict=True):
            values = [float(c.cost.get(key) or 0) for c in comparison.contenders]
            places = range(len(values))
            axes.barh(places, values, color=[tints[c.name] for c in comparison.contenders], height=0.62)
            for place, contender in zip(places, comparison.contenders, strict=True):
                label = told(contender.cost.get(key))
                axes.annotate(
                    label, (values[place], place), xytext=(4, 0), textcoords="offset points",
                    va="center", ha="left", fontsize=8.5, color=INK,
                )  # fmt: skip
            axes.set_title(title)
            axes.set_xlim(0, (max(values) or 1) * 1.55)
            axes.set_ylim(len(values) - 0.4, -0.6)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines["bottom"].set_visible(False)
            quiet(axes)
        legend(figure, tints)

    return svg(
        WIDTH,
        0.85 + 0.34 * len(comparison.contenders),
        draw,
        salt="cost",
        title="What a prediction costs",
        told="; ".join(
            f"{c.name}: " + ", ".join(f"{title} {told(c.cost.get(key))}" for key, title, told in measured)
            for c in comparison.contenders
        ),
    )
