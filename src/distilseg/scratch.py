"""Arrays of many heads that memory should not hold: in a file without a name, a head at a time in memory.

Logits of 118 classes on 300 x 300 x 300 voxels are 12.7 GB. Up to `IN_MEMORY` bytes an array is an ordinary
one; beyond, it is a map of a temporary file, and its pages leave this process as soon as a head was used.

    zeros          an array [K *S] of either kind
    heads_of       its heads [*S] one by one
    part           a box of all heads

The file is removed from its folder when it is made, so that nothing is left of it whatever happens; its space
is free again when the array is garbage. It lies where TMPDIR says, else in /var/tmp, which is seldom memory.
NumPy and the standard library only.
"""

from __future__ import annotations

import errno
import math
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .disk import SPARE_BYTES
from .errors import UserError

IN_MEMORY = 2**28  # bytes of an array: more goes to the disk

Volumes = NDArray[np.float32]


class _Map(mmap.mmap):
    """Of a scratch file; other maps are not ours to give back."""


def zeros(shape: Sequence[int], what: str, in_memory: int | None = None) -> Volumes:
    """Zeros [K *S], float32; of more than `in_memory` bytes, else `IN_MEMORY`, on the disk.

    Raises `UserError`, naming `what` it is of, where that cannot hold them.
    """
    size = 4 * math.prod(shape)
    if size <= (IN_MEMORY if in_memory is None else in_memory):
        return np.zeros(shape, np.float32)
    folder = scratch_folder()
    free = shutil.disk_usage(folder).free
    if size + SPARE_BYTES > free:
        raise _too_large(what, size, free, folder)
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            _taken(file.fileno(), size)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
                raise
            raise _too_large(what, size, free, folder) from error
        return np.ndarray(tuple(shape), np.float32, buffer=_Map(file.fileno(), size))


def _taken(handle: int, size: int) -> None:
    """Makes a file `size` bytes large.

    Its blocks are there before they are written, as a map of a full disk ends the process; where the system
    or its file system has no such call, the file is only as long.
    """
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(handle, 0, size)
            return
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
    os.ftruncate(handle, size)


def heads_of(values: Volumes) -> Iterator[Volumes]:
    """The heads [*S] of `values` [K *S] in their order, to be read or written; each is given back after."""
    for head_S in values:
        yield head_S
        give_back(values)


def part(values: Volumes, box: tuple[slice, ...]) -> Volumes:
    """The box [K *b] of `values` [K *S]: a view, or of an array on the disk a copy."""
    if _map_of(values) is None:
        return values[:, *box]
    return np.stack([head_S[box].copy() for head_S in heads_of(values)])


def give_back(values: NDArray[Any]) -> None:
    """Lets the pages of `values` leave this process, if they lie in a scratch file; what is in it stays."""
    mapped = _map_of(values)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def scratch_folder() -> Path:
    """Where scratch files lie."""
    usual = Path("/var/tmp")
    named = any(os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    return usual if not named and os.access(usual, os.W_OK) else Path(tempfile.gettempdir())


def _map_of(values: NDArray[Any]) -> _Map | None:
    base: Any = values
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, _Map) else None


def _too_large(what: str, size: int, free: int, folder: Path) -> UserError:
    return UserError(
        f"{what} take {size / 1e9:.2g} GB of disk while they are made, {folder} has {free / 1e9:.2g} GB left",
        "free space there, or name another folder in the environment variable TMPDIR",
    )
