"""Windows fitted to the scan against those of training: the whole network's stage, >= 2.2 times faster on
hippocampi, >= 1.5 on sarcomas in CT and on a phantom of 300x300x120 voxels.

The artefact is OpenVINO's on one thread, once written as it was before, for windows of training, and once for
windows of any size; weights are random: they cost the same. Scans are noise in the shapes that the real ones
have once they are prepared, with their plan's patch; `most_voxels` is what 1 GB holds by the memory that two
windows were measured to add. A time is the processor's, for all scans, in turns.

What is not said here: whether Dice is kept. It often is not, and then an export keeps windows of training
(`docs/explanation/students.md`).
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from distilseg.data.fetch import find_data
from distilseg.data.formats import read_dataset
from distilseg.data.planning.decide import make_plan
from distilseg.data.planning.fingerprint import measure
from distilseg.data.planning.plan import Plan
from distilseg.export.candidates import shapes_of
from distilseg.export.cost_probe import untrained_artefact
from distilseg.export.inference_windows import WINDOW_BYTES, description_of, largest, options_for
from distilseg.runtime.artefact import Artefact, open_artefact
from distilseg.runtime.engine import load_engine
from distilseg.runtime.inferers import Inferer, Network, Volume, make_inferer, planned_inferer
from distilseg.training.studies import narrowed

from .common import Row, in_turns, ratio_row
from .shipping import abdomen_plan, hippocampus_plan

STUDENTS = ("student_tiny", "student_base")
SARCOMA = "Dataset090_SoftTissueSarcoma"


@dataclass(frozen=True)
class Task:
    """A plan, and the shapes of scans that are prepared by it."""

    name: str
    plan: Plan
    shapes: Sequence[tuple[int, ...]]
    aim: str
    repeats: int


def main(quick: bool = False) -> list[Row]:
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for task in _tasks(quick):
            for student in STUDENTS[: 1 if quick else 2]:
                rows.append(_row(task, student, Path(folder) / f"{len(rows)}"))
    return rows


def _tasks(quick: bool) -> list[Task]:
    hippocampi = None if quick else find_data("hippocampus")
    small = Task("a phantom of a hippocampus", hippocampus_plan(), [(36, 50, 36)], ">= 2.2", 5)
    large = Task("a phantom of 300x300x120", abdomen_plan(5), [(240, 240, 120)], ">= 1.5", 3)
    if hippocampi is None:
        return [small] if quick else [small, large]
    tasks = [_real("hippocampi", hippocampi, hippocampus_plan(), 10, ">= 2.2", 5), large]
    if (sarcomas := hippocampi.parent / SARCOMA).is_dir():
        tasks.insert(1, _real("sarcomas in CT", sarcomas, None, 4, ">= 1.5", 3))
    return tasks


def _real(name: str, data: Path, plan: Plan | None, every: int, aim: str, repeats: int) -> Task:
    dataset = read_dataset(data)
    dataset = narrowed(dataset, dataset.modalities[:1], None, 0)
    fingerprint = measure(dataset)
    plan = plan or make_plan(dataset, fingerprint)
    shapes = [tuple(map(int, shape)) for shape in shapes_of(fingerprint, plan)][::every]
    return Task(f"{len(shapes)} {name}", plan, shapes, aim, repeats)


def _row(task: Task, student: str, folder: Path) -> Row:
    plan = task.plan.model_copy(update={"network": student})
    training = planned_inferer(plan)
    untrained_artefact(folder / "before", plan, "openvino")
    untrained_artefact(folder / "free", plan, "openvino", free=True)
    multiple = tuple(math.prod(axis) for axis in zip(*plan.strides, strict=True))
    options, per_voxel = largest(folder / "free", options_for(training, multiple), student, WINDOW_BYTES)
    shown = {"before": Shown(), "fitted": Shown()}
    images = [np.random.default_rng(0).standard_normal((1, *shape), np.float32) for shape in task.shapes]
    calls: dict[str, Callable[[], object]] = {}
    for name, file, inferer in (
        ("before", "before", make_inferer(training, threads=1)),
        ("fitted", "free", make_inferer(description_of(options), threads=1)),
    ):
        network = shown[name].by(_network(open_artefact(folder / file)))
        calls[name] = partial(_predicted, inferer, network, images)
    seconds = in_turns(calls, repeats=task.repeats, clock=time.process_time)
    voxels = {name: one.voxels / (task.repeats + 1) / len(images) for name, one in shown.items()}
    return ratio_row(
        "windows",
        f"{student}, {task.name}",
        seconds["fitted"],
        seconds["before"],
        aim=task.aim,
        peer_name="windows of training",
        note=f"{voxels['fitted']:,.0f} voxels shown of a scan, of {voxels['before']:,.0f} before; at most"
        f" {options.most_voxels:,} at once, {per_voxel:.0f} bytes each; patch"
        f" {'x'.join(map(str, plan.patch))}, speed alone: Dice decides at export",
    )


class Shown:
    """The voxels that a network is shown."""

    def __init__(self) -> None:
        self.voxels = 0

    def by(self, network: Network) -> Network:
        def counting(windows: Volume) -> Volume:
            self.voxels += windows.size
            return network(windows)

        return counting


def _network(artefact: Artefact) -> Network:
    return load_engine("openvino", artefact.read, artefact.about.network, threads=1, lend=True)


def _predicted(inferer: Inferer, network: Network, images: Sequence[NDArray[np.float32]]) -> None:
    for image in images:
        inferer(image, network)
