"""Work on arrays shared out to threads: NumPy lets go of the interpreter while it calculates."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ..hardware import usable_cores

_WORTH_IT = 2 * 48**3  # elements; less is done sooner than threads are started
_MOST = 8

Piece = TypeVar("Piece")


def shared(work: Callable[[Piece], object], pieces: Iterable[Piece], elements: int, threads: int = 0) -> None:
    """`work` on every piece, by `threads` (0: one for each core of ours, up to 8) if they are worth it."""
    if elements >= _WORTH_IT:
        threads = threads or min(_MOST, usable_cores())
    if threads == 1 or elements < _WORTH_IT:
        for piece in pieces:
            work(piece)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, pieces))
