"""What each change gains on validation cases, a panel for each dataset and network; every seed is a point."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distilseg.report.drawing import FAINT, INK, PALETTE, WIDTH, svg

from .rows import CALLED, Found, names

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(found: Found) -> dict[str, str]:
    told_of = names(found)
    gains = {
        table: {
            change: told_of["gains"][table][change]
            for change, row in rows.items()
            if row is not told_of["beside"](change, rows)
        }
        for table, rows in told_of["tables"].items()
    }

    def paint(figure: Figure) -> None:
        heights = [len(rows) + 2 for rows in gains.values()]
        panels = figure.subplots(len(gains), 1, gridspec_kw={"height_ratios": heights})
        for axes, (table, rows) in zip(panels, gains.items(), strict=True):
            axes.axvline(0, color=INK, linewidth=0.9)
            for place, own in enumerate(rows.values()):
                axes.plot([0, sum(own) / len(own)], [place, place], color=FAINT, linewidth=1.2)
                axes.plot(own, [place] * len(own), "o", color=PALETTE[0], markersize=5)
            axes.set_yticks(range(len(rows)), list(rows), fontsize=8)
            axes.tick_params(axis="y", length=0, labelcolor=INK)
            axes.grid(False, axis="y")
            axes.invert_yaxis()
            axes.set_title(CALLED[table].replace("`", ""), fontsize=9, loc="left")
        panels[-1].set_xlabel("validation Dice less that of the defaults as they were")

    told = "; ".join(
        f"{CALLED[table]}, {change}: {', '.join(f'{one:+.3f}' for one in own)}"
        for table, rows in gains.items()
        for change, own in rows.items()
    )
    height = 0.24 * sum(len(rows) + 2 for rows in gains.values()) + 0.6
    return {"": svg(WIDTH, height, paint, salt="changes", title="What each change gains", told=told)}
