"""What a student costs: parameters, multiply-accumulates, seconds a case, peak memory, energy.

Time and memory are measured in a process of its own (`cost_of_model.py`), which loads the run or the
artefact and predicts whole cases as `distilseg predict` does (reading and writing files aside): a process
that has just trained would show its own memory. The first case warms up and is told apart.

Models whose seconds will be compared are measured in turns: all are loaded, then each has a part of its time,
round by round. What else the machine does meanwhile meets all of them alike.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any

from ..errors import UserError
from .cost_of_model import TURNS, Scans

LONGEST_S = 4 * 3600  # that the processes are waited for
MOST_AT_ONCE = 8  # models that are held in memory; more are measured in groups of so many


@dataclass(frozen=True)
class Model:
    """A run or an artefact that is measured, and on what.

    `again`: the cases are repeated until the time is over, so that few of them give quartiles too. `trust` is
    that of `networks.checkpoint.load_network`.
    """

    path: Path
    cases: Mapping[str, Scans]
    trust: str | None = None
    again: bool = False


def measure_costs(
    models: Sequence[Model],
    *,
    device: str = "auto",
    threads: int | None = None,
    measured: Callable[[], object] = lambda: None,
) -> list[dict[str, Any]]:
    """Measures runs and artefacts in turns, each for a few seconds; of each what cost.json holds.

        parameters, multiply_accumulates    of one patch (`counted_on`); None where they cannot be counted
        bytes_on_disk                       the weights of a run; all files of an artefact
        first_s                             until the first label map: process, imports, loading, first case
        load_s, first_case_s                two parts of it
        seconds_per_case, quartiles_s       median, and lower and upper quartile, of the other cases
        stages_s                            their median seconds by stage, and of reading the scans before
        waited                              part of its time spent waiting for a processor that others had
        peak_memory_bytes                   of the process, once it is loaded
        energy_j_per_case                   median by the processor's counters, or None and `energy` says why
        in_turns_with                       the names of the models that were measured in the same rounds

    `measured()` is called when a model is done. Raises UserError where one cannot be measured.
    """
    found: list[dict[str, Any]] = []
    for first in range(0, len(models), MOST_AT_ONCE):
        group = models[first : first + MOST_AT_ONCE]
        with contextlib.ExitStack() as stack:
            processes = [stack.enter_context(_Process.of(model, device, threads)) for model in group]
            for _ in range(TURNS):
                for process in processes:
                    process.turn()
            names = [model.path.name for model in group]
            for process in processes:
                others = sorted({*names} - {process.name})
                found.append(process.result() | {"in_turns_with": others})
                measured()
    return found


class _Process:
    """One model in a process of its own, that measures when it is told to."""

    def __init__(self, model: Model, device: str, threads: int | None) -> None:
        self.name = model.path.name
        order = [sys.executable, "-m", "distilseg.export.cost_of_model", str(model.path), "--device", device]
        order += ["--began", repr(time.time())]
        order += ["--threads", str(threads)] if threads else []
        order += ["--trust", model.trust] if model.trust else []
        order += ["--again"] if model.again else []
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            order, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )
        self._too_long = False
        self._timer = Timer(LONGEST_S, self._end)
        self._timer.daemon = True
        self._timer.start()

    @classmethod
    @contextlib.contextmanager
    def of(cls, model: Model, device: str, threads: int | None) -> Iterator[_Process]:
        """Loaded and warm; ended in the end, whatever that is."""
        process = cls(model, device, threads)
        try:
            process._tell(json.dumps(model.cases))
            process._answer()
            yield process
        finally:
            process.close()

    def turn(self) -> None:
        """Has it measure a part of its time."""
        self._tell("turn")
        self._answer()

    def result(self) -> dict[str, Any]:
        """What it found."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        found: dict[str, Any] = json.loads(self._answer())
        return found

    def close(self) -> None:
        """Ends it, if it has not ended by itself."""
        self._timer.cancel()
        self._process.kill()
        self._process.wait()
        for file in (self._process.stdin, self._process.stdout, self._errors):
            assert file is not None
            with contextlib.suppress(BrokenPipeError):
                file.close()

    def _end(self) -> None:
        self._too_long = True
        self._process.kill()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended, as is seen when it does not answer
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        if line := self._process.stdout.readline():
            return line
        if self._too_long:
            told = f"measuring the cost of {self.name} took more than {LONGEST_S / 3600:.0f} hours"
            raise UserError(f"{told} and was ended", "measure on smaller cases, or on another --device")
        self._process.wait()
        self._errors.seek(0)
        last = (self._errors.read().strip().splitlines() or ["no message"])[-1]
        last = last.removeprefix("distilseg.errors.UserError: ")
        raise UserError(f"measuring the cost of {self.name} failed: {last}", "mend that, and measure again")
