"""`distilseg demo`: the whole line in minutes, on real hippocampus MR if it is at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..data.case import Dataset
from ..data.fetch import find_data
from ..data.formats import read_dataset
from ..data.phantom.volumes import write_phantom
from ..judge import judge
from ..recipes import find
from ..runs import Run
from ..training.budget import Budget
from ..training.machine import Machine
from ..training.studies import make_study
from ..training.trained import trained
from ._predict import predict
from ._report import report

# Width at which ten minutes of four CPU cores suffice to learn; the paper's is twice as wide.
LIGHT = {"filters": [8, 16, 32, 64, 128]}
OVERHEAD_MINUTES = 1.5  # reading, judging, costs, report
SLACK = 1.6  # a distilled step of so light a network costs up to half more, and the machine may slow down


def demo(
    *,
    minutes: float = 10.0,
    data: Path | str | None = None,
    out: Path | str = "demo",
    seed: int = 0,
    machine: Machine | None = None,
    cache: Path | None = None,
    say: Callable[[str], None] = print,
) -> list[Run]:
    """Trains a control and a dual-self-distilled student for equally many steps and judges both.

    The control trains for its share of `minutes`, the student for as many steps. Writes runs, predictions and
    report.html below `out`; returns the runs, the student's last. `data`: see `find_data`; without any the
    built-in phantom serves.
    """
    out, machine = Path(out), machine or Machine()
    dataset = _dataset(data, out, say)
    study = make_study(dataset, seed=seed)
    split = study.split
    say(
        f"{dataset.name}: {len(split.train)} cases to train, {len(split.validation)} to validate,"
        f" {len(split.test)} to judge; patch {study.plan.patch} voxels"
    )
    share = max(0.3 * minutes, minutes - OVERHEAD_MINUTES) / (1 + SLACK)
    asked = find("dual_self_distillation")(study, network_options=LIGHT)
    # Only left and right are mirror images: a front flipped to the back would no longer be "anterior".
    settings = {"validations": 5, "validation_cases": 8, "flip_axes": (0,)}
    student = asked.with_settings(Budget(minutes=share), **settings)
    assert student.control is not None
    say(f"training the control for {share:.2g} minutes, then the student for as many steps")
    control_run = trained(student.control, runs=out / "runs", machine=machine, cache=cache)
    steps = control_run.read(control_run.status)["steps"]
    student = replace(student, budget=Budget(steps=steps, minutes=SLACK * share))
    student_run = trained(student, runs=out / "runs", machine=machine, cache=cache)
    if (made := student_run.read(student_run.status)["steps"]) < steps:
        say(f"the student ran out of time after {made} of {steps} steps; give more --minutes")
    pair = [control_run, student_run]
    for run in pair:
        judge(run, dataset, device=machine.device)
    report([run.folder for run in pair], out / "report.html")
    case = dataset.case(split.test[0])
    predict(
        student_run.folder,
        sorted({source.path for source in case.images.values()}),
        out / "predictions",
        device=machine.device,
    )
    return pair


def _dataset(data: Path | str | None, out: Path, say: Callable[[str], None]) -> Dataset:
    found = find_data("hippocampus", explicit=data)
    if found is not None:
        say(f"data: {found}")
        return read_dataset(found)
    phantom = out / "phantom"
    write_phantom(phantom, cases=40, shape=(40, 40, 40))
    say(
        "data: NO REAL SCANS FOUND, so this runs on the built-in phantom (synthetic anatomy)."
        " For real hippocampus MR run `distilseg fetch hippocampus` first, or give --data."
    )
    return read_dataset(phantom)
