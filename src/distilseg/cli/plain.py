"""A prediction in plain words, run without typer: who predicts one scan waits for every import.

    distilseg predict RUN SCAN... OUT [--overwrite] [--threads 4] ...

Typer and its tree of all commands take longer than such a prediction, so these words are read here. Only what
can mean one thing is: anything else (--help, an unknown option, a value that is none) is left to `tree.py`,
which says what is wrong with it. Tests hold the two to each other, option by option.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_FLAGS = ("overwrite", "skip_empty", "times", "probabilities", "missing")
_TEXTS = ("modality", "fuse", "weights", "device", "trust", "part", "list")
_COUNTS = ("threads",)
_COUNT = re.compile(r"[0-9]{1,4}")


def prediction(words: Sequence[str]) -> dict[str, Any] | None:
    """The arguments of `predicting.predict` that the words name; None where typer is to look at them."""
    if words[:1] != ["predict"]:
        return None
    left, named = iter(words[1:]), list[Path]()
    given: dict[str, Any] = {}
    for word in left:
        if not word.startswith("-"):
            named.append(Path(word))
            continue
        option, equals, value = word.partition("=")
        name = option.removeprefix("--").replace("-", "_")
        if option != f"--{name.replace('_', '-')}":
            return None
        if name in _FLAGS and not equals:
            given[name] = True
            continue
        if not equals:
            value = next(left, "")
            if value.startswith("-"):
                return None
        if name in _TEXTS and value:
            given[name] = value
        elif name in _COUNTS and _COUNT.fullmatch(value):
            given[name] = int(value)
        else:
            return None
    if len(named) < 2 or "" in words:
        return None
    return {"run": named[0], "inputs": named[1:], **given}


def run(asked: dict[str, Any]) -> int:
    """Runs what `prediction` found."""
    from .predicting import predict

    return predict(**asked)
