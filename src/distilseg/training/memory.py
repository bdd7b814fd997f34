"""Memory that one step frees is kept for the next.

glibc gives large blocks back to the system as soon as they are freed and asks for them again at the next
step, whose first touch of every page then goes through the kernel: thousands of page faults a step with small
3D networks, 4 to 20 % of its time. So up to half a gigabyte stays with the process.
"""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of mallopt's parameters, from malloc.h
KEPT_BYTES = 512 * 2**20
LARGEST_BLOCK_BYTES = 32 * 2**20  # the most that glibc allows


def keep_freed_memory() -> bool:
    """Asks the C library to keep freed memory; whether it could. Only glibc can be asked."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, LARGEST_BLOCK_BYTES) and mallopt(_TRIM_THRESHOLD, KEPT_BYTES))
