"""What takes a while says so, wherever the output goes: bars in a terminal, plain lines in files and CI logs.

    say         one line, such as what will be done
    counting    a bar that is moved; in a log a line now and then, with the time left
    counted     the same around a loop

All of it goes to stderr, and from the first of several processes alone. Standard library and rich only.
"""

from __future__ import annotations

import contextlib
import datetime
import math
import os
import sys
import time
from collections.abc import Callable, Collection, Iterator
from typing import TypeVar

from .names import printable

FIRST_S, AGAIN_S = 10.0, 30.0  # in a log: what is over sooner says nothing, and then so seldom
T = TypeVar("T")
Move = Callable[[int, int], None]  # done, of how many


def say(line: str) -> None:
    """One line for whoever watches; of names in it nothing that a terminal obeys."""
    if _first_process():
        print(printable(line), file=sys.stderr, flush=True)


@contextlib.contextmanager
def counting(what: str) -> Iterator[Move]:
    """Gives `(done, total)`, which moves a bar; in a log it says how far `what` is, and how long it takes."""
    if not sys.stderr.isatty():
        yield _Lines(what)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    told = TextColumn("{task.description}", markup=False)  # names in it are no markup
    columns = told, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(printable(what), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


def counted(items: Collection[T], what: str) -> Iterator[T]:
    """The items one by one, `counting` them."""
    with counting(what) as move:
        move(0, len(items))
        for done, item in enumerate(items, start=1):
            yield item
            move(done, len(items))


def duration(seconds: float) -> str:
    """`40 s`, `12 minutes`, `3.5 hours`; rounded up, as it is mostly a guess."""
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    return f"{math.ceil(seconds / 60)} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def clock(in_seconds: float) -> str:
    """The time of day in so many seconds, with its date where that is another day."""
    now = datetime.datetime.now()
    then = now + datetime.timedelta(seconds=in_seconds)
    return f"{then:%H:%M}" if then.date() == now.date() else f"{then:%H:%M on %d %B}"


class _Lines:
    """What a bar would show, as a line now and then."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._start = time.monotonic()
        self._due = self._start + FIRST_S

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now < self._due or not 0 < done < total:
            return
        left = (now - self._start) / done * (total - done)
        say(f"{self._what}: {done} of {total}, about {duration(left)} left")
        self._due = now + AGAIN_S


def _first_process() -> bool:
    """Of those that torchrun started; the only one otherwise."""
    return os.environ.get("RANK", "0") == "0"
