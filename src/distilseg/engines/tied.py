"""`python -m distilseg.engines.tied predict ...`: distilseg in a process that ends with whoever started it.

Who starts it holds the other end of its standard input, which the system closes when that process ends,
however it does. A process whose owner was killed would go on beside the one that is started in its place.
"""

from __future__ import annotations

import os
import runpy
import signal
import threading
import time

PATIENCE_S = 10.0


def _end_with_owner() -> None:
    def wait() -> None:
        while os.read(0, 1):  # nothing is ever written
            pass
        os.kill(os.getpid(), signal.SIGTERM)  # as a queue does: who predicts gives its claims back
        time.sleep(PATIENCE_S)
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))  # Windows knows none

    threading.Thread(target=wait, name="owner", daemon=True).start()


if __name__ == "__main__":
    _end_with_owner()
    runpy.run_module("distilseg", run_name="__main__", alter_sys=True)
