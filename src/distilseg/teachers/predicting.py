"""Label maps and probabilities of many scans by a teacher itself, as its makers write them.

Scan by scan, in the scan's space and file type, whole or not at all, with claims as for any other prediction:
several processes may share a folder, and one that was killed is taken up again. Probabilities lie beside a
label map as `<case>.npz`, under the key `probabilities` [K z y x], as nnU-Net saves them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..claims import Claim, claim, tidy
from ..data.formats.chosen import ALL, Chosen
from ..data.formats.dicom import notes_of
from ..data.formats.inputs import expected, find_chosen, no_scans
from ..data.scans.reading import read_scans, write_label_map
from ..data.scans.scan import ending
from ..errors import UserError
from ..files import written_whole
from ..runtime.jobs import Job, PredictSummary, place, stamp
from ..runtime.passes import Outcome, given_up, in_passes
from .teacher import Teacher
from .traps import Seen, traps


def predict_with_teacher(
    teacher: Teacher,
    inputs: Path | str | Sequence[Path | str],
    out: Path | str,
    *,
    probabilities: bool = False,
    overwrite: bool = False,
    chosen: Chosen = ALL,
    progress: Callable[[int, int], object] | None = None,
    say: Callable[[str], object] = lambda line: None,
) -> PredictSummary:
    """Writes the label map of every scan in `inputs`, in the teacher's own label values.

    Options and errors as of `runtime.pipeline.predict_files`. `say` is told the traps that were met, see
    `teachers/traps.py`.
    """
    found = find_chosen(inputs, teacher.modalities or ("scan",), chosen=chosen)
    summary = PredictSummary(
        refused=found.refused, told=found.told, ignored=no_scans(inputs), notes=notes_of(found.cases)
    )
    jobs = place(found.cases, Path(out), summary.refused, others=found.others)
    before = {job.out: stamp(job.out) for job in jobs}
    one_by_one = _OneByOne(teacher, summary, before, probabilities, overwrite)
    with summary.times.whole():
        for done, (job, outcome, why) in enumerate(in_passes(jobs, one_by_one.run), start=1):
            if outcome == "refused":
                summary.refused[job.case] = why
            else:
                places = {"written": summary.written, "skipped": summary.skipped, "held": summary.held}
                places[outcome][job.case] = job.out
            if progress is not None:
                progress(done, len(jobs))
    for sentence in traps(teacher, one_by_one.seen):
        say(sentence)
    return summary


@dataclass(frozen=True)
class _OneByOne:
    """A teacher at work: no two cases are in its hands."""

    teacher: Teacher
    summary: PredictSummary
    before: Mapping[Path, object]  # what was there at the start
    probabilities: bool
    overwrite: bool
    seen: dict[str, Seen] = field(default_factory=dict)

    def run(self, jobs: Sequence[Job], alone: bool) -> Iterator[Outcome]:
        """What became of each job."""
        for job in jobs:
            yield job, *self._outcome(job, alone)

    def _outcome(self, job: Job, alone: bool) -> tuple[str, str]:
        there = job.out.is_file() and (not self.probabilities or beside(job.out).is_file())
        if there and not self.overwrite:
            tidy(job.out)
            return "skipped", ""
        mine = claim(job.out)
        if mine is None:
            return "held", ""
        if stamp(job.out) != self.before[job.out]:  # made by another process since
            mine.release()
            return "skipped", ""
        if mine.ended and not alone:
            mine.put_back()
            return "put off", ""
        if refusal := given_up(job, mine):
            return "refused", refusal
        try:
            self._write(job, mine)
        except UserError as error:
            named = error.cause if f"case {job.case}" in error.cause else f"case {job.case}: {error.cause}"
            return "refused", str(UserError(named, f"{error.fix} ({expected(self.teacher.modalities)})"))
        except MemoryError:
            told = UserError(
                f"case {job.case}: there is not enough memory for it", "crop it, or use a machine with more"
            )
            return "refused", str(told)
        finally:
            mine.release()
        return "written", ""

    def _write(self, job: Job, mine: Claim) -> None:
        teacher, times = self.teacher, self.summary.times
        with times.of("reading"):
            scans = read_scans(job.images)
        self.seen[job.case] = Seen.of(scans)
        with times.of("network"):  # and what its makers do before it
            answer = teacher.answer(scans, case=job.case)
        if self.probabilities:
            with times.of("label export"):  # as nnU-Net has them: axes z y x
                saved = teacher.probabilities(answer, scans).transpose(0, 3, 2, 1)
            with times.of("writing"), written_whole(beside(job.out)) as aside:
                np.savez_compressed(aside, probabilities=saved)
        with times.of("label export"):
            labels = teacher.labels(answer, scans)
        with times.of("writing"), mine.written() as aside:
            write_label_map(aside, labels, next(iter(scans.values())))


def beside(label_map: Path) -> Path:
    """Where the probabilities lie."""
    return label_map.with_name(label_map.name.removesuffix(ending(label_map)) + ".npz")
