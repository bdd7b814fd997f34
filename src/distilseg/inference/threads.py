"""How many threads torch computes with."""

from __future__ import annotations

import torch

from ..hardware import fewer_cores


def use_threads(threads: int = 0) -> None:
    """`threads` for all that follows; 0: torch's own number, and no more than the cores that are ours.

    Torch knows the affinity of its process and OMP_NUM_THREADS. It knows neither what SLURM granted without
    binding to cores nor a container's share of time.
    """
    if threads:
        torch.set_num_threads(threads)
    elif cores := fewer_cores():
        torch.set_num_threads(min(cores, torch.get_num_threads()))
