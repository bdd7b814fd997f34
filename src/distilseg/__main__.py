"""`python -m distilseg` and the command `distilseg`."""

from __future__ import annotations

import os
import sys

from .cli import main as run

ENGINES = ("onnxruntime", "openvino")  # of artefacts


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    code = run()
    if "torch" not in sys.modules and any(engine in sys.modules for engine in ENGINES):
        _end_at_once(code)
    sys.exit(code)


def _end_at_once(code: int) -> None:
    """Ends a process that predicted with an artefact: all its files are whole, and taking engine and
    interpreter apart takes as long as ten small scans."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # nobody listens any more: Python says so as it always does
        return
    os._exit(code)


if __name__ == "__main__":
    main()
