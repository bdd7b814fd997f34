"""How a call ends that was given something unsound: it works, it refuses, or it is a fault of ours."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from distilseg.errors import UserError

SECONDS = 20  # a call has an end


def ending(call: Callable[[], object]) -> str:
    """ "read", "refused", or the name of another exception."""
    try:
        with _within(SECONDS), warnings.catch_warnings(action="ignore"):
            made = call()
    except UserError:
        return "refused"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "refused" if getattr(made, "refused", None) else "read"  # as a prediction tells of its cases


@contextmanager
def _within(seconds: int) -> Iterator[None]:
    def late(*_: Any) -> None:
        raise TimeoutError(f"after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
