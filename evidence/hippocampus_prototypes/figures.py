"""A box of slices for each row, and Dice against training subjects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distilseg.report import compare_runs
from distilseg.report.drawing import INK, PALETTE, WIDTH, legend, svg
from distilseg.report.figures import box
from distilseg.report.sizes import size_curves

from .rows import EVERYONE, LIGHT, NETWORKS, Prototypes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TINTS = {"alone": PALETTE[5], "control": PALETTE[0], "A": PALETTE[1]}  # as in the curve
NAMES = {"alone": "alone", "control": "control, trained on", "A": "distilled with prototypes of A"}


def draw(found: Prototypes) -> dict[str, str]:
    curve = [
        run
        for row, contender in found.rows.items()
        if row.startswith(LIGHT) and row.endswith(("control", " A"))
        for run in contender.runs
    ]
    return {"-slices": _boxes(found), "-subjects": size_curves(compare_runs(curve, metrics=["dice"]))}


def _boxes(found: Prototypes) -> str:
    """Dice of every slice that holds the structure, a panel for each."""
    structures = found.comparison.structures[:-1]
    step = len(TINTS) + 1

    def drawing(figure: Figure) -> None:
        panels = figure.subplots(1, len(structures), sharey=True, squeeze=False)[0]
        for structure, axes in zip(structures, panels, strict=True):
            for group, network in enumerate(NETWORKS):
                for place, (way, tint) in enumerate(TINTS.items()):
                    values = found.score(f"{network} {EVERYONE} {way}", "dice", structure).values
                    box(sorted(values.values()), tint, place + step * group, axes, outliers=True)
            axes.set_xticks([1 + step * group for group in range(len(NETWORKS))], list(NETWORKS.values()))
            axes.tick_params(axis="x", length=0, labelcolor=INK)
            axes.grid(False, axis="x")
            axes.set_title(structure)
        panels[0].set_ylabel("Dice of a slice")
        legend(figure, {NAMES[way]: tint for way, tint in TINTS.items()})

    title = f"Dice of every slice, by structure ({', '.join(structures)}), network and way of training"
    return svg(WIDTH, 3.9, drawing, salt="boxes", title=title)
