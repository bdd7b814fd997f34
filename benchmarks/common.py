"""What every claim shares: taking turns, medians, rows, and the machine they were measured on."""

from __future__ import annotations

import datetime
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

from distilseg.hardware import processor_features, processor_name

Row = dict[str, Any]


def in_turns(
    contestants: Mapping[str, Callable[[], object]],
    *,
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
    again: bool = False,
) -> dict[str, list[float]]:
    """Seconds of each call, the contestants taking turns; one round before warms up and is not counted.

    `again` calls each once more just before: short calls would else pay for what a large one did to memory.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for round_ in range(repeats + 1):
        for name, call in contestants.items():
            if again:
                call()
            start = clock()
            call()
            if round_:
                seconds[name].append(clock() - start)
    return seconds


def ratio_row(
    claim: str, what: str, ours: list[float], peer: list[float], *, aim: str, peer_name: str, note: str = ""
) -> Row:
    """A row with the median of the rounds' ratios: ours / peer for "<=", peer / ours for ">="."""
    pairs = zip(ours, peer, strict=True)
    ratio = statistics.median(o / p if aim.startswith("<=") else p / o for o, p in pairs)
    return row(
        claim,
        what,
        ours=statistics.median(ours),
        peer=statistics.median(peer),
        unit="s",
        ratio=ratio,
        aim=aim,
        peer_name=peer_name,
        repeats=len(ours),
        note=note,
    )


def row(claim: str, what: str, *, ratio: float, aim: str, **others: Any) -> Row:
    """A row; `aim` is "<= 1.03" or ">= 10"."""
    sign, limit = aim.split()
    met = ratio <= float(limit) if sign == "<=" else ratio >= float(limit)
    rounded = {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in others.items()}
    return {
        "claim": claim,
        "what": what,
        "ratio": float(f"{ratio:.4g}"),
        "aim": aim,
        "met": "yes" if met else "no",
        **rounded,
        "load": round(os.getloadavg()[0], 1),
    }


def machine() -> Row:
    """Hardware and versions, the columns that end every row of results."""
    versions = {name: version(name) for name in ("distilseg", "torch", "monai", "numpy", "scipy")}
    return {
        "processor": processor_name(),
        "features": ", ".join(processor_features()),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **versions,
        "date": datetime.date.today().isoformat(),
    }
