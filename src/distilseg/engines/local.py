"""Processes of this machine: as many at a time as there are workers, the next as soon as one ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from .element import Ended, run
from .submission import Submission


def hand_out(
    submission: Submission, numbers: Sequence[int], ended: Callable[[int, Ended], object], *, workers: int
) -> None:
    """Runs the elements of these numbers, all to their ends; `ended` is told of each."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="element")
    try:
        waiting = {pool.submit(run, submission.commands, number): number for number in numbers}
        for future in as_completed(waiting):
            ended(waiting[future], future.result())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
