"""Label maps and probabilities of many scans by a teacher itself, as its makers write them.

Scan by scan, in the scan's space and file type, whole or not at all, with claims as for any other prediction:
several processes may share a folder, and one that was killed is taken up again. Probabilities lie beside a
label map as `<case>.npz`, under the key `probabilities` [K z y x], as nnU-Net saves them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..claims import claim, tidy
from ..data.formats.inputs import expected, find_cases, no_scans
from ..data.scans.reading import read_scans, write_label_map
from ..data.scans.scan import ending
from ..errors import UserError
from ..files import written_whole
from ..runtime.pipeline import Job, PredictSummary, place
from .teacher import Teacher
from .traps import Seen, traps


def predict_with_teacher(
    teacher: Teacher,
    inputs: Path | str | Sequence[Path | str],
    out: Path | str,
    *,
    probabilities: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, int], object] | None = None,
    say: Callable[[str], object] = lambda line: None,
) -> PredictSummary:
    """Writes the label map of every scan in `inputs`, in the teacher's own label values.

    Options and errors as of `runtime.pipeline.predict_files`. `say` is told the traps that were met, see
    `teachers/traps.py`.
    """
    cases, refused = find_cases(inputs, teacher.modalities or ("scan",))
    summary = PredictSummary(refused=refused, ignored=no_scans(inputs))
    jobs = place(cases, Path(out), refused)
    seen: dict[str, Seen] = {}
    for done, job in enumerate(jobs, start=1):
        _predict(teacher, job, summary, seen, probabilities, overwrite)
        if progress is not None:
            progress(done, len(jobs))
    for sentence in traps(teacher, seen):
        say(sentence)
    return summary


def _predict(
    teacher: Teacher,
    job: Job,
    summary: PredictSummary,
    seen: dict[str, Seen],
    probabilities: bool,
    overwrite: bool,
) -> None:
    beside = job.out.with_name(job.out.name.removesuffix(ending(job.out)) + ".npz")
    if job.out.is_file() and (beside.is_file() or not probabilities) and not overwrite:
        summary.skipped[job.case] = job.out
        tidy(job.out)
        return
    mine = claim(job.out)
    if mine is None:
        summary.held[job.case] = job.out
        return
    try:
        scans = read_scans(job.images)
        seen[job.case] = Seen.of(scans)
        answer = teacher.answer(scans, case=job.case)
        if probabilities:
            # As nnU-Net has them: axes z y x.
            saved = teacher.probabilities(answer, scans).transpose(0, 3, 2, 1)
            with written_whole(beside) as aside:
                np.savez_compressed(aside, probabilities=saved)
        labels = teacher.labels(answer, scans)
        with mine.written() as aside:
            write_label_map(aside, labels, next(iter(scans.values())))
        summary.written[job.case] = job.out
    except UserError as error:
        named = error.cause if f"case {job.case}" in error.cause else f"case {job.case}: {error.cause}"
        summary.refused[job.case] = str(UserError(named, f"{error.fix} ({expected(teacher.modalities)})"))
    except MemoryError:
        refusal = UserError(
            f"case {job.case}: there is not enough memory for it", "crop it, or use a machine with more"
        )
        summary.refused[job.case] = str(refusal)
    finally:
        mine.release()
