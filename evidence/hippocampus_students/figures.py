"""Dice against seconds and against size, of everything that was shipped; and of the plainly trained alone."""

from __future__ import annotations

from distilseg.report.drawing import FAINT, PALETTE

from ..figures import Point, against
from ..rows import Evidence
from .rows import FLOAT, NETWORKS, WAYS

MARKERS = dict(zip(NETWORKS, "Dso^", strict=True))
COLOURS = dict(zip(WAYS, (PALETTE[0], PALETTE[1], PALETTE[4]), strict=True))
ACROSS = {
    "seconds for 40 scans, process start included": ("end_to_end_s", 1),
    "size of the artefact [MiB]": ("bytes_on_disk", 2**20),
}
LEGEND = {
    **{NETWORKS[network]: {"marker": marker} for network, marker in MARKERS.items()},
    **{WAYS[way]: {"color": colour} for way, colour in COLOURS.items()},
    "int8 (filled: float)": {"markerfacecolor": "white"},
    "nothing cheaper is better": {"marker": "", "color": FAINT, "linestyle": "--"},
}


def draw(found: Evidence) -> dict[str, str]:
    def point(row: str, cost: str, unit: float) -> Point:
        network, way, numbers = row.split()
        x, marker = found.rows[row].cost[cost] / unit, MARKERS[network]
        return Point(row, x, COLOURS[way], marker=marker, filled=numbers == FLOAT)

    panels = {title: [point(row, *cost) for row in found.rows] for title, cost in ACROSS.items()}
    return {
        "": against(found, panels, LEGEND, ticks=(1, 2, 5), front=True),
        "-seconds": _plain(found),
    }


def _plain(found: Evidence) -> str:
    """The large network and the students that were trained as it was, each point by its name."""
    (title, (cost, unit)), *_ = ACROSS.items()
    points = []
    for row in found.rows:
        network, way, numbers = row.split()
        if way == "supervised":
            x, is_float = found.rows[row].cost[cost] / unit, numbers == FLOAT
            label = f"{NETWORKS[network]}{'' if is_float else ', int8'}"
            large = network == "dynunet"
            tint = PALETTE[0] if large else PALETTE[1]
            aside = (7, 6) if is_float and not large else (-7, 6)
            points.append(Point(row, x, tint, label, aside, MARKERS[network], is_float))
    return against(found, {title: points}, {}, ticks=(1, 2, 5), height=3.4)
