"""The two figures of the prototype evidence: a box of slices for each row, and Dice against training subjects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evidence_prototypes_rows import ALONE, CONTROL, EVERYONE, LABELS, LIGHT, Evidence, Row

from distilseg.report import compare_runs
from distilseg.report.drawing import INK, PALETTE, WIDTH, legend, svg
from distilseg.report.figures import box
from distilseg.report.sizes import size_curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEIGHT = 3.9  # inches
TINTS = {ALONE: PALETTE[5], CONTROL: PALETTE[0], "A": PALETTE[1]}  # as in the curve
NAMES = {ALONE: "alone", CONTROL: "control, trained on", "A": "distilled with prototypes of A"}


def boxes(found: Evidence) -> str:
    """Dice of every slice that holds the structure, a panel per structure: alone, control, distilled."""
    networks = [n for n in LABELS if any(row.network == n for row in found.rows)]
    structures = found.structures[:-1]

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, len(structures), sharey=True, squeeze=False)[0]
        for structure, axes in zip(structures, panels, strict=True):
            for group, network in enumerate(networks):
                for place, (way, tint) in enumerate(TINTS.items()):
                    row = Row(network, EVERYONE, way)
                    if row in found.rows:
                        values = sorted(found.values(row, structure).values())
                        box(values, tint, place + (len(TINTS) + 1) * group, axes, outliers=True)
            middles = [1 + (len(TINTS) + 1) * group for group in range(len(networks))]
            axes.set_xticks(middles, [LABELS[network] for network in networks])
            axes.tick_params(axis="x", length=0, labelcolor=INK)
            axes.grid(False, axis="x")
            axes.set_title(structure)
        panels[0].set_ylabel("Dice of a slice")
        legend(figure, {NAMES[way]: tint for way, tint in TINTS.items()})

    return svg(WIDTH, HEIGHT, draw, salt="boxes")


def against_subjects(found: Evidence) -> str:
    """Control and distilled of the light U-Net; nothing where one number of subjects alone is there."""
    runs = [
        run
        for row, by_seed in found.rows.items()
        if row.network == LIGHT and row.way in (CONTROL, "A")
        for contender in by_seed.values()
        for run in contender.runs
    ]
    return size_curves(compare_runs(runs, metrics=["dice"])) if runs else ""
