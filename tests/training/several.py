"""A shared run: `torchrun --nproc-per-node 2 -m tests.training.several DATA RUNS STEPS [DEVICE]`."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from distilseg.training.machine import Machine
from distilseg.training.trained import trained

from .small import small_experiment, small_study

if __name__ == "__main__":
    torch.set_num_threads(1)
    data, runs, steps = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    experiment = small_experiment(small_study(data / "scans"), steps=steps)
    device = sys.argv[4] if len(sys.argv) > 4 else "cpu"
    machine = Machine(device=device, precision="32-true", devices=2)
    trained(experiment, runs=runs, machine=machine, cache=data / "cache")
