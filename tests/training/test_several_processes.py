"""Two processes that share a batch learn what one process learns from the whole of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from distilseg.runs import Run, read_rows
from distilseg.training.machine import Machine
from distilseg.training.trained import trained

from .small import small_experiment, small_study

ROOT = Path(__file__).resolve().parents[2]


def test_two_gloo_processes_give_the_result_of_one(tmp_path: Path) -> None:
    experiment = small_experiment(small_study(tmp_path / "scans"), steps=4)
    one = Machine(device="cpu", precision="32-true")
    alone = trained(experiment, runs=tmp_path / "alone", machine=one, cache=tmp_path / "cache")
    order = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("-m", "tests.training.several", str(tmp_path), str(tmp_path / "shared"), "4"),
    ]
    threads = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(order, cwd=ROOT, env=threads, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]

    shared = Run(tmp_path / "shared" / alone.folder.relative_to(tmp_path / "alone"))
    assert shared.finished
    for table in ("losses", "validation"):
        rows, expected = read_rows(getattr(shared, table)), read_rows(getattr(alone, table))
        assert len(rows) == len(expected) > 0
        for row, other in zip(rows, expected, strict=True):
            numbers = {name: float(value) for name, value in row.items() if value}
            assert numbers == pytest.approx({n: float(v) for n, v in other.items() if v}, rel=2e-4, abs=1e-6)
    weights, expected_weights = load_file(shared.last), load_file(alone.last)
    assert weights.keys() == expected_weights.keys()
    for name, value in weights.items():
        torch.testing.assert_close(value, expected_weights[name], rtol=1e-3, atol=1e-4)
