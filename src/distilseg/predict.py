"""Scans in, label maps out: in the values, the space, the orientation and the file type of each scan.

    Predictor           one case in memory: prepare -> logits -> labels, or all three as `segment`
    load_predictor      the predictor of a run folder
    predict_files       files or folders: loads once and predicts many

While the network works on one case, the next is read and prepared and the last is exported and written, each
in a thread of its own. At most one case waits before and one behind the network, so memory does not depend on
how many there are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .data.case import Case, Source
from .data.image import Scan, ending, read_scans, write_label_map
from .data.inputs import expected, find_cases
from .data.plan import Plan, load_plan
from .data.preprocess import Grid, Preprocessed, preprocess
from .errors import UserError, unknown
from .inference.build import make_inferer
from .inference.denormals import denormals_flushed
from .inference.inferer import Inferer
from .inference.label_export import export_labels
from .inference.region_export import export_regions
from .networks.checkpoint import load_network
from .networks.modality_encoders import any_subset
from .runs import open_run

DEVICES = ("auto", "cpu", "cuda", "mps")
WEIGHTS = ("best", "last")


class Segmenter(Protocol):
    """What turns the scans of a case into its label map: a `Predictor`, or several as one (`views.py`)."""

    @property
    def plan(self) -> Plan: ...

    def segment(self, scans: Mapping[str, Scan], *, case: str) -> NDArray[np.unsignedinteger[Any]]: ...

    def prepare(self, scans: Mapping[str, Scan], *, case: str) -> Preprocessed: ...

    def logits(self, image: NDArray[np.float32] | Tensor, *, case: str = "") -> Tensor: ...

    def labels(self, logits: Tensor, grid: Grid) -> NDArray[np.unsignedinteger[Any]]: ...


@dataclass(frozen=True, eq=False)
class Predictor:
    """A trained network with everything needed to segment a scan; the network is in evaluation mode."""

    network: nn.Module
    plan: Plan
    inferer: Inferer
    device: torch.device
    answers: str = "classes"  # what the logits are of: the plan's classes or its regions

    def segment(self, scans: Mapping[str, Scan], *, case: str) -> NDArray[np.unsignedinteger[Any]]:
        """Label values [I J K] on the grid of `scans` (by modality). Raises `UserError`, naming the case."""
        prepared = self.prepare(scans, case=case)
        return self.labels(self.logits(prepared.image, case=case), prepared.grid)

    def prepare(self, scans: Mapping[str, Scan], *, case: str) -> Preprocessed:
        """What the network is shown, and the grid that leads back.

        A network for any subset of modalities is shown NaN in the place of those that `scans` lacks.
        """
        present = [name for name in self.plan.modalities if name in scans]
        if not present or len(present) == len(self.plan.modalities) or not any_subset(self.network):
            return preprocess(scans, None, self.plan, case=case)
        found = preprocess(scans, None, self.plan.seeing(present), case=case)
        image = np.full((len(self.plan.modalities), *found.image.shape[1:]), np.nan, np.float32)
        image[[self.plan.modalities.index(name) for name in present]] = found.image
        return Preprocessed(image, None, found.grid)

    @torch.inference_mode()
    def logits(self, image: NDArray[np.float32] | Tensor, *, case: str = "") -> Tensor:
        """Logits [K *S] of a prepared image [M *S], on the predictor's device."""
        self.network.eval()
        with denormals_flushed():
            logits = self.inferer(torch.as_tensor(image)[None].to(self.device), self.network)[0]
        if not logits.isfinite().all():
            raise UserError(
                f"case {case}: the network answers with NaN or infinite logits",
                "its weights are damaged or its training diverged; try other weights",
            )
        return logits

    @torch.inference_mode()
    def labels(self, logits: Tensor, grid: Grid) -> NDArray[np.unsignedinteger[Any]]:
        """Label values [I J K] on the original grid, in the smallest unsigned type, from logits [K *S]."""
        if self.answers == "regions":
            exported = export_regions(logits, grid.cropped_shape, self.plan.paints)
        else:
            exported = export_labels(logits, grid.cropped_shape)
        return restored_labels(exported, grid, self.plan)


def restored_labels(classes: Tensor, grid: Grid, plan: Plan) -> NDArray[np.unsignedinteger[Any]]:
    """Label values [I J K] on the original grid from class indices on the cropped one."""
    restored = grid.restore(classes.cpu().numpy())
    values = np.array(plan.label_values)
    if np.array_equal(values, np.arange(len(values))):
        return restored
    mapped: NDArray[np.unsignedinteger[Any]] = values.astype(np.min_scalar_type(values.max()))[restored]
    return mapped


def load_predictor(
    run_folder: Path | str, *, weights: str = "best", device: str = "auto", trust: str | None = None
) -> Predictor:
    """The predictor of a run: its plan, its inferer and its best (or last) weights.

    `trust` is that of `networks.checkpoint.load_network`.
    """
    run = open_run(run_folder)
    if weights not in WEIGHTS:
        raise unknown("weights", weights, WEIGHTS)
    path = run.best if weights == "best" else run.last
    if not path.is_file():
        raise UserError(
            f"{run.folder} has no {path.name}, so it has no trained weights yet",
            "repeat its `distilseg train` command, it resumes",
        )
    where = _device(device)
    about = run.read(run.experiment)
    plan, inferer, answers = (
        load_plan(run.plan),
        make_inferer(about["inferer"]),
        about.get("answers", "classes"),
    )
    logits = len(plan.labels if answers == "classes" else plan.regions)
    network, spec, extra = load_network(path, trust=trust)
    if (learned := tuple(extra.get("modalities", plan.modalities))) != plan.modalities:
        raise UserError(
            f"{path} learned from {', '.join(learned)}, {run.plan} gives it {', '.join(plan.modalities)}",
            "the order of the modalities matters: restore the plan that the run was trained with",
        )
    if (spec.in_channels, spec.classes) != (len(plan.modalities), logits):
        raise UserError(
            f"{path} takes {spec.in_channels} modalities and tells {spec.classes} {answers} apart,"
            f" {run.plan} names {len(plan.modalities)} and {logits}",
            "restore the plan that the run was trained with",
        )
    return Predictor(network.to(where), plan, inferer, where, answers)


def _device(name: str) -> torch.device:
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name not in DEVICES:
        raise unknown("device", name, DEVICES)
    if name == "auto":
        name = next(device for device, there in available.items() if there)
    if not available[name]:
        raise UserError(f"this machine has no {name} device", "use --device cpu, or auto")
    return torch.device(name)


# Many files: the cases and their places, then the pipeline.


@dataclass(frozen=True)
class Job:
    """One case to predict: its images by modality, and where its label map goes."""

    case: str
    images: Mapping[str, Source]
    out: Path


@dataclass(frozen=True)
class PredictSummary:
    """What became of every case."""

    written: dict[str, Path] = field(default_factory=dict)
    skipped: dict[str, Path] = field(default_factory=dict)  # there before, kept
    refused: dict[str, str] = field(default_factory=dict)  # why, in one line


def predict_files(
    predictor: Segmenter,
    inputs: Path | str | Sequence[Path | str],
    out: Path | str,
    *,
    overwrite: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> PredictSummary:
    """Writes the label map of every scan in `inputs`, whole or not at all, in the scan's space and file type.

    `inputs`: scans, folders of scans, or datasets (see `data.inputs.find_cases`). `out`: a folder, or a file
    if one case is predicted. `progress(done, cases)` is called after each case.

    A case that cannot be predicted is refused with one line in the summary, and the others are predicted
    nevertheless. A label map that exists is kept, unless `overwrite`. Raises `UserError` for inputs or an
    `out` that make no sense as a whole.
    """
    cases, refused = find_cases(inputs, predictor.plan.modalities)
    summary = PredictSummary(refused=refused)
    jobs = place(cases, Path(out), refused)
    predict_jobs(predictor, jobs, summary, overwrite=overwrite, progress=progress)
    return summary


def predict_jobs(
    predictor: Segmenter,
    jobs: Sequence[Job],
    summary: PredictSummary,
    *,
    overwrite: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> None:
    """Predicts `jobs` and notes in `summary` what became of each."""
    todo = []
    for job in jobs:
        if job.out.is_file() and not overwrite:
            summary.skipped[job.case] = job.out
        else:
            todo.append(job)
    for done, (job, refusal) in enumerate(_pipeline(predictor, todo), start=1):
        if refusal:
            summary.refused[job.case] = refusal
        else:
            summary.written[job.case] = job.out
        if progress is not None:
            progress(done, len(todo))


def place(cases: Sequence[Case], out: Path, refused: dict[str, str]) -> list[Job]:
    """Where each label map goes: a name of its own, never over a scan."""
    one_file = bool(ending(out)) and not out.is_dir()
    if one_file and len(cases) + len(refused) > 1:
        raise UserError(
            f"{len(cases) + len(refused)} cases do not fit into the one file {out}", "name a folder"
        )
    scans = {source.path.resolve() for case in cases for source in case.images.values()}
    jobs: dict[Path, Job] = {}
    for case in cases:
        first = next(iter(case.images.values())).path
        place = out if one_file else out / f"{case.id}{ending(first)}"
        if place.resolve() in scans:
            raise UserError(
                f"the label map of {case.id} would replace the scan {place}", "name another folder"
            )
        if place in jobs:
            refusal = UserError(f"two scans are called {case.id}", "predict one of them into another folder")
            refused[str(first)] = str(refusal)
        else:
            jobs[place] = Job(case.id, case.images, place)
    return list(jobs.values())


def _pipeline(predictor: Segmenter, jobs: Sequence[Job]) -> Iterator[tuple[Job, str]]:
    """Every job, in order, with the reason of its refusal, or "" once it is written.

    A stage's error surfaces here, in the caller's thread, when its case is due: nothing waits for a thread
    that is gone.
    """

    def prepare(job: Job) -> tuple[Scan, Preprocessed]:
        scans = _read(job, predictor.plan)
        return next(iter(scans.values())), predictor.prepare(scans, case=job.case)

    def write(job: Job, like: Scan, logits: Tensor, grid: Grid) -> None:
        labels = predictor.labels(logits, grid)
        try:
            write_label_map(job.out, labels, like)
        except OSError as error:
            raise UserError(f"{job.out} cannot be written ({error.strerror})", "name another place") from None

    with _thread("reading") as reading, _thread("writing") as writing:
        ahead = deque(reading.submit(prepare, job) for job in jobs[:1])
        behind: deque[tuple[Job, Future[None]]] = deque()
        for n, job in enumerate(jobs):
            now = ahead.popleft()
            ahead.extend(reading.submit(prepare, later) for later in jobs[n + 1 : n + 2])
            refusal = ""
            with _naming(job):
                try:
                    like, prepared = now.result()
                    logits = predictor.logits(prepared.image, case=job.case)
                except UserError as error:
                    refusal = str(error)
            while behind:
                yield _written(*behind.popleft())
            if refusal:
                yield job, refusal
            else:
                behind.append((job, writing.submit(write, job, like, logits, prepared.grid)))
        while behind:
            yield _written(*behind.popleft())


def _written(job: Job, writing: Future[None]) -> tuple[Job, str]:
    with _naming(job):
        writing.result()
    return job, ""


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
