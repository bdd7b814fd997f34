"""What three teachers cost their student, recorded and live: Teach-Former with the networks of its paper.

- Time: an epoch with the outputs of three teachers recorded: <= 1.3 undistilled epochs. Both as training runs
  them: one thread for the network, one that cuts, augments and moves the next batch meanwhile. The note gives
  the ratio in processor time, which is what counts where there is no second core.
- Memory: a step with three teachers live needs at most what the largest teacher's forward pass and the
  student's own step need together, weights, gradients and averages included. Each is measured in a process of
  its own: the peak of memory that cannot be given back, above what the libraries hold. The weights of live
  teachers are mapped from their files, which the system may drop and read again; the note says how much that
  is.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from distilseg.data.phantom.volumes import write_phantom
from distilseg.inference.denormals import denormals_flushed
from distilseg.networks.build import NetworkSpec, build
from distilseg.networks.checkpoint import load_network, save_weights
from distilseg.networks.features import Tapped, feature_shapes
from distilseg.recipes import find
from distilseg.recipes.teach_former import T1, T2, T3
from distilseg.training.cases import prepare
from distilseg.training.experiment import Experiment
from distilseg.training.memory import keep_freed_memory
from distilseg.training.objective import Objective
from distilseg.training.recorded import Teacher, recorded
from distilseg.training.studies import make_study

from .common import Row, in_turns, ratio_row, row
from .teachers import objective_of, stepper

TEACHERS = (T1, T2, T3)
EPOCH = 12  # steps
QUICK = {
    f"{T1}.filters": 4,
    f"{T1}.depth": 4,
    f"{T2}.feature_size": 12,
    f"{T2}.window": 2,
    f"{T3}.feature_size": 4,
    f"{T3}.hidden": 48,
    f"{T3}.mlp": 48,
}


def main(quick: bool = False) -> list[Row]:
    return [*_time(quick), *_memory(quick)]


def _experiment(folder: Path, quick: bool) -> Experiment:
    """Of the phantoms in `folder`, which are made where there are none."""
    size, data = 32 if quick else 48, folder / "scans"
    if not data.is_dir():
        write_phantom(data, cases=4, shape=(size + 8,) * 3, modalities=("CT", "PET"))
    study = make_study(data, patch=(size,) * 3)
    return find("teach_former")(study, teacher_options=QUICK if quick else None)


def _time(quick: bool) -> list[Row]:
    torch.set_num_threads(1)
    keep_freed_memory()  # as training does
    with tempfile.TemporaryDirectory() as folder, denormals_flushed():
        experiment = _experiment(Path(folder), quick)
        assert experiment.control is not None
        prepared = prepare(experiment, Path(folder) / "cache")
        whole = objective_of(experiment)
        made = [
            Teacher(name, whole.tapped[name].network, whole.method.roles[name], "benchmark")
            for name in TEACHERS
        ]
        plan = experiment.study.plan
        cases = {id: prepared[id] for id in experiment.study.split.train}
        maps = recorded(made, cases, plan.patch, torch.device("cpu"), Path(folder) / "recorded")
        steppers = {
            "plain": stepper(objective_of(experiment.control), experiment, prepared, None),
            "recorded": stepper(objective_of(experiment, TEACHERS), experiment, prepared, maps),
        }

        def epoch(name: str) -> None:
            for _ in range(1 if quick else EPOCH):
                steppers[name]()

        turns = {name: partial(epoch, name) for name in steppers}
        seconds = in_turns(turns, repeats=1 if quick else 7)
        processor = in_turns(turns, repeats=1 if quick else 3, clock=time.process_time)
        busy = statistics.median(
            a / b for a, b in zip(processor["recorded"], processor["plain"], strict=True)
        )
    patch = "x".join(map(str, plan.patch))
    what = f"Teach-Former, three recorded teachers of the paper's sizes, light H-DenseFormer, patch {patch}"
    return [
        ratio_row(
            "distillation epoch",
            f"{what}, {EPOCH} steps of two patches",
            seconds["recorded"],
            seconds["plain"],
            aim="<= 1.3",
            peer_name="undistilled epoch",
            note=f"in processor time {busy:.2f}",
        )
    ]


def _memory(quick: bool) -> list[Row]:
    """Peaks of: a step with three live teachers, the student's own step, each teacher's forward pass."""
    parts = ("three live", "student", *TEACHERS)
    with tempfile.TemporaryDirectory() as folder:
        experiment = _experiment(Path(folder), quick)
        prepare(experiment, Path(folder) / "cache")
        for role, spec in _specs(experiment).items():
            save_weights(_weights(Path(folder), role), build(spec), spec)
        repeats = range(1 if quick else 3)
        peaks = {part: [_peak_mb(part, Path(folder), quick) for _ in repeats] for part in parts}
        mapped_mb = sum(_weights(Path(folder), role).stat().st_size for role in TEACHERS) / 2**20
    median = {part: statistics.median(values) for part, values in peaks.items()}
    largest = max(TEACHERS, key=lambda name: median[name])
    bound = median[largest] + median["student"]
    told = ", ".join(f"{part} {median[part]:.0f}" for part in parts)
    return [
        row(
            "memory with three teachers",
            "Teach-Former, a step with three live teachers of the paper's sizes",
            ours=median["three live"],
            peer=bound,
            unit="MiB",
            ratio=median["three live"] / bound,
            aim="<= 1",
            peer_name=f"the largest teacher ({largest}) and the student, each alone",
            repeats=len(repeats),
            note=f"peaks in MiB: {told}; beside them {mapped_mb:.0f} of weights mapped from their files",
        )
    ]


def _weights(folder: Path, role: str) -> Path:
    return folder / f"{role}.safetensors"


def _peak_mb(part: str, folder: Path, quick: bool) -> float:
    order = [sys.executable, "-m", "benchmarks.teach_former", part, str(folder), json.dumps(quick)]
    done = subprocess.run(order, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def _measure(part: str, folder: Path, quick: bool) -> float:
    """The peak in MiB while `part` runs twice, above what was there before its networks were loaded."""
    torch.set_num_threads(1)
    keep_freed_memory()
    experiment = _experiment(folder, quick)
    assert experiment.control is not None
    prepared = prepare(experiment, folder / "cache")
    _warm()
    before = _own_mb()
    if part in TEACHERS:
        step = _forward(load_network(_weights(folder, part))[0], experiment)
    else:
        chosen = experiment if part == "three live" else experiment.control
        step = stepper(_live(chosen, folder), chosen, prepared, None)
    with _Watch() as watch:
        for _ in range(2):
            step()
    return watch.peak_mb - before


def _specs(experiment: Experiment) -> dict[str, NetworkSpec]:
    teachers = {role: t for role, t in experiment.teachers.items() if isinstance(t, Experiment)}
    return {**experiment.networks, **{role: t.networks["student"] for role, t in teachers.items()}}


def _live(experiment: Experiment, folder: Path) -> Objective:
    """The objective as training makes it: teachers' weights mapped."""
    specs = _specs(experiment)
    networks = {role: load_network(_weights(folder, role), mapped=role != "student")[0] for role in specs}
    shapes = {
        role: feature_shapes(networks[role], (1, spec.in_channels, *spec.patch))
        for role, spec in specs.items()
    }
    return Objective(experiment.method(shapes), networks)


def _forward(network: torch.nn.Module, experiment: Experiment) -> Callable[[], None]:
    plan, tapped = experiment.study.plan, Tapped(network, ("bottleneck", "decoder.0")).eval()

    @torch.no_grad()
    def step() -> None:
        tapped(torch.zeros(plan.batch_size, len(plan.modalities), *plan.patch))

    return step


def _warm() -> None:
    """Imports what builds networks, and loads what the first convolution loads."""
    small = {T1: {"filters": 4, "depth": 4}, "swin_unetr_light": {"window": 2}, T3: {"hidden": 48, "mlp": 48}}
    for name, options in small.items():
        network = build(NetworkSpec(name, 1, 2, (32, 32, 32), options))
        network(torch.zeros(1, 1, 32, 32, 32)).sum().backward()


def _own_mb() -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 1024


class _Watch:
    """The most anonymous memory while it is open, looked at every millisecond."""

    def __enter__(self) -> _Watch:
        self.peak_mb, self._open = _own_mb(), True
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._open = False
        self._thread.join()

    def _look(self) -> None:
        while self._open:
            self.peak_mb = max(self.peak_mb, _own_mb())
            time.sleep(0.001)


if __name__ == "__main__":
    print(_measure(sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])))
