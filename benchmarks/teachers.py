"""What a teacher costs its student: a step of KD-Net against a plain step of the same student and patch.

- The teacher run at every step: <= 1.5 (a forward pass of an equal network is about a third of a step).
- The teacher's outputs recorded once: <= 1.3.

A step here includes its batch: cut, augmented, the recorded maps moved with it. Processor time, one thread
for the network, on a phantom of three modalities of which the student sees one. The note of the second row
says after how many steps the recording is paid back.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from distilseg.data.phantom.volumes import write_phantom
from distilseg.data.preparing.cache import CachedCase
from distilseg.data.sampling.batches import Maps, batches
from distilseg.inference.denormals import denormals_flushed
from distilseg.networks.build import build
from distilseg.networks.features import feature_shapes
from distilseg.recipes import find
from distilseg.training.cases import make_augmentation, make_sampler, prepare
from distilseg.training.experiment import Experiment, Study
from distilseg.training.loop import make_optimizer
from distilseg.training.memory import keep_freed_memory
from distilseg.training.objective import Objective
from distilseg.training.recorded import Teacher, recorded
from distilseg.training.studies import make_study
from distilseg.types import Batch

from .common import Row, in_turns, ratio_row
from .training import stepper as step_with

WIDTH = [16, 32, 64, 128, 256]


def main(quick: bool = False) -> list[Row]:
    torch.set_num_threads(1)
    keep_freed_memory()  # as training does
    size = 16 if quick else 48
    with tempfile.TemporaryDirectory() as folder, denormals_flushed():
        data = write_phantom(
            Path(folder) / "scans", cases=4, shape=(size + 8,) * 3, modalities=("CT", "PET", "MR")
        )
        study = make_study(data, patch=(size,) * 3)
        experiment = find("kd_net")(study, student_sees=("CT",), network_options={"filters": WIDTH})
        prepared = prepare(experiment, Path(folder) / "cache")
        return _rows(study, experiment, prepared, Path(folder), quick)


def _rows(
    study: Study, experiment: Experiment, prepared: dict[str, CachedCase], folder: Path, quick: bool
) -> list[Row]:
    assert experiment.control is not None
    cases = {id: prepared[id] for id in study.split.train}
    live = objective_of(experiment)
    teacher = live.tapped["teacher"]
    start = time.process_time()
    maps = recorded(
        [Teacher("teacher", teacher.network, live.method.roles["teacher"], "benchmark")],
        cases,
        study.plan.patch,
        torch.device("cpu"),
        folder / "recorded",
    )
    recording_s = time.process_time() - start
    steppers = {
        "plain": stepper(objective_of(experiment.control), experiment, prepared, None),
        "live": stepper(live, experiment, prepared, None),
        "recorded": stepper(objective_of(experiment, ("teacher",)), experiment, prepared, maps),
    }
    seconds = in_turns(steppers, repeats=1 if quick else 20, clock=time.process_time)
    saved_s = max(1e-9, sum(a - b for a, b in zip(seconds["live"], seconds["recorded"], strict=True)))
    saved_s /= len(seconds["live"])
    patch = "x".join(map(str, study.plan.patch))
    paid_back = f"recording {len(cases)} cases is paid back after {recording_s / saved_s:.0f} steps"
    told = {"live": "what the teacher adds is its forward pass", "recorded": paid_back}
    return [
        ratio_row(
            "distillation step",
            f"KD-Net {WIDTH[0]}...{WIDTH[-1]}, teacher {how}, patch {patch}, batch and augmentation included",
            seconds[how],
            seconds["plain"],
            aim=aim,
            peer_name="plain step",
            note=f"processor time; {told[how]}",
        )
        for how, aim in (("live", "<= 1.5"), ("recorded", "<= 1.3"))
    ]


def objective_of(experiment: Experiment, without: tuple[str, ...] = ()) -> Objective:
    """Student and teacher with fresh weights: what they cost does not depend on what they know."""
    torch.manual_seed(0)
    specs = dict(experiment.networks)
    for role, teacher in experiment.teachers.items():
        assert isinstance(teacher, Experiment)
        specs[role] = teacher.networks["student"]
    networks = {role: build(spec) for role, spec in specs.items()}
    shapes = {
        role: feature_shapes(networks[role], (1, spec.in_channels, *spec.patch))
        for role, spec in specs.items()
    }
    method = experiment.method(shapes)
    return Objective(method, {r: n for r, n in networks.items() if r not in without}, recorded=without)


def stepper(
    objective: Objective, experiment: Experiment, prepared: dict[str, CachedCase], maps: Maps | None
) -> Callable[[], None]:
    optimizer = make_optimizer(objective.learned(), experiment.optimisation)
    feed: Iterator[Batch] = batches(
        make_sampler(experiment, prepared),
        make_augmentation(experiment),
        batch_size=2,
        first_step=0,
        steps=10_000,
        maps=maps,
    )
    return step_with(objective, optimizer, feed)
