"""What watches a run: tables, a progress bar, TensorBoard. Rank 0 alone holds them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from ..errors import UserError
from ..evaluation.agreement import titled
from ..names import printable
from ..runs import Log, Run
from .loop import Step


class Tables:
    """losses.csv and validation.csv: no times in them, so that a resumed run writes the same bytes."""

    def __init__(self, run: Run, terms: Sequence[str], classes: Sequence[str], *, step: int) -> None:
        self._losses = Log(run.losses, ["step", "learning_rate", "total", *terms], step=step)
        try:
            self._validation = Log(run.validation, ["step", "mean", *classes], step=step)
        except BaseException:
            self._losses.close()
            raise

    def after_step(self, step: Step) -> None:
        self._losses.append(
            {"step": step.step, "learning_rate": step.learning_rate, "total": step.total, **step.terms}
        )

    def after_validation(self, step: int, dice: Mapping[str, float], best: bool) -> None:
        self._validation.append({"step": step, **dice})

    def close(self) -> None:
        self._losses.close()
        self._validation.close()


class Bar:
    """A progress bar with the loss terms, the best Dice and the time left; silent where no one looks."""

    def __init__(self, name: str, *, labelled_by: str = "") -> None:
        """`labelled_by`: the teacher whose answers validate."""
        self._title = titled("Dice", labelled_by)
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[news]}", markup=False),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task(printable(name), total=1.0, news="")
        self._dice = ""
        self._progress.start()

    def after_step(self, step: Step) -> None:
        terms = "  ".join(f"{name} {value:.3f}" for name, value in step.terms.items())
        news = printable(f"step {step.step}  {terms}{self._dice}")
        self._progress.update(self._task, completed=step.progress, news=news)

    def after_validation(self, step: int, dice: Mapping[str, float], best: bool) -> None:
        self._dice = f"  {self._title} {dice['mean']:.3f}"

    def close(self) -> None:
        self._progress.stop()


class TensorBoard:
    """The same numbers as TensorBoard events in `folder`."""

    def __init__(self, folder: Path, *, labelled_by: str = "") -> None:
        """`labelled_by`: the teacher whose answers validate."""
        self._title = "agreement" if labelled_by else "dice"
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UserError(
                "TensorBoard is not installed",
                "pip install 'distilseg[tensorboard]', or leave --tensorboard out",
            ) from None
        self._writer: Any = SummaryWriter(str(folder))

    def after_step(self, step: Step) -> None:
        numbers = {"total": step.total, "learning_rate": step.learning_rate, **step.terms}
        for name, value in numbers.items():
            self._writer.add_scalar(f"loss/{name}", value, step.step)

    def after_validation(self, step: int, dice: Mapping[str, float], best: bool) -> None:
        for name, value in dice.items():
            self._writer.add_scalar(f"{self._title}/{name}", value, step)

    def close(self) -> None:
        self._writer.close()


def label(text: str) -> str:
    """What a bar is about: names in it are neither markup nor obeyed by a terminal."""
    return escape(printable(text))


def announce(message: str) -> None:
    """One line for the person in front of the terminal; nothing where stderr is not one."""
    if sys.stderr.isatty():
        Console(stderr=True).print(Text(printable(message)))


_told: set[str] = set()


def warn(sentence: str, say: Callable[[str], object] | None = None) -> None:
    """Tells `sentence`, on stderr or by `say`, wherever that leads; once, however many runs it is about."""
    if sentence not in _told:
        _told.add(sentence)
        (say or _to_stderr)(sentence)


def _to_stderr(sentence: str) -> None:
    print(printable(f"Caution: {sentence}"), file=sys.stderr)


def with_progress(ids: Sequence[str], what: str) -> Iterator[str]:
    """The ids one by one: a bar in a terminal; in a log a line now and then, with the time that is left."""
    if sys.stderr.isatty():
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, transient=True) as bar:
            yield from bar.track(ids, description=printable(what))
        return
    start = told = time.monotonic()
    for n, id in enumerate(ids):
        yield id
        now = time.monotonic()
        if now - told > 30:
            left = (now - start) / (n + 1) * (len(ids) - n - 1)
            announce(f"{what}: {n + 1} of {len(ids)} cases, about {left / 60:.0f} minutes left")
            told = now
