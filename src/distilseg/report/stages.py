"""Where the seconds of a prediction go: a bar for each contender, stage after stage.

Stages overlap where many cases are predicted; the bar is what one case takes when it waits for each of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import words
from .comparison import Comparison
from .drawing import INK, PALETTE, WIDTH, legend, quiet, svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def stage_bars(comparison: Comparison) -> str:
    """Median seconds of a case's stages, by cost.json's `stages_s`; "" where no run has them."""
    timed = [c for c in comparison.contenders if c.cost.get("stages_s")]
    if not timed:
        return ""
    stages = list(timed[0].cost["stages_s"])
    tints = {stage: PALETTE[n % len(PALETTE)] for n, stage in enumerate(stages)}

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for place, contender in enumerate(timed):
            end = 0.0
            for stage in stages:
                seconds = float(contender.cost["stages_s"].get(stage) or 0)
                axes.barh(place, seconds, left=end, color=tints[stage], height=0.62)
                end += seconds
            axes.annotate(
                words.seconds(end), (end, place), xytext=(4, 0), textcoords="offset points",
                va="center", ha="left", fontsize=8.5, color=INK,
            )  # fmt: skip
        axes.set_yticks(range(len(timed)), [contender.name for contender in timed])
        axes.tick_params(axis="y", labelcolor=INK)
        axes.set_ylim(len(timed) - 0.4, -0.6)
        axes.set_xlabel("seconds of a case")
        axes.margins(x=0.12)
        quiet(axes)
        legend(figure, tints)

    return svg(
        WIDTH,
        1.1 + 0.34 * len(timed),
        draw,
        salt="stages",
        title="Seconds of a case, stage by stage",
        told="; ".join(
            f"{c.name}: "
            + ", ".join(f"{stage} {words.seconds(c.cost['stages_s'].get(stage))}" for stage in stages)
            for c in timed
        ),
    )
