"""Two processes that share a batch learn what one learns from all of it, on one node or two, killed or not.

Each is started by torchrun, as one starts it on a cluster.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from distilseg.runs import Run, find_runs, read_rows
from distilseg.training.machine import Machine
from distilseg.training.trained import trained

from .small import small_experiment, small_study

ROOT = Path(__file__).resolve().parents[2]


ONE_NODE = ("--standalone", "--nproc-per-node", "2")


def torchrun(how: tuple[str, ...], *words: object) -> subprocess.Popen[str]:
    order = [sys.executable, "-m", "torch.distributed.run", *how, "-m", "tests.training.several"]
    # torchrun keeps one store for all of its tries, in which those that start again find the addresses of the
    # dead (PyTorch issue 135712), unless it is told otherwise.
    alone = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    return subprocess.Popen(
        [*order, *map(str, words)], cwd=ROOT, env=alone, stderr=subprocess.PIPE, text=True
    )


def ended(*started: subprocess.Popen[str]) -> list[str]:
    """What each said, when all are done."""
    said = [one.communicate(timeout=300)[1] for one in started]
    for one, told in zip(started, said, strict=True):
        assert one.returncode == 0, told[-3000:]
    return said


def only_run(folder: Path) -> Run:
    (run,) = find_runs(folder)
    assert run.finished
    return run


def alike(run: Run, other: Run) -> None:
    """The same within rounding."""
    for table in ("losses", "validation"):
        rows, expected = read_rows(getattr(run, table)), read_rows(getattr(other, table))
        assert len(rows) == len(expected) > 0
        for row, asked in zip(rows, expected, strict=True):
            numbers = {name: float(value) for name, value in row.items() if value}
            assert numbers == pytest.approx({n: float(v) for n, v in asked.items() if v}, rel=2e-4, abs=1e-6)
    weights, expected_weights = load_file(run.last), load_file(other.last)
    assert weights.keys() == expected_weights.keys()
    for name, value in weights.items():
        torch.testing.assert_close(value, expected_weights[name], rtol=1e-3, atol=1e-4)


def test_two_gloo_processes_give_the_result_of_one(tmp_path: Path) -> None:
    experiment = small_experiment(small_study(tmp_path / "scans"), steps=4)
    one = Machine(device="cpu", precision="32-true")
    alone = trained(experiment, runs=tmp_path / "alone", machine=one, cache=tmp_path / "cache")
    ended(torchrun(ONE_NODE, tmp_path, tmp_path / "shared", 4))
    shared = only_run(tmp_path / "shared")
    assert shared.name == alone.name
    alike(shared, alone)


@pytest.mark.slow
def test_a_rank_that_is_killed_costs_time_alone(tmp_path: Path) -> None:
    """torchrun starts all again; they resume, and end bit for bit as if nobody had been killed."""
    steps, mark = 6, tmp_path / "killed"
    ended(torchrun(ONE_NODE, tmp_path, tmp_path / "undisturbed", steps))
    (told,) = ended(
        torchrun((*ONE_NODE, "--max-restarts", "1"), tmp_path, tmp_path / "killed_one", steps, "cpu", mark)
    )
    assert mark.exists()
    assert f"resumes after step {steps // 2}" in told
    undisturbed, run = only_run(tmp_path / "undisturbed"), only_run(tmp_path / "killed_one")
    assert run.losses.read_text() == undisturbed.losses.read_text()
    assert run.validation.read_text() == undisturbed.validation.read_text()
    for weights in ("last", "best"):
        found, expected = load_file(getattr(run, weights)), load_file(getattr(undisturbed, weights))
        assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.slow
def test_two_nodes_give_the_result_of_two_processes(tmp_path: Path) -> None:
    """Two launchers that find each other by rendezvous, as on two nodes; both of them are on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{free.getsockname()[1]}"
    meeting = ("--rdzv-backend", "c10d", "--rdzv-endpoint", place, "--rdzv-id", "1")
    node = ("--nnodes", "2", "--nproc-per-node", "1", *meeting, "--local-addr", "127.0.0.1")
    ended(torchrun(ONE_NODE, tmp_path, tmp_path / "one_node", 4))
    ended(*(torchrun(node, tmp_path, tmp_path / "two_nodes", 4) for _ in range(2)))
    one_node, two_nodes = only_run(tmp_path / "one_node"), only_run(tmp_path / "two_nodes")
    assert two_nodes.losses.read_text() == one_node.losses.read_text()
    found, expected = load_file(two_nodes.last), load_file(one_node.last)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
