"""`distilseg compare`: runs beside their control, with what is certain and what is not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from ..evaluation.by_slice import SLICE_METRICS
from ..evaluation.evaluate import check_by
from ..report import RELEVANT, Comparison, compare_runs, write_report
from ..report.written import check_ending, write_per_case, write_table
from ..runs import Run, check_not_of_a_run, find_runs, open_run

METRICS = ("dice", "hd95", "nsd")


def compare(
    runs: Sequence[Path | str | Run] | Path | str,
    *,
    control: Path | str | None = None,
    metrics: Sequence[str] | None = None,
    by: str = "case",
    relevant: float = RELEVANT,
    out: Path | str | None = None,
    per_case: Path | str | None = None,
    html: Path | str | None = None,
) -> Comparison:
    """The runs' test results against their control; `out` is a table, `per_case` one of every case,
    both .csv, .md or .tex; `html` is a page with figures.

    Each of `runs` is a run folder or a folder that holds run folders. `control`, `by`,
    `relevant`: see `compare_runs`.
    `metrics`: None is Dice, HD95 and NSD, by slice Dice and IoU.
    """
    check_by(by)
    for table in (out, per_case):
        if table is not None:
            check_ending(Path(table))
            check_not_of_a_run(Path(table))
    if by == "slice" and html is not None:
        raise UserError("the page is about cases, not slices", "leave out --html, or add --by case")
    if metrics is None:
        metrics = METRICS if by == "case" else SLICE_METRICS
    found = open_runs(runs)
    against = None if control is None else open_run(control)
    comparison = compare_runs(found, control=against, metrics=metrics, by=by, relevant=relevant)
    if out is not None:
        write_table(comparison, Path(out))
    if per_case is not None:
        write_per_case(comparison, Path(per_case))
    if html is not None:
        write_report(found, html, control=against, metrics=metrics, relevant=relevant)
    return comparison


def open_runs(folders: Sequence[Path | str | Run] | Path | str) -> list[Run]:
    """The runs in these folders; raises UserError for a folder that holds none."""
    named = [folders] if isinstance(folders, (str, Path)) else folders
    runs: list[Run] = []
    for folder in named:
        path = folder.folder if isinstance(folder, Run) else Path(folder)
        runs += find_runs(path) or [open_run(path)]
    return runs
