"""`predict_process` where no torch is, and that dies of a study with a certain mark."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from pydicom import dcmread

sys.modules["torch"] = None  # type: ignore[assignment]

from distilseg.serving import predict_process  # noqa: E402

answer = predict_process.answer


def poisoned(**asked: Any) -> dict[str, Any]:
    for file in Path(asked["images"]).iterdir() if asked["images"] else ():
        if dcmread(file, stop_before_pixels=True).StudyID == "POISON":
            os.kill(os.getpid(), signal.SIGKILL)
    return answer(**asked)


if __name__ == "__main__":
    predict_process.answer = poisoned
    predict_process.main()
