"""What a GPU alone can show: number formats, resuming, runs side by side, several GPUs, export.

    pytest -m cuda tests/cuda                                  # on a machine with a GPU
    DISTILSEG_TEST_DEVICE=cpu pytest -m cuda tests/cuda        # tries the tests themselves on a processor

A GPU adds in another order from run to run, so what is bit for bit on a processor is within rounding here.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from distilseg.commands import export
from distilseg.data.scans.reading import read_scans
from distilseg.distillation.method import Method
from distilseg.judge import judge
from distilseg.predict import load_predictor
from distilseg.runs import Run, find_runs, read_rows
from distilseg.runtime.predictor import load_artefact
from distilseg.training.experiment import Experiment, Study
from distilseg.training.machine import PRECISIONS, Machine
from distilseg.training.precision import candidates
from distilseg.training.trained import trained

from ..training.small import small_experiment, small_study

ROOT = Path(__file__).resolve().parents[2]
DEVICE = os.environ.get("DISTILSEG_TEST_DEVICE", "cuda")
GPUS = torch.cuda.device_count()
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(DEVICE == "cuda" and not GPUS, reason="no CUDA device"),
]
ROUNDING = 1e-2  # relative, of losses after a few steps; TF32 keeps ten bits
ALIKE = 0.99  # of the voxels have the same label


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("phantom")


@pytest.fixture(scope="module")
def study(data: Path) -> Study:
    return small_study(data / "scans")


def make(
    experiment: Experiment,
    folder: Path,
    data: Path,
    precision: str = "32-true",
    device: str = DEVICE,
    **more: float,
) -> Run:
    machine = Machine(device=device, precision=precision)
    return trained(experiment, runs=folder, machine=machine, cache=data / "cache", **more)


def losses(run: Run) -> list[float]:
    return [float(row["total"]) for row in read_rows(run.losses)]


def test_the_fastest_number_format_is_measured_and_kept(
    study: Study, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distilseg.training.precision.user_cache", lambda: tmp_path / "user")
    formats = set(candidates(DEVICE))
    run = make(small_experiment(study, steps=2), tmp_path, data, "auto")
    machine = run.read(run.experiment)["machine"]
    assert machine["precision"] in formats
    assert set(machine["probed_s"]) == (formats if len(formats) > 1 else set())
    assert all(seconds > 0 for seconds in machine["probed_s"].values())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_number_format_learns_what_a_processor_learns(
    precision: str, study: Study, data: Path, tmp_path: Path
) -> None:
    """In float32 within rounding, in fewer bits nearly."""
    if precision not in candidates(DEVICE):
        pytest.skip(f"{DEVICE} does not compute in {precision} rightly")
    experiment = small_experiment(study, steps=6)
    expected = losses(make(experiment, tmp_path / "processor", data, device="cpu"))
    found = losses(make(experiment, tmp_path / "gpu", data, precision))
    assert all(map(math.isfinite, found))
    assert found == pytest.approx(expected, rel=ROUNDING if precision == "32-true" else 5 * ROUNDING)


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("ends_on", sorted({DEVICE, "cpu"}))
def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    precision: str, ends_on: str, study: Study, data: Path, tmp_path: Path
) -> None:
    """It goes on with averaged weights, the optimizer's state and the scaler of 16-mixed."""
    if precision not in candidates(DEVICE) or precision not in candidates(ends_on):
        pytest.skip(f"{DEVICE}, then {ends_on}, do not compute in {precision} rightly")
    whole = small_experiment(study, steps=6, ema=0.9)
    calls = 0

    def breaking(shapes: object) -> Method:
        method = whole.method(shapes)  # type: ignore[arg-type]

        def count(*_: object) -> None:
            nonlocal calls
            calls += 1
            if calls == 4:
                raise Interrupted

        method.register_forward_pre_hook(count)
        return method

    expected = make(whole, tmp_path / "whole", data, precision)
    with pytest.raises(Interrupted):
        make(replace(whole, method=breaking), tmp_path / "halved", data, precision, save_every_s=0.0)
    (halved,) = find_runs(tmp_path / "halved")
    assert not halved.finished
    resumed = make(whole, tmp_path / "halved", data, precision, device=ends_on)
    assert resumed.folder == halved.folder
    assert len(losses(resumed)) == 6
    assert losses(resumed) == pytest.approx(losses(expected), rel=5 * ROUNDING)
    weights, others = load_file(resumed.last), load_file(expected.last)
    for name, value in weights.items():
        torch.testing.assert_close(value, others[name], rtol=0.1, atol=2e-2)


def test_two_runs_side_by_side_learn_what_each_learns_alone(study: Study, data: Path, tmp_path: Path) -> None:
    """Two processes share the device and the cache of prepared cases."""
    alone = losses(make(small_experiment(study, steps=4), tmp_path / "alone", data))
    order = [sys.executable, "-m", "tests.training.child", str(data)]
    folders = [tmp_path / "one", tmp_path / "other"]
    threads = {**os.environ, "OMP_NUM_THREADS": "1"}
    children = [subprocess.Popen([*order, str(to), "4", DEVICE], cwd=ROOT, env=threads) for to in folders]
    assert [child.wait(timeout=300) for child in children] == [0, 0]
    for folder in folders:
        (run,) = find_runs(folder)
        assert losses(run) == pytest.approx(alone, rel=ROUNDING)


@pytest.mark.skipif(DEVICE == "cuda" and GPUS < 2, reason="two processes of one run need two GPUs")
def test_two_processes_give_the_result_of_one(study: Study, data: Path, tmp_path: Path) -> None:
    alone = make(small_experiment(study, steps=4), tmp_path / "alone", data)
    order = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    order += ["-m", "tests.training.several", str(data), str(tmp_path / "shared"), "4", DEVICE]
    done = subprocess.run(order, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    (shared,) = find_runs(tmp_path / "shared")
    assert losses(shared) == pytest.approx(losses(alone), rel=ROUNDING)


@pytest.fixture(scope="module")
def run(study: Study, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    made = make(small_experiment(study, steps=30), tmp_path_factory.mktemp("judged"), data)
    judge(made, study.dataset, device=DEVICE, timed=False)
    return made


def test_a_scan_is_segmented_as_on_a_processor(run: Run, study: Study) -> None:
    """But for near ties, of which a network of a few steps has many."""
    case = study.dataset.case(study.split.test[0])
    here, there = (
        load_predictor(run.folder, device=device).segment(read_scans(case.images), case=case.id)
        for device in (DEVICE, "cpu")
    )
    assert np.mean(here == there) > ALIKE


@pytest.mark.parametrize(("target", "engine"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_what_it_trained_is_exported_and_predicts_the_same(
    target: str, engine: str, run: Run, study: Study, tmp_path: Path
) -> None:
    for needed in ("onnx", "onnxscript", engine):
        pytest.importorskip(needed)
    made = export(run, target, out=tmp_path / "student", data=study.dataset.folder)
    case = study.dataset.case(study.split.test[0])
    scans = read_scans(case.images)
    shipped = load_artefact(made.path).segment(scans, case=case.id)
    own = load_predictor(run.folder, device=DEVICE).segment(scans, case=case.id)
    assert np.mean(shipped == own) > ALIKE
