"""Dice against seconds and against size, of everything that was shipped."""

from __future__ import annotations

from distilseg.report.drawing import FAINT, INK, PALETTE

from ..figures import Point, against
from ..rows import Evidence
from .rows import FLOAT, NETWORKS, WAYS

MARKERS = dict(zip(NETWORKS, "Dso^", strict=True))
COLOURS = dict(zip(WAYS, (PALETTE[0], PALETTE[1], PALETTE[2], PALETTE[4]), strict=True))
ACROSS = {
    "seconds for 40 scans, process start included": ("end_to_end_s", 1.0),
    "size of the artefact [MiB]": ("bytes_on_disk", 2**20),
}


def draw(found: Evidence) -> dict[str, str]:
    def point(row: str, cost: str, unit: float) -> Point:
        network, way, numbers = row.split()
        x = found.rows[row].cost[cost] / unit
        return Point(row, x, COLOURS[way], marker=MARKERS[network], filled=numbers == FLOAT)

    panels = {title: [point(row, *cost) for row in found.rows] for title, cost in ACROSS.items()}
    legend = {NETWORKS[n]: {"marker": m, "color": INK, "linestyle": ""} for n, m in MARKERS.items()}
    legend |= {WAYS[way]: {"marker": "o", "color": c, "linestyle": ""} for way, c in COLOURS.items()}
    hollow = {"marker": "o", "color": INK, "markerfacecolor": "white", "linestyle": ""}
    legend |= {
        "int8 (filled: float)": hollow,
        "nothing cheaper is better": {"color": FAINT, "linestyle": "--"},
    }
    return {"": against(found, panels, legend, height=5.2, ticks=(1, 2, 5), front=True)}
