"""Dice of the lesion by how much of it CT shows: one line a way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from distilseg.report.drawing import FAINT, INK, PALETTE, WIDTH, svg

from ..rows import Evidence
from .rows import OF, WAYS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINES = {
    "teacher": (FAINT, ":"),
    "ceiling": (INK, "--"),
    "control": (INK, "-"),
    "full": (PALETTE[0], "-"),
    "gt_kd": (PALETTE[1], "-"),
    "answers": (PALETTE[2], "-"),
}


def draw(found: Mapping[int, Evidence]) -> dict[str, str]:
    dice = {way: [one.score(way, structure=OF).mean for one in found.values()] for way in LINES}

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        places = range(len(found))
        for way, (colour, style) in LINES.items():
            axes.plot(places, dice[way], style, marker="o", color=colour, label=WAYS[way], markersize=5)
        axes.set_xticks(places, [f"{hu} HU" for hu in found])
        axes.set_xlabel("how much denser than the liver the lesion is in CT")
        axes.set_ylabel("Dice of the lesion")
        figure.legend(loc="outside upper left", ncols=3, fontsize=8.5)

    told = "; ".join(f"{WAYS[way]}: {', '.join(f'{one:.3f}' for one in own)}" for way, own in dice.items())
    return {"": svg(WIDTH, 4.2, paint, salt="contrast", title="Dice of the lesion by contrast", told=told)}
