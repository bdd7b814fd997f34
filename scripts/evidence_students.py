"""Evidence for the students made for CPUs, on hippocampus MR: plain and distilled, float and int8, beside a
large DynUNet.

    python scripts/evidence_students.py train --data D      # two hours of four cores; resumes
    python scripts/evidence_students.py collect             # times the artefacts: leave the machine alone
    python scripts/evidence_students_page.py                # results -> docs/evidence, README

Each student is trained on the labels alone, with deep supervision (dsd_ds, what helped most on these scans), and
by the large network's soft labels (teach_former_pwd, what helped most of what has teachers) beside the control
of that recipe's own objective. Every seed has a large network of its own.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evidence_arguments import carry_out, training
from evidence_jobs import ROOT, Job, collect, run_one

if TYPE_CHECKING:
    from distilseg.runs import Run

RESULTS = ROOT / "results" / "hippocampus-students"
SEEDS = (0, 1, 2)
STEPS = 1200
STUDENTS = ("student_base", "student_small", "student_tiny")  # the longest first
LARGE = [32, 64, 128, 256, 320]  # filters of the DynUNet
LEARNING_RATE = 5e-3  # suits these students under either objective
TEACHER = "the large network of the same seed"
TARGETS = ("openvino", "openvino-int8")
ARTEFACT = "artefact"  # the folder of what is shipped
TIMES = 3  # that a process is timed


def jobs(steps: int) -> list[Job]:
    """The large networks, then seed by seed, then those that they teach."""

    def job(recipe: str, options: dict[str, object], seed: int, **settings: object) -> Job:
        return Job(recipe, options, {"steps": steps, "seed": seed, **settings})

    large = {"network": "dynunet", "network_options": {"filters": LARGE}}
    rate = {"learning_rate": LEARNING_RATE}
    return [
        *(job("supervised", large, seed) for seed in SEEDS),
        *(
            job(recipe, {"network": student}, seed)
            for seed in SEEDS
            for student in STUDENTS
            for recipe in ("dsd_ds", "supervised")
        ),
        *(
            job(recipe, {"student": student, **teacher}, seed, **rate)
            for seed in SEEDS
            for student in STUDENTS
            for recipe, teacher in (
                ("teach_former_pwd", {"teachers": TEACHER}),
                ("teach_former_control", {}),
            )
        ),
    ]


def train_one(job: Job, data: str, runs: str) -> None:
    """Trains and judges a run, then what is shipped of it; a teacher is looked up among the finished ones."""
    options = dict(job.options)
    if "teachers" in options:
        options["teachers"] = [str(_large(Path(runs), job.settings["seed"]))]
    for run in run_one(Job(job.recipe, options, job.settings), data, runs):
        for target in TARGETS:
            _ship(run, target)


def _large(runs: Path, seed: int) -> Path:
    from distilseg.runs import find_runs

    for run in find_runs(runs):
        about = run.read(run.experiment)
        large = about["networks"]["student"]["name"] == "dynunet" and about["seed"] == seed
        if large and run.finished and "shipped" not in about["options"]:
            return run.folder
    raise SystemExit(f"no finished large network of seed {seed} in {runs}; repeat the command, it resumes")


def _ship(run: Run, target: str) -> None:
    """Exports a run and judges what the artefact predicts; a folder beside the run's, which reads like one.

    Where int8 is quantised the validation cases choose the layers, so that test cases only judge.
    """
    from distilseg.commands import evaluate, export, predict
    from distilseg.files import folder_written_whole, write_json
    from distilseg.runs import Run

    shipped = Run(run.folder.with_name(f"{run.name}-{target}"))
    if shipped.folder.is_dir():
        return
    with folder_written_whole(shipped.folder) as folder, tempfile.TemporaryDirectory() as aside:
        for path in (run.plan, run.split, run.status):
            shutil.copyfile(path, folder / path.name)
        about = run.read(run.experiment)
        about["options"]["shipped"] = target
        write_json(Run(folder).experiment, about)
        export(run, target, out=folder / ARTEFACT, cases=run.read(run.split)["validation"])
        scans, references = _test_cases(run, Path(aside))
        predict(folder / ARTEFACT, scans, Path(aside) / "out")
        labels = {int(value): name for value, name in run.read(run.plan)["labels"].items()}
        evaluate(references, Path(aside) / "out", labels=labels, out=Run(folder).metrics)


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


def collect_all(runs: str, results: Path) -> None:
    """Copies what is data, and measures what the first seed's artefacts cost, one by one."""
    from distilseg.data.case import Source
    from distilseg.export.cost import measure_cost
    from distilseg.files import write_json
    from distilseg.runs import find_runs
    from distilseg.runtime.artefact import open_artefact

    collect(runs, results)
    for run in find_runs(results):  # seeds are one row, though each was taught by a run of its own
        about = run.read(run.experiment)
        if "teachers" in about["options"]:
            about["options"]["teachers"] = [TEACHER]
            write_json(run.experiment, about)
    for run in find_runs(runs):
        artefact, about = run.folder / ARTEFACT, run.read(run.experiment)
        if not artefact.is_dir() or run.cost.is_file():
            continue
        told = open_artefact(artefact).about
        cost: dict[str, Any] = {"parity": told.parity, "quantisation": told.quantisation}
        if about["seed"] == SEEDS[0]:
            with tempfile.TemporaryDirectory() as aside:
                scans, _ = _test_cases(run, Path(aside))
                (modality,) = run.read(run.plan)["modalities"]
                timed = {scan.name: {modality: Source(scan).plain()} for scan in sorted(scans.iterdir())}
                seconds = [_seconds(artefact, scans, Path(aside) / f"out{n}") for n in range(TIMES)]
                cost |= measure_cost(artefact, timed)
                cost |= {"end_to_end_s": statistics.median(seconds), "end_to_end_each_s": seconds}
        write_json(results / run.name / "cost.json", cost)
        write_json(run.cost, cost)
        print(f"{run.name}: {cost.get('end_to_end_s')} s", flush=True)


def _seconds(artefact: Path, scans: Path, out: Path) -> float:
    """Of a process that predicts all scans, from its start to its end."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "distilseg", "predict", str(artefact), str(scans), str(out)]
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    parser = training(__doc__, "runs/evidence-students")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--steps", type=int, default=STEPS)
    given = parser.parse_args()
    script = [__file__, "--steps", str(given.steps)]
    carry_out(given, script, jobs(given.steps), train_one, lambda: collect_all(given.runs, given.results))


if __name__ == "__main__":
    main()
