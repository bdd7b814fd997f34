"""Workers of Dask: those of a scheduler that runs already, or some that are started on this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

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

    `address`: of a scheduler whose workers see the same folders and have distilseg. A worker that dies is
    noticed by the scheduler, which hands its element to another, at most three times.
    """
    try:
        from distributed import Client, LocalCluster, as_completed
    except ModuleNotFoundError:
        raise UserError("this needs Dask, which is not installed", "pip install 'distilseg[dask]'") from None
    with contextlib.ExitStack() as stack:
        if address is None:
            own = LocalCluster(
                n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
            )
            address = stack.enter_context(own)
        try:
            client = stack.enter_context(Client(address, set_as_default=False))
        except OSError as error:
            raise UserError(
                f"no scheduler of Dask answers at {address} ({error})",
                "is it running, and the address right?",
            ) from None
        wanted = {"GPU": resources.gpus} if resources.gpus else None  # as `dask worker --resources GPU=1` has
        futures = {
            client.submit(
                run, str(submission.commands), number, pure=False, retries=MOST_STARTS - 1, resources=wanted
            ): number
            for number in numbers
        }
        for future in as_completed(futures, loop=client.loop):
            died = future.exception()
            if died is None:
                ended(futures[future], future.result())
            else:  # its workers died with it
                ended(futures[future], Ended(-9, MOST_STARTS, (f"error: {died}",)))
