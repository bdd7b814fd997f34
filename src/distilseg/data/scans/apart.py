"""Native readers of strangers' files run in a process apart: a file that kills them costs itself alone.

A process is started when the first file of its kind is read, and kept: each thread that reads has one, and a
new one is started in place of one that died. They end with this process, however that ends: their input does.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

ITK = "distilseg.data.scans.itk_process"
LIMIT_S = 120.0  # to read a file, and
LEAST_BYTES_S = 1e6  # of its bytes in a second more: a slow network drive is no hang
_PATIENCE_S = 5.0  # until a process that has nothing to do has ended
_PIPE_BYTES = 2**20  # fewer changes between the two, where the system lets a pipe grow
_PACKAGES = str(Path(__file__).resolve().parents[3])


class ReaderFailed(Exception):
    """Why a file cannot be read: what the library says, or how its process ended."""


class _Died(Exception):
    """The process has ended."""


class _Reader:
    """One process that reads: a module that answers by `served.serve`."""

    def __init__(self, module: str) -> None:
        self.module = module
        known = os.environ.get("PYTHONPATH")
        # -P: the folder that the user is in may hold anything, a numpy.py too.
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pipesize=_PIPE_BYTES,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([_PACKAGES, *([known] if known else [])])},
        )
        self.ask, self.told = cast(BinaryIO, self.process.stdin), cast(BinaryIO, self.process.stdout)

    def read(self, asked: dict[str, Any]) -> tuple[dict[str, Any], np.ndarray | None]:
        """What the header says, and the voxels if they were asked for; raises _Died."""
        try:
            self.ask.write(json.dumps(asked).encode() + b"\n")
            self.ask.flush()
        except OSError:
            raise _Died from None
        line = self.told.readline()
        if not line.endswith(b"\n"):
            raise _Died
        said: dict[str, Any] = json.loads(line)
        if "dtype" not in said:
            return said, None
        array = np.empty(said["shape"], said["dtype"])
        left = memoryview(cast(Any, array.reshape(-1).view(np.uint8)))
        while left:
            got = self.told.readinto(left)  # type: ignore[attr-defined]
            if not got:
                raise _Died
            left = left[got:]
        return said, array

    def ended(self) -> int:
        """How it ended; it does so at once where it waits for a file."""
        for end in (self.ask, self.told):
            with suppress(OSError):  # what was asked could not be said
                end.close()
        try:
            return self.process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


_idle: list[_Reader] = []
_lock = threading.Lock()
_of_parent: list[_Reader] = []  # in a process that was forked: not ours to talk to


def read_apart(
    path: Path, reader: str, *, size: int, voxels: bool
) -> tuple[dict[str, Any], np.ndarray | None]:
    """The file at `path` by ITK's `reader`: size, spacing, origin, direction; its voxels, as ITK has them.

    `size`: how many bytes it has, for the time-out. Raises `ReaderFailed`.
    """
    return asked_apart(ITK, {"path": str(path.absolute()), "reader": reader, "voxels": voxels}, size=size)


def asked_apart(module: str, asked: dict[str, Any], *, size: int) -> tuple[dict[str, Any], np.ndarray | None]:
    """What a process of `module` says about what it is `asked`, and the array where it gives one.

    `size`: how many bytes it reads, for the time-out. Raises `ReaderFailed`.
    """
    asked = {**asked, "limit_s": LIMIT_S + size / LEAST_BYTES_S}
    process = _taken(module)
    began = time.monotonic()
    try:
        said, array = process.read(asked)
    except _Died:
        code = process.ended()
        raise ReaderFailed(_how(code, time.monotonic() - began, asked["limit_s"])) from None
    except BaseException:  # such as Ctrl-C: what it has still to say is nobody's answer
        process.process.kill()
        process.ended()
        raise
    with _lock:
        _idle.append(process)
    if "error" in said:
        raise ReaderFailed(said["error"])
    return said, array


def _taken(module: str) -> _Reader:
    """A process of `module` that nobody else talks to, and that lives."""
    with _lock:
        for process in [one for one in reversed(_idle) if one.module == module]:
            _idle.remove(process)
            if process.process.poll() is None:
                return process
            process.ended()  # by somebody's hand, or the system's for want of memory
    return _Reader(module)


def _how(code: int, took_s: float, limit_s: float) -> str:
    if took_s >= limit_s:
        return f"reading it took longer than {limit_s:.0f} s"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"code {code}"
    return f"the reader crashed on it, {name}"


def _forget() -> None:
    """In a process just forked: the readers answer the other one, and end with it."""
    global _lock
    _lock = threading.Lock()
    for process in _idle:
        process.ask.close()
        process.told.close()
    _of_parent.extend(_idle)
    _idle.clear()


def _end_all() -> None:
    while _idle:
        _idle.pop().ended()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
atexit.register(_end_all)
