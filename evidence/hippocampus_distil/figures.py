"""Dice against the number of labels: labels alone, and with a large model's answers on the other scans."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distilseg.report.drawing import INK, PALETTE, WIDTH, svg

from ..rows import Evidence
from .rows import CONTROLS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(found: Evidence) -> dict[str, str]:
    ways = {"labels alone": list(CONTROLS.values()), "and the answers, on all scans": list(CONTROLS)}

    def curve(figure: Figure) -> None:
        axes = figure.subplots()
        for (label, rows), tint in zip(ways.items(), PALETTE, strict=False):
            n = [int(row.split()[1]) for row in rows]
            scores = [found.score(row) for row in rows]
            axes.plot(n, [score.mean for score in scores], "o-", color=tint, label=label)
            for x, score in zip(n, scores, strict=True):
                axes.plot([x, x], score.interval, color=tint, linewidth=1.2)
        axes.axhline(found.score("large").mean, color=INK, linewidth=1, label="the large network")
        axes.set_xscale("log")
        ticks = sorted({int(row.split()[1]) for row in CONTROLS})
        axes.set_xticks(ticks, list(map(str, ticks)), minor=False)
        axes.set_xticks([], minor=True)
        axes.set_xlabel("labelled scans")
        axes.set_ylabel(f"Dice, {found.comparison.overall}")
        axes.legend(loc="lower right", fontsize=9)

    told = (
        f"{label}: " + ", ".join(f"{found.score(row).mean:.3f} with {row.split()[1]}" for row in rows)
        for label, rows in ways.items()
    )
    large = f"the large network: {found.score('large').mean:.3f}"
    title = "Dice against the number of labelled scans"
    return {
        "": svg(WIDTH, 3.6, curve, salt="hippocampus distil", title=title, told="; ".join([*told, large]))
    }
