"""Work on arrays shared out to threads: NumPy lets go of the interpreter while it calculates."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_WORTH_IT = 2 * 48**3  # elements; less is done sooner than threads are started
_MOST = 8

Piece = TypeVar("Piece")


def shared(work: Callable[[Piece], object], pieces: Iterable[Piece], elements: int, threads: int = 0) -> None:
    """`work` on every piece, by `threads` (0: one per processor, up to 8) where `elements` are worth it."""
    threads = threads or min(_MOST, os.cpu_count() or 1)
    if threads == 1 or elements < _WORTH_IT:
        for piece in pieces:
            work(piece)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, pieces))
