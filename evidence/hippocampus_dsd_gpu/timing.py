"""Time on a machine that is lent for minutes: what each part may take, and how many steps fit.

What is known before anything is trained: `rates`, the steps a second of each job ("unetr dsd") while all run
side by side; `speedup`, how much faster one of them ran alone; `overhead_s`, what a job takes beside its
steps (start, validation, judging) while all run side by side. Standard library only: it runs before anything
is installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SURE = 0.85  # of the steps that were measured to fit: the first steps of a longer run are its slowest
SPARE = 1.3  # of the overhead, which disks decide
LAST_S = 12.0  # for collecting and writing, at the end
TESTS, ALONE, BESIDE = 0.16, 0.012, 0.035  # of all the time: the tests at most, and the two measurements
ALONE_JOB = "dynunet dsd"  # is measured alone


@dataclass(frozen=True)
class Plan:
    """How many jobs at a time, how many steps of each network, after how many minutes a job must end."""

    processes: int
    steps: Mapping[str, int]
    minutes: float


def plan(rates: Mapping[str, float], speedup: float, overhead_s: float, left_s: float) -> Plan | None:
    """What fits into `left_s` seconds; None where nothing does.

    The three ways of a network get as many steps as the slowest of them has time for. All side by side, or
    one after another if each then makes more steps.
    """
    count = len(rates)
    room_s = left_s - LAST_S
    beside_s = room_s - SPARE * overhead_s
    alone_s = room_s / count - SPARE * overhead_s / speedup
    side_by_side = beside_s >= alone_s * speedup
    seconds, faster = (beside_s, 1.0) if side_by_side else (alone_s, speedup)
    if seconds <= 0 or not all(rate > 0 for rate in rates.values()):
        return None
    slowest: dict[str, float] = {}
    for job, rate in rates.items():
        network = job.split()[0]
        slowest[network] = min(rate, slowest.get(network, rate))
    steps = {network: int(SURE * rate * faster * seconds) for network, rate in slowest.items()}
    if not all(steps.values()):
        return None
    return Plan(count if side_by_side else 1, steps, seconds / 60)
