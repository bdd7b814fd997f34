"""How the service is: lines of its log, and SPOOL/status.json, written anew every few seconds.

The log is for many eyes: studies are called by digests, and nothing that stands in an image is told.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

from ..files import write_json
from ..names import printable
from .spool import ANSWERED, ARRIVING, PREDICTING, RECEIVED, REFUSED, SENT, Spool

STATUS = "status.json"
STATUS_S = 10.0  # a file that is older tells that the service hangs
_lock = threading.Lock()


def say(line: str) -> None:
    """One line of the log, with the time, to stderr; in it nothing that a terminal obeys."""
    with _lock:
        print(f"{_now()} {printable(' '.join(line.split()))}", file=sys.stderr, flush=True)


class Health:
    """Tells how it is, at its own pace."""

    def __init__(self, spool: Spool, *, every_s: float, said: Callable[[str], object] = say) -> None:
        self._spool, self._every_s, self._said = spool, every_s, said
        self._began = _now()
        self._written_s = self._told_s = float("-inf")

    def tell(self, now_s: float, *, cut: int, reached: bool, stopped: bool = False) -> None:
        """Writes the file and says the line if it is time; `cut`: studies that wait for the rest."""
        if now_s - self._written_s < STATUS_S and not stopped:
            return
        counts = self._counts()
        free = self._spool.free_bytes()
        self._written_s = now_s
        write_json(
            self._spool.folder / STATUS,
            {
                "state": "stopped" if stopped else "serving",
                "time": _now(),
                "since": self._began,
                "process": os.getpid(),
                "studies": counts | {"waiting for the rest": cut},
                "answers are taken": reached,
                "free_bytes": free,
            },
        )
        if now_s - self._told_s >= self._every_s or stopped:
            self._told_s = now_s
            told = ", ".join(f"{count} {state}" for state, count in counts.items())
            rest = f" ({cut} wait for the rest)" if cut else ""
            trouble = "" if reached else "; ANSWERS ARE NOT TAKEN"
            self._said(f"health: {told}{rest}; {free / 1e9:.1f} GB free{trouble}")

    def _counts(self) -> dict[str, Any]:
        states = (ARRIVING, RECEIVED, PREDICTING, ANSWERED, SENT, REFUSED)
        return {state: self._spool.count(state) for state in states}


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
