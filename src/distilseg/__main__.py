"""`python -m distilseg` and the command `distilseg`."""

from __future__ import annotations

import io
import os
import sys

from .cli import main as run

ENGINES = ("onnxruntime", "openvino")  # of artefacts


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    _show_what_can_be_shown()
    code = run()
    if "torch" not in sys.modules and any(engine in sys.modules for engine in ENGINES):
        _end_at_once(code)
    sys.exit(code)


def _show_what_can_be_shown() -> None:
    """A terminal or a file of few signs (cp1252, ASCII) gets ? for those that it lacks, and no error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


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
