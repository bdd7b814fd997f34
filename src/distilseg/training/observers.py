"""What watches a run: tables, a progress bar or lines of a log, TensorBoard. Rank 0 alone holds them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ..errors import UserError
from ..evaluation.agreement import titled
from ..progress import FIRST_S, clock, duration, say
from ..runs import Log, Run
from .loop import Step

SELDOM_S = 600.0  # the most that passes in a log without a line
Later = Callable[[float], float]


def nothing_later(step_s: float) -> float:
    """No network is trained afterwards."""
    return 0.0


class Tables:
    """losses.csv and validation.csv: no times in them, so that a resumed run writes the same bytes."""

    def __init__(self, run: Run, terms: Sequence[str], classes: Sequence[str], *, step: int) -> None:
        self._losses = Log(run.losses, ["step", "learning_rate", "total", *terms], step=step)
        self._validation = Log(run.validation, ["step", "mean", *classes], step=step)

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
    """A progress bar with the loss terms, the best Dice and the time left, for a terminal."""

    def __init__(self, name: str, *, labelled_by: str = "") -> None:
        """`labelled_by`: the teacher whose answers validate."""
        self._title = titled("Dice", labelled_by)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[news]}"),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task(name, total=1.0, news="")
        self._dice = ""
        self._progress.start()

    def after_step(self, step: Step) -> None:
        terms = "  ".join(f"{name} {value:.3f}" for name, value in step.terms.items())
        news = f"step {step.step}  {terms}{self._dice}"
        self._progress.update(self._task, completed=step.progress, news=news)

    def after_validation(self, step: int, dice: Mapping[str, float], best: bool) -> None:
        self._dice = f"  {self._title} {dice['mean']:.3f}"

    def close(self) -> None:
        self._progress.stop()


class Lines:
    """The same for a file or a CI log: a line at each validation, after the first seconds, and now and then.

    The time that is left is that of the part of the budget used up since training began or was resumed.
    """

    def __init__(
        self,
        name: str,
        about: str = "",
        *,
        steps: int | None = None,
        later: Later = nothing_later,
        labelled_by: str = "",
    ) -> None:
        """`about`: is said first. `steps`: how many there will be, if that is known. `later`: the seconds
        of the networks that are trained after this one, from the seconds of a step. `labelled_by`: the
        teacher whose answers validate.
        """
        self._name, self._of, self._later = name, f" of {steps:,}" if steps else "", later
        self._title = titled("Dice", labelled_by)
        self._start: tuple[float, Step] | None = None  # when, and after which step
        self._last = Step(0, 0.0, 0.0, 0.0, {})
        self._due = time.monotonic() + FIRST_S
        if about:
            say(f"{name}: {about}")

    def after_step(self, step: Step) -> None:
        now = time.monotonic()
        self._last = step
        if self._start is None:
            self._start = now, step
        elif now > self._due:
            self._say(step, f"loss {step.total:.3f}")

    def after_validation(self, step: int, dice: Mapping[str, float], best: bool) -> None:
        best_so_far = " (best so far)" * best
        told = f"loss {self._last.total:.3f}, validation {self._title} {dice['mean']:.3f}{best_so_far}"
        self._say(self._last, told)

    def close(self) -> None:
        pass

    def _say(self, step: Step, told: str) -> None:
        self._due = time.monotonic() + SELDOM_S
        say(f"{self._name}: step {step.step:,}{self._of}, {told}{self._time_left(step)}")

    def _time_left(self, step: Step) -> str:
        """How long it takes from here, with what is trained afterwards, and when that is done."""
        if self._start is None or step.progress >= 1:
            return ""
        (began, first), now = self._start, time.monotonic()
        used = step.progress - first.progress
        if used <= 0:
            return ""
        left = (now - began) / used * (1 - step.progress)
        in_all = left + self._later((now - began) / (step.step - first.step))
        told = f", about {duration(left)} left"
        if in_all > left:
            told += f", {duration(in_all)} with the networks after it"
        return f"{told}, until about {clock(in_all)}"


def summary_writer() -> Any:
    """TensorBoard's class; raises UserError where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError(
            "TensorBoard is not installed", "pip install 'distilseg[tensorboard]', or leave --tensorboard out"
        ) from None
    return SummaryWriter


class TensorBoard:
    """The same numbers as TensorBoard events in `folder`."""

    def __init__(self, folder: Path, *, labelled_by: str = "") -> None:
        """`labelled_by`: the teacher whose answers validate."""
        self._title = "agreement" if labelled_by else "dice"
        self._writer: Any = summary_writer()(str(folder))

    def after_step(self, step: Step) -> None:
        numbers = {"total": step.total, "learning_rate": step.learning_rate, **step.terms}
        for name, value in numbers.items():
            self._writer.add_scalar(f"loss/{name}", value, step.step)

    def after_validation(self, step: int, dice: Mapping[str, float], best: bool) -> None:
        for name, value in dice.items():
            self._writer.add_scalar(f"{self._title}/{name}", value, step)

    def close(self) -> None:
        self._writer.close()


_told: set[str] = set()


def warn(sentence: str, say: Callable[[str], object] | None = None) -> None:
    """Tells `sentence`, on stderr or by `say`, wherever that leads; once, however many runs it is about."""
    if sentence not in _told:
        _told.add(sentence)
        (say or _to_stderr)(sentence)


def _to_stderr(sentence: str) -> None:
    say(f"Caution: {sentence}")
