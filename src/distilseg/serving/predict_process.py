"""A process that predicts one study: a line of JSON asks, a line of JSON answers, and it ends.

    asked     artefact, images (a folder), out (a file), kind, codes, series, tilt, threads, device; without
              images only whether all is there that it takes
    told      {"answered": true}, or why not:
              {"refused": reason}    the study's own fault; another attempt would end alike
              {"waits": reason}      the machine's: a full disk, an artefact that is gone
              {"crashed": where}     ours

It ends as soon as nobody waits for the answer any more.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import signal
import sys
import threading
import traceback
import warnings
from pathlib import Path
from typing import Any

from ..data.formats.dicom import DicomOptions
from ..disk import reason
from ..errors import UserError
from ..runtime.artefact import open_artefact
from ..runtime.compiled import keeping, usual_folder
from ..runtime.pipeline import predict_files
from ..runtime.seg import seg_writer
from ..runtime.views import load_shipped

_FULL = (errno.ENOSPC, errno.EDQUOT)
_CASE = re.compile(r"^case \S+: ")


def answer(
    artefact: str,
    images: str | None,
    out: str,
    kind: str,
    codes: str | None,
    series: list[str],
    tilt: str,
    threads: int,
    device: str,
) -> dict[str, Any]:
    """Predicts the study in the folder `images` as DICOM SEG `out`; what became of it."""
    try:
        opened = open_artefact(artefact)
        with keeping(usual_folder()):
            predictor = load_shipped(opened, threads=threads, device=device)
        writer = seg_writer([opened], predictor.plan, kind, Path(codes) if codes else None)
    except UserError as error:
        return {"waits": str(error)}
    if images is None:
        return {"answered": True}
    try:
        dicom = DicomOptions(tuple(series), tilt)
        summary = predict_files(predictor, Path(images), Path(out), dicom=dicom, seg=writer)
    except UserError as error:
        return {"waits" if reason(error) in _FULL else "refused": _of_study(str(error), images, out)}
    if summary.written:
        return {"answered": True}
    refused = "; ".join(summary.refused.values()) or "it holds no volume"
    return {"waits" if os.strerror(errno.ENOSPC) in refused else "refused": _of_study(refused, images, out)}


def _of_study(refused: str, images: str, out: str) -> str:
    """The reason without the folders of the service, which are gone when it is read."""
    told = _CASE.sub("", refused).replace(f"{images}: ", "").replace(f"{images}{os.sep}", "")
    return told.replace(images, "the study").replace(out, "the answer")


def main() -> None:
    """Reads, answers, ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever asked
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries write to standard output whenever they like
    asked = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_whoever_asked, daemon=True).start()
    try:
        told = answer(**asked)
    except Exception as error:
        told = {"crashed": _where(error)}
    out.write(json.dumps(told) + "\n")
    out.flush()
    os._exit(0)


def _where(error: Exception) -> str:
    """Its type and the place that raised it; what it says may hold what is in a file."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"


def _end_with_whoever_asked() -> None:
    while os.read(0, 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
