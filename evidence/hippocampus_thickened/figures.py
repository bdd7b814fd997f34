"""Dice against seconds a case, and against thickness."""

from __future__ import annotations

from distilseg.report.drawing import PALETTE

from ..figures import Point, against
from ..rows import Evidence
from .rows import SWEEP

SLABS, PARTS, VIEWS, VOLUMES = PALETTE[1], PALETTE[0], PALETTE[3], PALETTE[2]
BESIDE = {  # row -> colour, what stands beside its point, and where
    **{row: (SLABS, row[1:], (7, 0)) for row in SWEEP},
    "plain": (PARTS, "channels", (-7, 0)),
    "esm": (PARTS, "multiplexing", (6, -9)),
    "concat": (PARTS, "concat", (-7, 0)),
    "dot": (PARTS, "product", (-7, 9)),
    "coronal": (VIEWS, "coronal", (7, 0)),
    "sagittal": (VIEWS, "sagittal", (-3, 11)),
    "fused": (VIEWS, "three views", (7, 0)),
    "dynunet_steps": (VOLUMES, "as many steps", (7, 0)),
    "dynunet_time": (VOLUMES, "time of a view", (7, 0)),
    "dynunet_fused": (VOLUMES, "as three views", (-7, 0)),
}
LEGEND = {
    "axial, by thickness": {"color": SLABS},
    "axial, parts left out": {"color": PARTS},
    "other views, and all": {"color": VIEWS},
    "3D DynUNet": {"color": VOLUMES},
}


def draw(found: Evidence) -> dict[str, str]:
    seconds = [Point(row, found.rows[row].cost["seconds_per_case"], *told) for row, told in BESIDE.items()]
    thickness = [Point(row, float(row[1:]), SLABS) for row in SWEEP]
    return {
        "-seconds": against(
            found, {"seconds a case, one thread": seconds}, LEGEND, ticks=(1, 1.5, 2, 3, 5, 7)
        ),
        "-thickness": against(found, {"slices in a slab, axial": thickness}, {}),
    }
