"""Many cases: which they are, where their label maps go, and three stages that overlap.

While the network works on one case, the next is read and prepared and the last is written, each in a thread
of its own; what the network has answered becomes labels beside it, block by block (`handing_on.py`). At most
one case waits before and one behind the network, so memory does not depend on how many there are. Every case
is claimed first (`claims.py`): several processes may share one folder, and one that was killed leaves no half
file and nothing in the way.

What segments is anything with the three stages of `Segmenter`: a network in torch (`predict.py`), several of
them as one (`views.py`), or an artefact (`predictor.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..claims import Claim, claim, tidy
from ..data.formats.chosen import ALL, Chosen
from ..data.formats.dicom import AS_THEY_ARE, DicomOptions, notes_of
from ..data.formats.inputs import expected, find_chosen, no_scans
from ..data.planning.plan import Plan
from ..data.preparing.grid import Grid
from ..data.preparing.preprocess import Preprocessed
from ..data.scans.reading import read_scans, write_label_map
from ..data.scans.scan import Scan
from ..errors import UserError
from .jobs import Job, PredictSummary, place, stamp
from .passes import Outcome, given_up, in_passes
from .seg_files import SEG_ENDING, SegFiles, of_dicom, reports_beside
from .times import StageTimes

Finish = Callable[[], NDArray[np.unsignedinteger[Any]]]  # what is left to do for label values [I J K]
if TYPE_CHECKING:
    from ..data.scans.dicom.segmentation import SegWriter


class WholeLogits(Protocol):
    """What gives all logits of a case at once: a tensor, wherever it lies, or an array."""

    def logits(self, image: NDArray[np.float32], *, case: str = "") -> Any: ...

    def labels(self, logits: Any, grid: Grid) -> NDArray[np.unsignedinteger[Any]]: ...


class Segmenter(WholeLogits, Protocol):
    """What turns the scans of a case into its label map, at once or in stages."""

    @property
    def plan(self) -> Plan: ...

    def segment(self, scans: Mapping[str, Scan], *, case: str) -> NDArray[np.unsignedinteger[Any]]: ...

    def prepare(self, scans: Mapping[str, Scan], *, case: str) -> Preprocessed: ...

    def ask(self, prepared: Preprocessed, *, case: str, times: StageTimes | None = None) -> Finish: ...


def asked_at_once(
    segmenter: WholeLogits, prepared: Preprocessed, *, case: str, times: StageTimes | None = None
) -> Finish:
    """The stage `ask` of such a segmenter; all labels are left to do."""
    timed = times or StageTimes()
    with timed.of("network"):
        logits = segmenter.logits(prepared.image, case=case)

    def finish() -> NDArray[np.unsignedinteger[Any]]:
        with timed.of("label export"):
            return segmenter.labels(logits, prepared.grid)

    return finish


class LabelWriter(Protocol):
    """What writes labels [I J K] in the space of a scan, such as `write_label_map`."""

    def __call__(self, path: Path, labels_IJK: NDArray[Any], like: Scan) -> None: ...


def predict_files(
    predictor: Segmenter,
    inputs: Path | str | Sequence[Path | str],
    out: Path | str,
    *,
    overwrite: bool = False,
    dicom: DicomOptions = AS_THEY_ARE,
    seg: SegWriter | None = None,
    report: bool = False,
    chosen: Chosen = ALL,
    progress: Callable[[int, int], object] | None = None,
) -> PredictSummary:
    """Writes the label map of every scan in `inputs`, whole or not at all, in the scan's space and file type.

    `inputs`: scans, folders of scans, datasets (see `data.formats.inputs.find_chosen`), or folders of DICOM,
    whose series are chosen as `dicom` says; of all cases those that are `chosen`, such as one part of many.
    `out`: a folder, or a file if one case is predicted. With `seg` the labels of DICOM are written as DICOM
    SEG, and other cases refused; with `report` a structured report of their volumes lies beside each,
    CASE_report.dcm. `progress(done, cases)` is called after each case.

    A case that cannot be predicted is refused with one line in the summary, and the others are predicted
    nevertheless. A label map that exists is kept, unless `overwrite`; one that another process is making is
    left to it, unless it has died before the end. What ended three processes is refused (`passes.py`). Raises
    `UserError` for inputs or an `out` that make no sense as a whole.
    """
    dicom = replace(dicom, kept=predictor.plan.series)
    found = find_chosen(inputs, predictor.plan.modalities, dicom=dicom, chosen=chosen)
    summary = PredictSummary(
        refused=found.refused, told=found.told, ignored=no_scans(inputs), notes=notes_of(found.cases)
    )
    if seg is None:
        jobs = place(found.cases, Path(out), summary.refused, others=found.others)
        predict_jobs(predictor, jobs, summary, overwrite=overwrite, progress=progress)
        return summary
    cases = of_dicom(found.cases, summary.refused)
    jobs = place(cases, Path(out), summary.refused, SEG_ENDING, found.others)
    write = SegFiles(seg, reports_beside(job.out for job in jobs) if report else {})
    predict_jobs(predictor, jobs, summary, overwrite=overwrite, progress=progress, write=write)
    for case, note in write.notes(summary.written, summary.skipped).items():
        summary.notes[case] = "; ".join(filter(None, (summary.notes.get(case), note)))
    return summary


def predict_jobs(
    predictor: Segmenter,
    jobs: Sequence[Job],
    summary: PredictSummary,
    *,
    overwrite: bool = False,
    progress: Callable[[int, int], object] | None = None,
    write: LabelWriter | None = None,
) -> None:
    """Predicts `jobs`, by `write` or `write_label_map`, and notes in `summary` what became of each."""
    before = {job.out: stamp(job.out) for job in jobs}
    todo = []
    for job in jobs:
        if before[job.out] and not overwrite:
            summary.skipped[job.case] = job.out
            tidy(job.out)
        else:
            todo.append(job)

    def run(jobs: Sequence[Job], alone: bool) -> Iterator[Outcome]:
        return _pipeline(predictor, jobs, before, summary.times, write or write_label_map, alone)

    for done, (job, outcome, why) in enumerate(in_passes(todo, run), start=1):
        if outcome == "refused":
            summary.refused[job.case] = why
        else:
            places = {"written": summary.written, "skipped": summary.skipped, "held": summary.held}
            places[outcome][job.case] = job.out
        if progress is not None:
            progress(done, len(todo))


_Stamps = Mapping[Path, tuple[int, int] | None]


def _pipeline(
    predictor: Segmenter,
    jobs: Sequence[Job],
    before: _Stamps,
    times: StageTimes,
    write_labels: LabelWriter,
    alone: bool,
) -> Iterator[Outcome]:
    """Every job, whether it is written, skipped, held, put off or refused, and why it is refused.

    A stage's error surfaces here, in the caller's thread, when its case is due: nothing waits for a thread
    that is gone.
    """

    def prepare(job: Job) -> tuple[Scan, Preprocessed]:
        with _enough_memory(job):
            with times.of("reading"):
                scans = _read(job, predictor.plan)
            first = next(iter(scans.values()))
            with times.of("preparing"):
                prepared = predictor.prepare(scans, case=job.case)
            place = replace(first, array=np.empty(0, first.array.dtype))  # its voxels are not needed again
            return place, prepared

    def write(job: Job, like: Scan, finish: Finish) -> None:
        with _enough_memory(job):
            labels = finish()
        with times.of("writing"), _writing(job), claims[job.out].written() as aside, _refused():
            write_labels(aside, labels, like)

    def begin() -> tuple[Job, Future[tuple[Scan, Preprocessed]]] | None:
        """The next job that is ours to do; those passed on the way are noted."""
        for job in left:
            with _writing(job):
                mine = claim(job.out)
            if mine is None:
                passed.append((job, "held", ""))
            elif stamp(job.out) != before[job.out]:  # made by another process since
                mine.release()
                passed.append((job, "skipped", ""))
            elif mine.ended and not alone:
                mine.put_back()
                passed.append((job, "put off", ""))
            elif refusal := given_up(job, mine):
                passed.append((job, "refused", refusal))
            else:
                claims[job.out] = mine
                return job, reading.submit(prepare, job)
        return None

    def ended(job: Job, writing: Future[None] | None, refusal: str = "") -> Outcome:
        if writing is not None:
            with _naming(job):
                try:
                    writing.result()
                except _Refused as error:
                    refusal = str(error)
        claims.pop(job.out).release()
        return job, "refused" if refusal else "written", refusal

    left, passed = iter(jobs), list[Outcome]()
    with times.whole(), _claims() as claims, _thread("reading") as reading, _thread("writing") as writing:
        behind: deque[tuple[Job, Future[None]]] = deque()
        now = begin()
        while now is not None:
            (job, preparing), now = now, begin()
            refusal = ""
            with _naming(job):
                try:
                    like, prepared = preparing.result()
                    with _enough_memory(job):
                        finish = predictor.ask(prepared, case=job.case, times=times)
                except UserError as error:
                    refusal = str(error)
            while behind:
                yield ended(*behind.popleft())
            if refusal:
                yield ended(job, None, refusal)
            else:
                behind.append((job, writing.submit(write, job, like, finish)))
        while behind:
            yield ended(*behind.popleft())
        yield from passed


class _Refused(UserError):
    """This case, and not the others."""


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except UserError as error:  # such as a series of which no SEG can be made
        raise _Refused(error.cause, error.fix) from None


@contextmanager
def _enough_memory(job: Job) -> Iterator[None]:
    """A case too large for the memory is refused; torch has an error of its own for that."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, MemoryError) and type(error).__name__ != "OutOfMemoryError":
            raise
        raise _Refused(
            f"case {job.case}: there is not enough memory for it", "crop it, or use a machine with more"
        ) from None


@contextmanager
def _writing(job: Job) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{job.out} cannot be written ({error.strerror})", "name another place") from None


@contextmanager
def _claims() -> Iterator[dict[Path, Claim]]:
    """What is claimed is released in the end, whatever that is."""
    claims: dict[Path, Claim] = {}
    try:
        yield claims
    finally:
        for mine in claims.values():
            mine.release()


@contextmanager
def _thread(name: str) -> Iterator[ThreadPoolExecutor]:
    """One thread; what it has begun it ends, what it has not begun is dropped on an error or Ctrl-C."""
    pool = ThreadPoolExecutor(1, thread_name_prefix=name)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _naming(job: Job) -> Iterator[None]:
    """An error that escapes says which case it met."""
    try:
        yield
    except Exception as error:
        error.add_note(f"while predicting case {job.case}")
        raise


def _read(job: Job, plan: Plan) -> dict[str, Scan]:
    try:
        scans = read_scans(job.images)
    except UserError as error:
        raise UserError(
            f"case {job.case}: {error.cause}", f"{error.fix} ({expected(plan.modalities)})"
        ) from None
    for scan in scans.values():
        if 1 in scan.array.shape and 1 not in plan.patch:
            raise UserError(
                f"case {job.case}: {scan.path} is a single slice {list(scan.array.shape)}, the model sees"
                f" {' x '.join(map(str, plan.patch))} voxels",
                f"give the whole volume ({expected(plan.modalities)})",
            )
    return scans
