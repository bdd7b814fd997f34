"""predict, once its options are known: by `runs.py` from typer, by `plain.py` from plain words."""

from __future__ import annotations

import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator, MutableSequence, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from ..names import printable
from ..progress import counting, say
from . import show
from .text import runs_of

if TYPE_CHECKING:
    from ..commands._missing import Missing
    from ..teachers.teacher import TeacherOptions

SOME_MISSING = 3  # the exit code of --missing where there are some
_SHOWN = 10  # names of files in a message


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
    part: str | None = None,
    list: str | None = None,
    missing: bool = False,
) -> int:
    """Predicts and says what became of it; the exit code, 1 if some scans were refused.

    Of what is `missing` it says the names alone; the exit code is then 3 if there are some.
    """
    from .. import commands
    from ..runtime.stores import url_of

    if len(inputs) < 2:
        raise UserError(
            "predict needs a run, at least one scan, and where to write", "distilseg predict RUN SCAN OUT"
        )
    *scans, out = inputs
    shown = url_of(out) or out
    if missing:
        from ..commands._missing import missing as missing_in

        lacking = missing_in(
            runs_of(run),
            scans,
            out,
            modality=modality,
            fuse=fuse,
            trust=trust,
            teacher=teacher,
            series=series,
            dicom_tilt=dicom_tilt,
            write_as=write_as,
            part=part,
            list=list,
        )
        return _say_missing(lacking, shown)
    said: MutableSequence[str] = []
    with _ended_by_sigterm(), counting("predicting") as progress:
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
            part=part,
            list=list,
            progress=progress,
            say=said.append,
        )
    if summary.told:
        show.say(summary.told)
    for line in said:
        show.say(line)
    for reason in summary.refused.values():
        print(f"refused: {printable(reason)}", file=sys.stderr, flush=True)
    for case, note in summary.notes.items():
        show.say(f"{case}: {printable(note)}")
    if summary.ignored:
        show.say(f"no scans, left alone: {_counted([path.name for path in summary.ignored])}")
    if summary.held:
        show.say(f"another process is predicting: {', '.join(summary.held)}")
    kept = f", {len(summary.skipped)} there already (--overwrite)" if summary.skipped else ""
    held = f", {len(summary.held)} left to another process" if summary.held else ""
    show.say(f"{len(summary.written)} written to {shown}{kept}{held}, {len(summary.refused)} refused")
    if times:
        show.say(summary.times.told())
    return 1 if summary.refused else 0


def _counted(names: Sequence[str]) -> str:
    """Such as "letter.pdf, seg.dcm (5)": each name once, and of many the first."""
    counts = Counter(names)
    shown = {name: counts[name] for name in [*counts][:_SHOWN]}
    told = [f"{name} ({n:,})" if n > 1 else name for name, n in shown.items()]
    more = len(names) - sum(shown.values())
    return ", ".join(map(printable, told)) + (f" and {more:,} more" if more else "")


def _say_missing(lacking: Missing, out: Path | str) -> int:
    """Names on stdout, for `--list`; all else on stderr."""
    for name in lacking.names:
        print(name)
    for reason in lacking.refused.values():
        say(f"refused: {reason}")
    told = f"{lacking.told}; " if lacking.told else ""
    tried = f", of which {len(lacking.given_up):,} ended their processes" if lacking.given_up else ""
    say(f"{told}{len(lacking.names):,} of {lacking.cases:,} missing in {out}{tried}")
    return SOME_MISSING if lacking.names else 0


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """A queue that ends this process is obeyed as Ctrl-C is: claims are given back, no case is suspected."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
