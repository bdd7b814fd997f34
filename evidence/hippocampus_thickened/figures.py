"""Dice against seconds a case, and against thickness."""

from __future__ import annotations

from distilseg.report.drawing import PALETTE

from ..figures import Point, against
from ..rows import Evidence
from .rows import PARTS, SWEEP

FAMILIES = {  # name -> colour, rows with what stands beside their point
    "axial, by thickness": (PALETTE[1], {row: row[1:] for row in SWEEP}),
    "axial, parts left out": (PALETTE[0], PARTS),
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


def draw(found: Evidence) -> dict[str, str]:
    seconds = [
        Point(row, found.rows[row].cost["seconds_per_case"], colour, label)
        for colour, rows in FAMILIES.values()
        for row, label in rows.items()
    ]
    legend = {name: {"marker": "o", "color": c, "linestyle": ""} for name, (c, _) in FAMILIES.items()}
    thickness = [Point(row, float(row[1:]), PALETTE[1]) for row in SWEEP]
    title = "seconds a case, one thread"
    return {
        "-seconds": against(found, {title: seconds}, legend, height=5.2, ticks=(1, 1.5, 2, 3, 5, 7)),
        "-thickness": against(found, {"slices in a slab, axial": thickness}, {}, height=4.2),
    }
