"""The run folder: all that is needed to judge, predict, resume or report a run.

    experiment.json         the recipe, its options, seed, versions: what made this run
    plan.json  split.json   how scans are prepared; which cases train, validate and test
    losses.csv              step, learning_rate, total, one column per term (unweighted)
    validation.csv          step, mean, one column per class (Dice of the validation cases)
    last.pt                 everything that resuming needs (tensors and plain values only)
    last.safetensors        weights of the last step, with the description that rebuilds the network
    best.safetensors        weights of the best validation
    status.json             written when the run ends: steps, seconds, why it stopped
    metrics.csv             case, label, metric, value: the test cases
    evaluation.json         how they were judged, with a digest of the weights; it goes before they change
    cost.json               parameters, GFLOPs, seconds a case, peak memory
    overlays.npz            slices of a few test cases, for the report's pictures
    predictions/            label maps
    by-slice/               metrics.csv and evaluation.json of the slices, where these were asked for

Standard library only: the report reads runs where no torch is installed.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .disk import naming, no_link
from .errors import UserError
from .files import is_aside, written_whole
from .json_files import read_object
from .run_fields import fields, fix

_WHOLE = re.compile(r"[0-9]{1,18}")
SCORE = ("case", "label", "metric", "value")  # the columns of metrics.csv


@dataclass(frozen=True)
class Run:
    """One run folder; every path of it by name."""

    folder: Path

    @property
    def experiment(self) -> Path:
        """What was trained, on what, how: JSON."""
        return self.folder / "experiment.json"

    @property
    def plan(self) -> Path:
        """How scans are prepared, and why: JSON."""
        return self.folder / "plan.json"

    @property
    def split(self) -> Path:
        """Which cases train, validate and test: JSON."""
        return self.folder / "split.json"

    @property
    def losses(self) -> Path:
        """A row per step: learning rate, total, terms without their weights."""
        return self.folder / "losses.csv"

    @property
    def validation(self) -> Path:
        """A row per validation: Dice, mean and by class."""
        return self.folder / "validation.csv"

    @property
    def state(self) -> Path:
        """All that resuming needs."""
        return self.folder / "last.pt"

    @property
    def last(self) -> Path:
        """Weights after the last step."""
        return self.folder / "last.safetensors"

    @property
    def best(self) -> Path:
        """Weights of the best validation."""
        return self.folder / "best.safetensors"

    @property
    def status(self) -> Path:
        """Written at the end: steps, seconds, why it stopped: JSON."""
        return self.folder / "status.json"

    @property
    def metrics(self) -> Path:
        """A row per test case, structure and metric."""
        return self.folder / "metrics.csv"

    @property
    def cost(self) -> Path:
        """What a prediction costs: JSON."""
        return self.folder / "cost.json"

    @property
    def overlays(self) -> Path:
        """Slices of test cases for the report."""
        return self.folder / "overlays.npz"

    @property
    def predictions(self) -> Path:
        """A label map per test case."""
        return self.folder / "predictions"

    @property
    def slices(self) -> Path:
        """What each slice scored: a folder with a metrics.csv and an evaluation.json of its own."""
        return self.folder / "by-slice"

    @property
    def name(self) -> str:
        """What tables and figures call this run."""
        return self.folder.name

    @property
    def finished(self) -> bool:
        """Whether the training came to its end."""
        return self.status.is_file()

    def read(self, path: Path) -> Any:
        """The JSON object in one of this run's files; raises `UserError`, naming it, where it is damaged.

        The same for a field that is asked for and not there. See `run_fields`.
        """
        missing = UserError(
            f"{path.name} is missing in the run folder {self.folder}",
            "was the run finished? repeat the `distilseg train` command that made it, it resumes",
        )
        unlike = UserError(f"{path} is damaged: it names no fields", fix(path))
        return fields(read_object(path, missing=missing, unlike=unlike, fix=fix(path)), path)

    def own(self, folder: Path) -> Path:
        """A folder inside this one, made if need be; raises `UserError` where it is a link to elsewhere."""
        no_link(folder)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def scored(self, by: str = "case") -> list[dict[str, str]]:
        """The rows of metrics.csv, or of that in by-slice: case, label, metric and value, a number as text.

        Where there is no such table, none. Raises `UserError`, naming it, where it is damaged.
        """
        table = self.metrics if by == "case" else self.slices / self.metrics.name
        return read_scores(table, fix=fix(table))


def seen_cases(run: Run) -> set[str]:
    """The cases that shaped the run: those it was trained on, with labels and without, and those that chose
    its best weights."""
    split = run.read(run.split) if run.split.is_file() else {}
    judged = {str(case) for part in ("train", "validation") for case in split.get(part, ())}
    return judged | {str(case) for case in run.read(run.experiment).get("unlabelled", ())}


def check_not_of_a_run(table: Path) -> None:
    """Raises UserError where a table that the user asks for would replace one of a run's own."""
    run = Run(table.parent.parent if table.parent.name == "by-slice" else table.parent)
    own = {run.metrics.name, run.losses.name, run.validation.name}
    if table.name in own and run.experiment.is_file():
        raise UserError(f"{table} is a table of the run itself", "name another file")


def open_run(folder: Path | str) -> Run:
    """The run in `folder`; raises `UserError` if `folder` is none."""
    run = Run(Path(folder))
    if not run.experiment.is_file():
        raise UserError(
            f"{folder} is not a run folder ({_what_it_is(run.folder)})",
            "give a folder that `distilseg train` made, such as runs/<dataset>/<recipe>-<hash>",
        )
    return run


def _what_it_is(folder: Path) -> str:
    """Why there is no run, in a few words."""
    if not folder.exists():
        import difflib

        near = [one.name for one in find_runs(folder.parent)] if folder.parent.is_dir() else []
        guess = difflib.get_close_matches(folder.name, near, n=1)
        return f"it does not exist{f'; beside it lies {guess[0]}' if guess else ''}"
    if (folder / "artefact.json").is_file() or folder.suffix == ".zip":
        return "it is an artefact, made from a run"
    if folder.is_file():
        return "it is a file"
    below = find_runs(folder)
    return f"no experiment.json in it; runs below it: {len(below)}" if below else "no experiment.json in it"


def find_runs(folder: Path | str) -> list[Run]:
    """Every run at or below `folder`, sorted by path; those that are being written are left out."""
    found = []
    for place, inside, files in os.walk(folder):  # passes over what vanishes meanwhile; Path.rglob raises
        inside[:] = [name for name in inside if not is_aside(name)]
        if "experiment.json" in files:
            found.append(Path(place))
    return [Run(run) for run in sorted(found)]


# Tables: CSV with a header; numbers are written so that reading gives the same float again.


def read_rows(path: Path, *, fix: str = "restore it, or delete it") -> list[dict[str, str]]:
    """The rows of a CSV table; an absent one has none. A damaged one raises `UserError`, with `fix`."""
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read ({error})", fix) from None


def read_scores(table: Path, *, fix: str) -> list[dict[str, str]]:
    """The rows of a table of case, label, metric and value, a number as text; an absent one has none.

    Raises `UserError`, naming it, with `fix` where it is damaged.
    """
    rows = read_rows(table, fix=fix)
    for line, row in enumerate(rows, start=2):
        if tuple(row) != SCORE or None in row.values() or not _is_number(row["value"]):
            raise UserError(f"line {line} of {table} is not a row of case, label, metric and a number", fix)
    return rows


def _is_number(text: str) -> bool:
    """Whether a cell holds a number; an empty one stands for NaN."""
    try:
        float(text or "nan")
    except ValueError:
        return False
    return True


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Writes a CSV table whole; columns are the keys in order of first appearance."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with written_whole(path) as aside, aside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


class Log:
    """A CSV table that grows row by row; opening it at `step` drops the rows that a resumed run repeats."""

    def __init__(self, path: Path, columns: Sequence[str], *, step: int = 0) -> None:
        kept = [row for row in self._whole_rows(path, columns) if int(row["step"]) <= step] if step else []
        with written_whole(path) as aside, aside.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(kept)
        self._path = path
        self._file = path.open("a", newline="", encoding="utf-8")
        self._writer = csv.DictWriter(self._file, columns, lineterminator="\n")

    @staticmethod
    def _whole_rows(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
        """Rows up to the first that a kill cut short. Raises UserError for another table."""
        rows = read_rows(path, fix=f"restore it, or delete {path.parent} to start this run afresh")
        if rows and [name for name in rows[0] if name is not None] != list(columns):
            raise UserError(
                f"{path} is damaged: its columns are not {', '.join(columns)}",
                f"restore it, or delete {path.parent} to start this run afresh",
            )
        for row in rows:
            if None in row or None in row.values() or not _WHOLE.fullmatch(row["step"]):
                return
            yield row

    def append(self, row: dict[str, Any]) -> None:
        """Writes one row, at once: a kill loses none before it."""
        with naming(self._path):
            self._writer.writerow(row)
            self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        with naming(self._path):
            self._file.close()


__all__ = ["Log", "Run", "find_runs", "open_run", "read_rows", "write_rows"]
