"""`predict_process` that never answers."""

from __future__ import annotations

import time
from typing import Any

from distilseg.serving import predict_process


def endless(**asked: Any) -> dict[str, Any]:
    while True:
        time.sleep(1)


if __name__ == "__main__":
    predict_process.answer = endless
    predict_process.main()
