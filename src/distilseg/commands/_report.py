"""`distilseg report`: one self-contained page about runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..report import RELEVANT, Comparison, write_pictures, write_report
from ..runs import Run, open_run
from ._compare import METRICS, open_runs


def report(
    runs: Sequence[Path | str | Run] | Path | str,
    out: Path | str = "report.html",
    *,
    control: Path | str | None = None,
    metrics: Sequence[str] = METRICS,
    relevant: float = RELEVANT,
    title: str | None = None,
    pictures: Path | str | None = None,
) -> Comparison:
    """Writes tables, figures and verdicts of the runs (see `compare`) to the HTML file `out`.

    `pictures` is a folder that gets every figure as an SVG file of its own.
    """
    against = None if control is None else open_run(control)
    comparison = write_report(
        open_runs(runs), out, control=against, metrics=metrics, title=title, relevant=relevant
    )
    if pictures is not None:
        write_pictures(comparison, pictures)
    return comparison
