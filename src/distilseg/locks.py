"""A lock on a file or folder that ends with its process, however that ends. Standard library only.

Where the system has no such locks (Windows, some network drives), nobody holds one and nobody is held up.
"""

from __future__ import annotations

import os
from pathlib import Path


class Taken(Exception):
    """Another process, or thread, has the lock."""


def locked(place: Path, flags: int) -> int | None:
    """A file or folder, opened and ours alone until it is closed or its process ends.

    None: the system has no such locks. Raises Taken, OSError.
    """
    # Neither through a link, nor waiting for who would read a pipe; Windows knows neither.
    careful = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    handle = os.open(place, flags | careful, 0o666)
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise Taken from None
    except (ImportError, OSError):
        os.close(handle)
        return None
    return handle


def lies_at(handle: int, place: Path) -> bool:
    """Whether what was opened is still what lies at `place`."""
    try:
        return os.path.samestat(os.lstat(place), os.fstat(handle))
    except FileNotFoundError:
        return False
