"""The other end of `apart.py`: a process that answers about files, one after the other, and may die of one.

    asked     a line of JSON: what the module's own function takes, and limit_s
    told      a line of JSON, what it says or {"error": ...}; then the array, as it lies in memory

It ends where nobody asks any more, and when an answer takes longer than the limit: whoever asked sees that.
What libraries say on the way is dropped.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

Tell = Callable[..., None]  # tell(said), or tell(said, array): once


def serve(answer: Callable[..., None]) -> None:
    """Answers until standard input ends: `answer(tell, **asked)` tells, or raises."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever asked
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries write to standard output whenever they like

    def tell(said: dict[str, Any], array: Any = None) -> None:
        if array is not None:
            said = said | {"shape": array.shape, "dtype": array.dtype.str}
        line = json.dumps(said).encode() + b"\n"
        out.write(line)
        if array is not None:
            out.write(memoryview(array).cast("B") if array.size else b"")
        out.flush()

    while line := sys.stdin.buffer.readline():
        asked = json.loads(line)
        # By a thread that no library holds up.
        faulthandler.dump_traceback_later(asked.pop("limit_s"), exit=True)
        try:
            answer(tell, **asked)
        except Exception as error:
            tell({"error": str(error).strip() or type(error).__name__})
        faulthandler.cancel_dump_traceback_later()
