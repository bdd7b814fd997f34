"""predict, once its options are known: by `runs.py` from typer, by `plain.py` from plain words."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from ..names import printable
from ..progress import counting
from . import show
from .text import runs_of

if TYPE_CHECKING:
    from ..teachers.teacher import TeacherOptions


def predict(
    run: Path,
    inputs: Sequence[Path],
    *,
    modality: str | None = None,
    fuse: str | None = None,
    threshold: float = 0.5,
    overwrite: bool = False,
    weights: str = "best",
    device: str = "auto",
    threads: int = 0,
    skip_empty: bool = False,
    times: bool = False,
    trust: str | None = None,
    probabilities: bool = False,
    teacher: TeacherOptions | None = None,
    series: Sequence[str] = (),
    dicom_tilt: str = "refuse",
    write_as: str = "nifti",
    seg: str = "binary",
    codes: Path | None = None,
    report: bool = False,
) -> int:
    """Predicts and says what became of it; the exit code, 1 if some scans were refused."""
    from .. import commands

    if len(inputs) < 2:
        raise UserError(
            "predict needs a run, at least one scan, and where to write", "distilseg predict RUN SCAN OUT"
        )
    *scans, out = inputs
    said: list[str] = []
    with counting("predicting") as progress:
        summary = commands.predict(
            runs_of(run),
            scans,
            out,
            modality=modality,
            fuse=fuse,
            threshold=threshold,
            overwrite=overwrite,
            weights=weights,
            device=device,
            threads=threads,
            skip_empty=skip_empty,
            trust=trust,
            probabilities=probabilities,
            teacher=teacher,
            series=series,
            dicom_tilt=dicom_tilt,
            write_as=write_as,
            seg=seg,
            codes=codes,
            report=report,
            progress=progress,
            say=said.append,
        )
    for line in said:
        show.say(line)
    for reason in summary.refused.values():
        print(f"refused: {printable(reason)}", file=sys.stderr, flush=True)
    for case, note in summary.notes.items():
        show.say(f"{case}: {printable(note)}")
    if summary.ignored:
        show.say(f"no scans, left alone: {', '.join(path.name for path in summary.ignored)}")
    if summary.held:
        show.say(f"another process is predicting: {', '.join(summary.held)}")
    kept = f", {len(summary.skipped)} there already (--overwrite)" if summary.skipped else ""
    held = f", {len(summary.held)} left to another process" if summary.held else ""
    show.say(f"{len(summary.written)} written to {out}{kept}{held}, {len(summary.refused)} refused")
    if times:
        show.say(summary.times.told())
    return 1 if summary.refused else 0
