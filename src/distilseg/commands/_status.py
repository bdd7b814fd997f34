"""`distilseg status`: how far what was handed out is, from its results and what lies beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..claims import is_claimed
from ..engines.submission import Submission, submissions_of
from ..errors import UserError
from ..runs import Run, find_runs
from . import _cases, _parts_then_whole, _trainings
from ._handed_out import Read, State


@dataclass(frozen=True)
class Status:
    """One submission and how far it is; None: what lies there was not submitted."""

    state: State
    submission: Submission | None = None


def status(results: Path | str, read: Read) -> list[Status]:
    """Of every command that was submitted for this folder, or the one above it, how far it is.

    A folder of runs that was not submitted is told run by run. `read` is that of `submit`. Raises UserError
    where nothing is known of the folder.
    """
    folder = Path(results)
    found = submissions_of(folder) or submissions_of(folder.absolute().parent)
    if found:
        return [Status(_state(one, read), one) for one in found]
    if runs := find_runs(folder):
        return [Status(_of_runs(runs))]
    raise UserError(
        f"nothing that was submitted has its results in {folder}",
        "name the OUT of `distilseg submit`, or ask `distilseg predict ... --missing`",
    )


def _state(submission: Submission, read: Read) -> State:
    if submission.kind == "train":
        return _trainings.state(submission)
    if submission.kind in _parts_then_whole.COMMANDS:
        return _parts_then_whole.state(submission)
    return _cases.state(submission, read)


def _of_runs(runs: list[Run]) -> State:
    left = [run for run in runs if not run.finished]
    running = [run.name for run in left if is_claimed(run.folder)]
    return State("runs", len(runs), {}, running, [run.name for run in left if run.name not in running])
