"""How far what was handed out is. Results say what is done, elements what was refused, locks who runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..engines.element import how_ended
from ..engines.submission import Submission


@dataclass(frozen=True)
class Line:
    """What a command line asks for."""

    command: str
    results: Path | None  # the folder or file of its results
    given: Mapping[str, Any]  # what its function is called with
    threads: bool  # whether it can be told how many


Read = Callable[[Sequence[str]], Line]  # of the words after `distilseg`; raises UserError for what is none


@dataclass(frozen=True)
class State:
    """How far a submission is, by the names of its cases or runs."""

    of: str  # "cases", "runs" or "elements"
    total: int
    refused: dict[str, str] = field(default_factory=dict)  # why, in one line
    running: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # neither done nor refused nor running

    @property
    def done(self) -> int:
        """So many have their results."""
        return self.total - len(self.refused) - len(self.running) - len(self.missing)


def refusals(submission: Submission, number: int) -> list[str]:
    """What an element said was refused, and why, when it ended last."""
    ended = how_ended(submission.commands, number)
    if ended is None:
        return []
    return [line.removeprefix("refused: ").removeprefix("error: ") for line in ended.told]
