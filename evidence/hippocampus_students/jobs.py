"""Students made for CPUs: plain and distilled, float and int8, beside a large DynUNet; an hour of a core.

Each student is trained on the labels alone, and by the large network's soft labels (teach_former without
attention maps, its divergence in the order that helped on head and neck CT) beside the control of that
recipe's own objective. Every seed has a large network of its own. What is shipped is judged.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from distilseg.files import write_json
from distilseg.runs import Run, find_runs

from .. import collecting
from ..jobs import Job, train_and_judge

DATA = "Task04_Hippocampus"
SEEDS = (0,)
STUDENTS = ("student_base", "student_small", "student_tiny")  # the longest first
LARGE = {"network": "dynunet", "network_options": {"filters": [32, 64, 128, 256, 320]}}
LEARNING_RATE = 1e-2  # the plain recipe's, for the students of the other objective too
TEACHER = "the large network of the same seed"
SOFT = {"teachers": TEACHER, "order": "hinton", "attention": 0.0}  # KL(teacher, student) alone
TARGETS = ("openvino", "openvino-int8")
ARTEFACT = "artefact"  # the folder of what is shipped
TIMES = 3  # that a process is timed


def jobs(steps: int = 800) -> list[list[Job]]:
    """The large networks, which teach, then seed by seed."""

    def job(recipe: str, options: dict[str, Any], seed: int, **settings: Any) -> Job:
        return Job(recipe, options, {"steps": steps, "seed": seed, **settings})

    each = [(seed, student) for seed in SEEDS for student in STUDENTS]
    plain = [job("supervised", {"network": student}, seed) for seed, student in each]
    focal = [
        job(recipe, {"student": student, **teacher}, seed, learning_rate=LEARNING_RATE)
        for seed, student in each
        for recipe, teacher in (("teach_former", SOFT), ("teach_former_control", {}))
    ]
    return [[job("supervised", LARGE, seed) for seed in SEEDS], [*plain, *focal]]


def train_one(job: Job, data: str, runs: str) -> None:
    """Trains and judges a run, then what is shipped of it; its teacher is one of the finished runs."""
    options = dict(job.options)
    if "teachers" in options:
        options["teachers"] = [str(_large(runs, job.settings["seed"]))]
    for run in train_and_judge(Job(job.recipe, options, job.settings), data, runs, timed=False):
        for target in TARGETS:
            _shipped(run, target)


def _large(runs: str, seed: int) -> Path:
    for run in find_runs(runs):
        about = run.read(run.experiment)
        large = about["networks"]["student"]["name"] == "dynunet" and about["seed"] == seed
        if large and run.finished and "shipped" not in about["options"]:
            return run.folder
    raise SystemExit(f"no finished large network of seed {seed} in {runs}; repeat the command, it resumes")


def _shipped(run: Run, target: str) -> None:
    """A run's artefact, judged by what it predicts, as a run of its own.

    Where int8 is quantised the validation cases choose the layers, so that test cases only judge.
    """
    from distilseg.commands import evaluate, export, predict

    def fill(made: Run) -> None:
        artefact = made.folder / ARTEFACT
        cases, quantised = run.read(run.split)["validation"], target == "openvino-int8"
        export(run, target, out=artefact, cases=cases, even_if_slower=quantised)
        labels = {int(value): name for value, name in run.read(run.plan)["labels"].items()}
        with tempfile.TemporaryDirectory() as aside:
            scans, references = _test_cases(run, Path(aside))
            predict(artefact, scans, Path(aside) / "out")
            scored = Path(aside) / "scores.csv"
            evaluate(references, Path(aside) / "out", labels=labels, out=scored)
            shutil.copyfile(scored, made.metrics)

    def change(about: collecting.Experiment) -> None:
        about["options"]["shipped"] = target

    collecting.derived(run, target, change, (run.plan, run.split, run.status), fill)


def _test_cases(run: Run, folder: Path) -> tuple[Path, Path]:
    """Folders of the test cases' scans and of their references."""
    from distilseg.data.formats import read_dataset

    told = run.read(run.experiment)["dataset"]
    dataset = read_dataset(told["folder"], told["layout"])
    scans, references = folder / "scans", folder / "references"
    for place in (scans, references):
        place.mkdir()
    for case in map(dataset.case, run.read(run.split)["test"]):
        (source,) = case.images.values()
        (scans / f"{case.id}.nii.gz").symlink_to(source.path.resolve())
        (references / f"{case.id}.nii.gz").symlink_to(Path(case.label).resolve())
    return scans, references


def collect(runs: str, results: Path) -> None:
    """Data, and what artefacts cost, one by one; seeds are one row, whichever run taught them."""

    def tidy(about: collecting.Experiment) -> None:
        if "teachers" in about["options"]:
            about["options"]["teachers"] = [TEACHER]

    collecting.collect(runs, results, tidy=tidy, measure=_cost)


def _cost(run: Run) -> dict[str, Any] | None:
    """Of an artefact, once: parity, what int8 left in float; of the first seed size, memory and seconds."""
    from distilseg.data.case import Source
    from distilseg.export.cost import Model, measure_costs
    from distilseg.runtime.artefact import open_artefact

    artefact = run.folder / ARTEFACT
    if not artefact.is_dir() or run.cost.is_file():
        return None
    about = open_artefact(artefact).about
    cost: dict[str, Any] = {"parity": about.parity, "quantisation": about.quantisation}
    if run.read(run.experiment)["seed"] == SEEDS[0]:
        with tempfile.TemporaryDirectory() as aside:
            scans, _ = _test_cases(run, Path(aside))
            (modality,) = run.read(run.plan)["modalities"]
            timed = {scan.name: {modality: Source(scan).plain()} for scan in sorted(scans.iterdir())}
            seconds = [_seconds(artefact, scans, Path(aside) / f"out{n}") for n in range(TIMES)]
            (measured,) = measure_costs([Model(artefact, timed)])
            cost |= measured
            cost |= {"end_to_end_s": statistics.median(seconds), "end_to_end_each_s": seconds}
    write_json(run.cost, cost)
    return cost


def _seconds(artefact: Path, scans: Path, out: Path) -> float:
    """Of a process that predicts all scans, from its start to its end."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "distilseg", "predict", str(artefact), str(scans), str(out)]
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began
