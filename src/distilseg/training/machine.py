"""Where a run is carried out: device, number format, processes. Measured, not assumed.

bfloat16 autocast halves the time of a step on some processors and doubles it on others; so one short probe
of the very step that will be trained decides, and its answer is kept for this machine, network and patch.
"""

from __future__ import annotations

import hashlib
import json
import logging
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy

from ..errors import UserError, unknown
from ..files import write_json

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
WORTH_IT = 0.9
DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True)
class Machine:
    """What the user says about where to run; `auto` is decided by measurement."""

    device: str = "auto"  # cpu, cuda, mps
    precision: str = "auto"  # 32-true, bf16-mixed, 16-mixed
    devices: int = 1  # processes per node; with torchrun its --nproc-per-node
    nodes: int = 1

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            raise unknown("device", self.device, DEVICES)
        if self.precision not in ("auto", *PRECISIONS):
            raise unknown("precision", self.precision, ("auto", *PRECISIONS))
        available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        if not available.get(self.device, True):
            raise UserError(f"this machine has no {self.device} device", "use --device cpu, or auto")

    @property
    def kind(self) -> str:
        """The device that `auto` stands for."""
        if self.device != "auto":
            return self.device
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"


def make_fabric(machine: Machine, precision: str) -> Fabric:
    """Fabric on that machine. Several processes synchronise through DistributedDataParallel (gloo on CPU)."""
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # its remarks are not for our users
    several = machine.devices * machine.nodes > 1
    strategy = DDPStrategy(find_unused_parameters=True) if several else "auto"
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
    several = torch.distributed.is_available() and torch.distributed.is_initialized()
    return not several or torch.distributed.get_rank() == 0


def candidates(kind: str) -> tuple[str, ...]:
    """Number formats that `kind` of device can run at all."""
    if kind == "cuda":
        return (
            ("bf16-mixed", "16-mixed", "32-true")
            if torch.cuda.is_bf16_supported()
            else ("16-mixed", "32-true")
        )
    return ("32-true", "bf16-mixed") if kind == "cpu" else ("32-true",)


def fastest_precision(
    step: Callable[[], object], kind: str, *, about: str, cache: Path | None = None, repeats: int = 5
) -> tuple[str, dict[str, float]]:
    """The number format in which `step` (forward and backward, float32 weights) is fastest.

    Fewer bits must be worth it: a candidate replaces float32 only if it saves a tenth of the time. Returns
    the format with the median seconds of each candidate. `about` describes network, patch and batch: the
    answer is kept under it in `cache` (default: the user's cache), so that a machine is probed once.
    """
    formats = candidates(kind)
    if len(formats) == 1:
        return formats[0], {}
    name = torch.cuda.get_device_name() if kind == "cuda" else f"{_processor()} x{torch.get_num_threads()}"
    key = hashlib.blake2b(
        json.dumps([about, kind, name, torch.__version__]).encode(), digest_size=8
    ).hexdigest()
    kept = (cache or Path(platformdirs.user_cache_dir("distilseg"))) / "precision" / f"{key}.json"
    if kept.is_file():
        seconds = json.loads(kept.read_text())["seconds"]
    else:
        seconds = _median_seconds(step, kind, formats, repeats)
        write_json(kept, {"about": about, "machine": name, "torch": torch.__version__, "seconds": seconds})
    weighed = {precision: s if precision == "32-true" else s / WORTH_IT for precision, s in seconds.items()}
    return min(weighed, key=weighed.__getitem__), seconds


def _median_seconds(
    step: Callable[[], object], kind: str, formats: Sequence[str], repeats: int
) -> dict[str, float]:
    """In turns, so that a machine that slows down meanwhile slows every format."""
    dtypes = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
    times: dict[str, list[float]] = {precision: [] for precision in formats}
    for _ in range(repeats + 1):  # the first warms up
        for precision in formats:
            dtype = dtypes.get(precision)
            start = time.perf_counter()
            with torch.autocast(kind, dtype=dtype, enabled=dtype is not None):
                step()
            if kind == "cuda":
                torch.cuda.synchronize()
            times[precision].append(time.perf_counter() - start)
    return {precision: statistics.median(values[1:]) for precision, values in times.items()}


def _processor() -> str:
    """The processor's name, as the system gives it."""
    import platform

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
