"""What an element is given: cores, GPUs, memory, time, a partition of a cluster."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import UserError

_MEMORY = re.compile(r"([1-9][0-9]*)([KMGT])B?", re.IGNORECASE)
_TIME = re.compile(r"(?:([0-9]+)-)?([0-9]+(?::[0-9]{2}){0,2})")  # days-hours:minutes:seconds, and shorter
_UNIT = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class Resources:
    """For one element; None: what the engine gives where nothing is asked for."""

    cpus: int | None = None
    gpus: int = 0
    memory: str | None = None  # 8G
    time: str | None = None  # 1:00:00, or 2-00:00:00: as SLURM writes it
    partition: str | None = None

    def __post_init__(self) -> None:
        if self.cpus is not None and self.cpus < 1:
            raise UserError(f"--cpus {self.cpus} is no number of cores", "give 1 or more")
        if self.gpus < 0:
            raise UserError(f"--gpus {self.gpus} is no number of GPUs", "give 0 or more")
        if self.memory is not None and not _MEMORY.fullmatch(self.memory):
            raise UserError(f"--memory {self.memory} is no size", "write it as 8G or 500M")
        if self.time is not None and not _TIME.fullmatch(self.time):
            raise UserError(f"--time {self.time} is no time", "write it as 1:00:00, or 2-00:00:00 for days")

    @property
    def seconds(self) -> int | None:
        """The time as a number. One of two parts is minutes:seconds, but after days hours:minutes."""
        found = _TIME.fullmatch(self.time) if self.time else None
        if found is None:
            return None
        parts = [int(part) for part in found[2].split(":")]
        if found[1] is not None:
            days, parts = int(found[1]), [*parts, 0, 0][:3]
        else:
            days, parts = 0, ([0, *parts, 0] if len(parts) == 1 else [0, *parts])[-3:]
        hours, minutes, seconds = parts
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds

    @property
    def memory_bytes(self) -> int | None:
        """The memory as a number."""
        found = _MEMORY.fullmatch(self.memory) if self.memory else None
        return int(found[1]) * _UNIT[found[2].upper()] if found else None
