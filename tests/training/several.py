"""A run by several processes: `torchrun ... -m tests.training.several DATA RUNS STEPS [DEVICE [MARK]]`.

They save after every step. With MARK, a file that is not there yet, the last process kills itself in the
middle of the run, once.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch

from distilseg.training import loop
from distilseg.training.machine import Machine
from distilseg.training.trained import trained

from .small import small_experiment, small_study


def dies_once(step: int, mark: Path) -> None:
    """The process of the highest rank is killed at this step, unless `mark` is there."""
    quick, steps = loop.factor, [0]

    def factor(*given: object, **more: object) -> float:
        steps[0] += 1
        last = int(os.environ["RANK"]) + 1 == int(os.environ["WORLD_SIZE"])
        if last and steps[0] == step and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return quick(*given, **more)  # type: ignore[arg-type]

    loop.factor = factor


if __name__ == "__main__":
    torch.set_num_threads(1)
    data, runs, steps = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    if len(sys.argv) > 5:
        dies_once(steps // 2 + 1, Path(sys.argv[5]))
    experiment = small_experiment(small_study(data / "scans"), steps=steps)
    machine = Machine(
        device=sys.argv[4] if len(sys.argv) > 4 else "cpu",
        precision="32-true",
        devices=int(os.environ["LOCAL_WORLD_SIZE"]),
        nodes=int(os.environ["GROUP_WORLD_SIZE"]),
    )
    trained(experiment, runs=runs, machine=machine, cache=data / "cache", save_every_s=0.0)
