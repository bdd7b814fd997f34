"""Denormal numbers flushed to zero while a network computes, and only then.

As activations die out they become denormal, and processors handle those many times slower. The mode
belongs to the thread, not to PyTorch: left on, SciPy's k-d tree, which the surface metrics use, recurses
until the process crashes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def denormals_flushed() -> Iterator[None]:
    """Flushes denormals in this thread inside the block; afterwards they are exact again."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
