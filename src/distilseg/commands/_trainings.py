"""Trainings that are handed out: which are done, by the run folders alone. They are made by `_sweep.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..claims import is_claimed
from ..engines.element import how_ended, is_running
from ..engines.submission import Element, Submission
from ..runs import Run, find_runs
from ._handed_out import State, refusals


def lacking(submission: Submission, *, refused: bool) -> set[int]:
    """The numbers of the elements that are not done; `refused`: also those that were refused."""
    known = _runs(submission)
    found = set()
    for number, element in enumerate(submission.elements, start=1):
        ended = how_ended(submission.commands, number)
        done = _is_done(element, known) if element.runs else ended is not None and ended.code == 0
        if not done and (refused or ended is None or ended.code not in (1, 2)):
            found.add(number)
    return found


def state(submission: Submission) -> State:
    """How far the runs are; preparations that they share are told only where they are refused."""
    known = _runs(submission)
    told: dict[str, list[str]] = {"running": [], "missing": []}
    refused: dict[str, str] = {}
    total = 0
    for number, element in enumerate(submission.elements, start=1):
        reasons = refusals(submission, number)
        total += bool(element.runs)
        if element.runs and _is_done(element, known):
            continue
        if _is_running(submission, number, element, known):
            told["running"] += [element.name] * bool(element.runs)
        elif reasons:
            refused[element.name] = reasons[-1]
            total += not element.runs
        else:
            told["missing"] += [element.name] * bool(element.runs)
    return State("runs", total, refused, **told)


def _runs(submission: Submission) -> dict[str, list[Run]]:
    """Every run of the folder by its key."""
    found: dict[str, list[Run]] = {}
    for run in find_runs(submission.results):
        found.setdefault(str(run.read(run.experiment).get("key", "")), []).append(run)
    return found


def _is_done(element: Element, known: Mapping[str, Sequence[Run]]) -> bool:
    return all(
        any(run.finished and (run.metrics.is_file() or not element.judged) for run in known.get(key, ()))
        for key in element.runs
    )


def _is_running(
    submission: Submission, number: int, element: Element, known: Mapping[str, Sequence[Run]]
) -> bool:
    own = (run for key in element.runs for run in known.get(key, ()))
    return is_running(submission.commands, number) or any(is_claimed(run.folder) for run in own)
