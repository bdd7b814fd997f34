"""One line of commands.txt, run to its end: `python -m distilseg.engines.element COMMANDS NUMBER`.

    elements/3.lock    held while it runs
    elements/3.log     what it said, of every start
    elements/3.json    how it ended

A process that was ended by a signal is started again: what it did stays done, and a case that it died of is
counted against it, and refused after three attempts. What ended by itself is not repeated, as it would end so
again. Lines are numbered from 1, as `sed -n 3p` and job arrays do.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import UserError
from ..files import write_json
from ..json_files import read_object
from ..locks import Taken, locked

MOST_STARTS = 4  # three attempts at a case that ends the process, and one that refuses it and does the others
POLL_S = 0.2
REFUSED = 2  # the exit code of a command that did nothing, and says why
_TOLD = ("refused: ", "error: ")
_BUG = "distilseg did not foresee this"  # the last line of a command that met one
MOST_TOLD = 1000  # lines that are kept of one


@dataclass(frozen=True)
class Ended:
    """How an element ended: 0 done, 1 done in part, 2 refused, 130 interrupted; below 0 by that signal."""

    code: int
    starts: int
    told: tuple[str, ...]  # its refusals and errors, a line each

    @property
    def went_through(self) -> bool:
        """Whether what waits for it may begin: it did all that can be done, and no fault of ours ended it."""
        return self.code == 0 or (self.code == 1 and not any(line.startswith(_BUG) for line in self.told))


def run(commands: Path | str, number: int) -> Ended:
    """Runs line `number` of the file `commands`, here, and says how it ended; raises UserError for no line.

    Where another process runs the same line it is waited for, and what it left is done.
    """
    words = _line(Path(commands), number)
    place = Path(commands).parent / "elements"
    place.mkdir(exist_ok=True)
    handle = _lock(place / f"{number}.lock")
    try:
        (place / f"{number}.json").unlink(missing_ok=True)
        ended = _run(words, place / f"{number}.log", handle, _began_in(Path(commands)))
        write_json(place / f"{number}.json", asdict(ended), sweep=False)
        return ended
    finally:
        if handle is not None:
            os.close(handle)


def how_ended(commands: Path, number: int) -> Ended | None:
    """How the element ended last; None where it has not, or is running again."""
    record = commands.parent / "elements" / f"{number}.json"
    if not record.is_file():
        return None
    found = read_object(record, fix="delete it")
    try:
        return Ended(int(found["code"]), int(found["starts"]), tuple(map(str, found["told"])))
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{record} does not say how an element ended", "delete it") from None


def is_running(commands: Path, number: int) -> bool:
    """Whether a process runs it now, as far as locks reach."""
    try:
        handle = locked(commands.parent / "elements" / f"{number}.lock", os.O_WRONLY)
    except Taken:
        return True
    except OSError:  # it never began
        return False
    if handle is not None:
        os.close(handle)
    return False


def _line(commands: Path, number: int) -> list[str]:
    lines = commands.read_text(encoding="utf-8").split("\n")[:-1]
    if not 1 <= number <= len(lines):
        raise UserError(f"{commands} has no line {number}", f"give a number from 1 to {len(lines)}")
    program, *words = shlex.split(lines[number - 1])
    if program != "distilseg":
        raise UserError(f"line {number} of {commands} is no command line of distilseg", "submit it again")
    return words


def _began_in(commands: Path) -> Path:
    """Where relative paths begin: workers may be started anywhere."""
    about = read_object(commands.with_name("submission.json"), fix="submit the command again")
    return Path(str(about.get("began_in", "")))


def _lock(place: Path) -> int | None:
    while True:
        try:
            return locked(place, os.O_WRONLY | os.O_CREAT)
        except Taken:
            time.sleep(POLL_S)


def _run(words: list[str], log: Path, lock: int | None, where: Path) -> Ended:
    starts = 0
    while starts < MOST_STARTS:
        starts += 1
        with log.open("ab") as heard:
            heard.write(f"$ {shlex.join(['distilseg', *words])}\n".encode())
            heard.flush()
            began = heard.tell()
            kept = () if lock is None or os.name == "nt" else (lock,)  # with whoever outlives us for a moment
            order = [sys.executable, "-m", f"{__package__}.tied", *words]
            with subprocess.Popen(
                order, stdin=subprocess.PIPE, stdout=heard, stderr=heard, pass_fds=kept, cwd=where
            ) as process:
                code = process.wait()
        if code >= 0:
            break
    told = _told(log, began)
    if code < 0:
        told = (*told, f"error: {_signal(-code)} ended it {starts} times")
    elif code and not told:  # a bug, whose last line says most
        told = tuple(log.read_text(encoding="utf-8", errors="replace").splitlines()[-1:])
    return Ended(code, starts, told)


def _told(log: Path, began: int) -> tuple[str, ...]:
    """The lines of its last start that say what was refused, and why."""
    with log.open("rb") as file:
        file.seek(began)
        lines = file.read().decode("utf-8", errors="replace").splitlines()
    return tuple(line for line in lines if line.startswith(_TOLD))[:MOST_TOLD]


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


if __name__ == "__main__":
    ended = run(sys.argv[1], int(sys.argv[2]))
    for line in ended.told:
        print(line, file=sys.stderr)
    sys.exit(0 if ended.went_through else ended.code if ended.code > 0 else 128 - ended.code)
