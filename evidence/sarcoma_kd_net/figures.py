"""What each student gains over its control; the full method case by case; and slices, which need the runs."""

from __future__ import annotations

from distilseg.files import write_text
from distilseg.report import compare_runs
from distilseg.report.figures import paired_differences
from distilseg.report.overlays import overlays
from distilseg.report.pictures import standalone
from distilseg.runs import find_runs

from ..figures import gains
from ..jobs import ROOT
from ..rows import Evidence
from .rows import STUDENTS, row_of


def draw(found: Evidence) -> dict[str, str]:
    full = {row.split()[0]: row for row in found.rows if row.endswith("full")}
    cases = {
        f"-{student.lower()}": paired_differences(found.comparison, found.rows[row].name)
        for student, row in full.items()
    }
    return {"-gains": gains(found, "control"), **cases}


def write_slices(runs: str) -> None:
    """For each student: reference, control and full method on slices of the first fold's cases."""
    drawn = [run for run in find_runs(runs) if run.overlays.is_file()]
    of_run = {run: row_of(run.read(run.experiment)) for run in drawn}
    for student in STUDENTS:
        shown = [run for run in drawn if of_run[run] in (f"{student} control", f"{student} full")]
        picture = overlays(compare_runs(sorted(shown, key=lambda run: run.name, reverse=True)))
        name = f"sarcoma-kd-net-slices-{student.lower()}.svg"
        write_text(ROOT / "docs" / "evidence" / name, standalone(picture))
