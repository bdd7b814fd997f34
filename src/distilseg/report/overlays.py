"""Slices of test cases with the reference's and the prediction's outline, contenders side by side.

A run keeps its slices in overlays.npz: `image_<n>` [H W], `reference_<n>` and `prediction_<n>` [H W] uint8,
`title_<n>` the case.
"""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from ..evaluation.agreement import titled
from ..run_fields import fix
from ..runs import Run
from . import words
from .comparison import Comparison
from .drawing import FAINT, PALETTE, WIDTH, quiet, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CASES = 3
REFERENCE = "#ffffff"
# Bright on grey scans, told apart with any colour vision, none of them white.
OUTLINES = ("#e69f00", "#56b4e9", "#cc79a7", "#009e73", "#f0e442", "#d55e00", "#0072b2")


@dataclass(frozen=True)
class Slice:
    """One slice of one case as one run predicted it."""

    title: str
    image: NDArray[np.float32]  # [H W]
    reference: NDArray[np.uint8]  # [H W] class indices
    prediction: NDArray[np.uint8]  # [H W]


def read_slices(run: Run) -> list[Slice]:
    """The slices in the run's overlays.npz; none where it has no such file. Never unpickles."""
    if not run.overlays.is_file():
        return []
    slices = []
    try:
        with run.overlays.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            for n in sorted(int(key[6:]) for key in arrays.files if key.startswith("image_")):
                image, reference, prediction = (
                    arrays[f"{kind}_{n}"] for kind in ("image", "reference", "prediction")
                )
                if not image.ndim == 2 or not image.shape == reference.shape == prediction.shape:
                    raise ValueError(f"slice {n} has maps of several shapes")
                title = str(arrays[f"title_{n}"]) if f"title_{n}" in arrays.files else f"slice {n}"
                slices.append(Slice(title, np.asarray(image, np.float32), reference, prediction))
    except Exception as error:  # whatever a damaged file makes of NumPy and of what unpacks it
        raise UserError(
            f"{run.overlays} cannot be read ({error})",
            fix(run.overlays),
        ) from None
    return slices


def overlays(comparison: Comparison) -> str:
    """The best, median and worst case of the last contender's slices, a row each, a column per contender."""
    # Of all runs, since each fold tested other cases; of several seeds the first is shown.
    found = {
        c.name: {s.title: s for run in reversed(c.runs) for s in read_slices(run)}
        for c in comparison.contenders
    }
    found = {name: slices for name, slices in found.items() if slices}
    if not found:
        return ""
    titles = _chosen(comparison, list(dict.fromkeys(title for slices in found.values() for title in slices)))
    any_slice = next(iter(next(iter(found.values())).values()))
    height, width = any_slice.image.shape
    panel = min(2.6, WIDTH / (len(found) + 1))
    row_height = panel * min(1.3, max(0.6, height / width)) + 0.4

    def draw(figure: Figure) -> None:
        panels = figure.subplots(len(titles), len(found) + 1, squeeze=False)
        for (title, rank), row in zip(titles, panels, strict=True):
            known = next(slices[title] for slices in found.values() if title in slices)
            _show(row[0], known, outline=None)
            row[0].set_title(f"{rank}: {title}" if rank else title)
            for (name, slices), axes in zip(found.items(), row[1:], strict=True):
                _titled(axes, name, titled("Dice", comparison.labelled_by), _dice(comparison, name, title))
                if title in slices:
                    _show(axes, slices[title], outline=slices[title].prediction)
                else:
                    axes.text(0.5, 0.5, "no slice kept", ha="center", color=FAINT, transform=axes.transAxes)
                    axes.set_axis_off()
        _legend(figure, comparison)

    return svg(
        (len(found) + 1) * panel,
        row_height * len(titles) + 0.45,
        draw,
        salt="overlays",
        title="Slices of test cases with the outlines of reference and prediction",
        told="; ".join(
            f"{rank + ' case ' if rank else ''}{title}: "
            + ", ".join(f"{name} {_dice_told(comparison, name, title)}" for name in found)
            for title, rank in titles
        ),
    )


def _dice_told(comparison: Comparison, name: str, title: str) -> str:
    return f"{titled('Dice', comparison.labelled_by)} {words.number(_dice(comparison, name, title), 3)}"


def _show(axes: Axes, slice_: Slice, *, outline: NDArray[np.uint8] | None) -> None:
    finite = slice_.image[np.isfinite(slice_.image)]
    low, high = np.percentile(finite, (0.5, 99.5)) if finite.size else (0.0, 1.0)
    axes.imshow(slice_.image, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), interpolation="none")
    for value in np.unique(slice_.reference[slice_.reference > 0]):
        _contour(axes, slice_.reference == value, REFERENCE, 1.0)
    if outline is not None:
        for value in np.unique(outline[outline > 0]):
            _contour(axes, outline == value, OUTLINES[(int(value) - 1) % len(OUTLINES)], 1.7)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[["left", "bottom"]].set_visible(False)
    quiet(axes)


def _contour(axes: Axes, mask: NDArray[np.bool_], colour: str, width: float) -> None:
    if not mask.any():
        return
    # A frame of background closes the outline of what touches the border.
    framed = np.pad(mask.astype(np.float32), 1)
    rows, columns = (np.arange(-1, size + 1) for size in mask.shape)
    axes.contour(columns, rows, framed, levels=[0.5], colors=[colour], linewidths=[width])


def _titled(axes: Axes, name: str, metric: str, dice: float) -> None:
    lines = textwrap.wrap(name, 28)
    if math.isfinite(dice):
        lines.append(f"{metric} {words.number(dice, 3)}")
    axes.set_title("\n".join(lines), fontsize=8, fontweight="normal")


def _legend(figure: Figure, comparison: Comparison) -> None:
    from matplotlib.lines import Line2D

    classes = [s for s in comparison.structures if s != comparison.overall or len(comparison.structures) == 1]
    reference = f"{comparison.labelled_by or 'reference'} (white)"
    handles = [Line2D([], [], color=PALETTE[0], linewidth=1.2, label=reference)]
    handles += [
        Line2D([], [], color=OUTLINES[i % len(OUTLINES)], linewidth=2, label=f"predicted {name}")
        for i, name in enumerate(classes)
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=4, fontsize=9)


def _case_of(comparison: Comparison, title: str) -> str:
    """The test case that a slice's title names: the title itself, or the longest case name within it."""
    inside = [case for case in comparison.cases if case in title]
    return title if title in comparison.cases else max(inside, key=len, default=title)


def _dice(comparison: Comparison, name: str, title: str) -> float:
    """The whole case's Dice, mean over structures."""
    if all(metric.name != "dice" for metric in comparison.metrics):
        return math.nan
    score = comparison.scores.get((name, comparison.overall, "dice"))
    return score.values.get(_case_of(comparison, title), math.nan) if score else math.nan


def _chosen(comparison: Comparison, titles: list[str]) -> list[tuple[str, str]]:
    """(title, rank in words): best, median and worst by the last contender's Dice where there are more."""
    name = comparison.contenders[-1].name
    known = [title for title in titles if math.isfinite(_dice(comparison, name, title))]
    ranked = sorted(known, key=lambda title: -_dice(comparison, name, title))
    if len(ranked) < MOST_CASES:
        return [(title, "") for title in titles[:MOST_CASES]]
    return [(ranked[0], "best"), (ranked[len(ranked) // 2], "median"), (ranked[-1], "worst")]
