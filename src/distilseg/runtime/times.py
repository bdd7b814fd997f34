"""Where the time of a prediction goes: stages overlap, so they may sum to more than the whole."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

STAGES = ("reading", "preparing", "network", "label export", "writing")


@dataclass
class StageTimes:
    """Seconds of each stage over all cases, and of the whole, in whichever threads."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    total_s: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Adds what the block takes to `stage`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self.seconds[stage] += time.perf_counter() - start

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Adds what the block takes to the total."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.total_s += time.perf_counter() - start

    def told(self) -> str:
        """One line, such as "12.3 s: reading 0.40, ..., writing 1.20 s, side by side"."""
        stages = ", ".join(f"{name} {s:.2f}" for name, s in self.seconds.items())
        return f"{self.total_s:.2f} s: {stages} s, side by side"
