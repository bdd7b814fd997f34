"""Where a run is carried out: device, number format, processes.

Torch and Fabric are imported inside the functions: the command line reads what `Machine` says without them.
"""

from __future__ import annotations

import logging
import os
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from ..errors import UserError
from .memory import keep_freed_memory
from .setting import Setting, check

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True)
class Machine:
    """What the user says about where to run; `auto` is decided by measurement."""

    device: Annotated[str, Setting(choices=DEVICES)] = "auto"
    precision: Annotated[str, Setting(choices=("auto", *PRECISIONS))] = "auto"
    # Processes; torchrun's --nproc-per-node and --nnodes set them.
    devices: Annotated[int, Setting("Per node.", least=1, variable="LOCAL_WORLD_SIZE")] = 1
    nodes: Annotated[int, Setting("Machines.", least=1, variable="GROUP_WORLD_SIZE")] = 1

    def __post_init__(self) -> None:
        check(self)
        import torch

        available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        if not available.get(self.device, True):
            raise UserError(f"this machine has no {self.device} device", "use --device cpu, or auto")

    @property
    def kind(self) -> str:
        """The device that `auto` stands for."""
        import torch

        if self.device != "auto":
            return self.device
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"


def make_fabric(machine: Machine, precision: str) -> Fabric:
    """Fabric on that machine. Several processes synchronise through DistributedDataParallel (gloo on CPU)."""
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import DDPStrategy

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # its remarks are not for our users
    if machine.kind == "cpu":
        keep_freed_memory()
    several = machine.devices * machine.nodes > 1
    strategy = DDPStrategy(find_unused_parameters=True) if several else "auto"
    with warnings.catch_warnings():
        # Where SLURM is installed and not used: that is how we are started.
        warnings.filterwarnings("ignore", message=r"The `srun` command is available")
        fabric = Fabric(
            accelerator=machine.kind,
            devices=machine.devices,
            num_nodes=machine.nodes,
            strategy=strategy,
            precision=precision,
        )
    fabric.launch()
    return fabric


def is_main_process() -> bool:
    """Whether this process is the only one or the first: the one that judges and prints."""
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank() == 0
    return os.environ.get("RANK", "0") == "0"  # torchrun's, where everything was found and nothing trained
