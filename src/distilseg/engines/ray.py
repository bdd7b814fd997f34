"""Tasks of Ray: on a cluster that runs already, or on one started here."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import UserError
from .element import MOST_STARTS, Ended, run
from .resources import Resources
from .submission import Submission


def hand_out(
    submission: Submission,
    numbers: Sequence[int],
    ended: Callable[[int, Ended], object],
    *,
    workers: int,
    address: str | None = None,
    resources: Resources,
) -> None:
    """Runs the elements of these numbers, all to their ends; `ended` is told of each.

    `address`: of a cluster whose nodes see the same folders and have distilseg; None: one is started here,
    with room for so many `workers`. A worker that dies is replaced, and its element run again, at most three
    times.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    try:
        import ray
    except ModuleNotFoundError:
        raise UserError("this needs Ray, which is not installed", "pip install 'distilseg[ray]'") from None
    cpus = resources.cpus or 1
    with contextlib.ExitStack() as stack:
        own: dict[str, Any] = {}
        if address is None:
            logs = tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True)  # a short path
            own = {"include_dashboard": False, "num_cpus": workers * cpus}
            own["_temp_dir"] = stack.enter_context(logs)
        try:
            ray.init(address=address or "local", configure_logging=False, log_to_driver=False, **own)
        except ConnectionError as error:
            told = " ".join(str(error).split())
            raise UserError(
                f"no cluster of Ray answers at {address} ({told})", "is it running, and the address right?"
            ) from None
        stack.callback(ray.shutdown)
        task = ray.remote(run).options(
            num_cpus=cpus,
            num_gpus=resources.gpus,
            memory=resources.memory_bytes,
            max_retries=MOST_STARTS - 1,
        )
        waiting = {task.remote(str(submission.commands), number): number for number in numbers}
        while waiting:
            (done,), _ = ray.wait(list(waiting), num_returns=1)
            number = waiting.pop(done)
            try:
                outcome = ray.get(done)
            except ray.exceptions.RayError as error:  # its workers died with it
                outcome = Ended(-9, MOST_STARTS, (f"error: {str(error).splitlines()[0]}",))
            ended(number, outcome)
