"""All commands: those of `parsing.py`, and those that hand out command lines of these."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from . import parsing, submitting


def run(words: list[str]) -> int:
    """Runs one command line; raises what escapes its command, typer's refusals as `UserError`."""
    return parsing.run(app_for(words), words)


def app_for(words: Sequence[str]) -> typer.Typer:
    """All commands; those whose options are found as they are asked for look into `words`."""
    *panels, last = parsing.PANELS
    return parsing.app_of([*panels, ("Many machines", submitting), last], words)
