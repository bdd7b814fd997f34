"""Parts that are handed out, and what is made of all of them.

    distil MODEL ... --part K/N           records what teachers answer; then the command itself trains
    evaluate A B --out T.csv --part K/N   judges some label maps; then --join makes the table

What they made is shared with other commands, so elements are done when they say so themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..engines.element import how_ended, is_running
from ..engines.submission import Element, Submission
from . import _cases
from ._handed_out import State, refusals

_WHOLE: dict[str, tuple[str, ...]] = {"distil": (), "evaluate": ("--join",)}
COMMANDS = tuple(_WHOLE)


def elements_of(words: Sequence[str], parts: int | None) -> list[Element]:
    """The parts, and then the whole. Raises `UserError` as `_cases.elements_of` does."""
    whole = Element("all of them", (*words, *_WHOLE[words[0]]), stage=2)
    return [*_cases.elements_of(words, parts), whole]


def lacking(submission: Submission, *, refused: bool) -> set[int]:
    """The numbers of the elements that did not end as done; `refused`: nor did all that can be done."""
    numbers = range(1, len(submission.elements) + 1)
    return {number for number in numbers if not _is_done(submission, number, refused=refused)}


def state(submission: Submission) -> State:
    """How far they are."""
    refused: dict[str, str] = {}
    running, missing = list[str](), list[str]()
    for number, element in enumerate(submission.elements, start=1):
        if is_running(submission.commands, number):
            running.append(element.name)
        elif not _is_done(submission, number):
            reasons = refusals(submission, number)
            if reasons:
                refused[element.name] = reasons[-1]
            else:
                missing.append(element.name)
    return State("elements", len(submission.elements), refused, running, missing)


def _is_done(submission: Submission, number: int, *, refused: bool = True) -> bool:
    ended = how_ended(submission.commands, number)
    return ended is not None and (ended.code == 0 if refused else ended.went_through)
