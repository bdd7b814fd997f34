"""Every case once, whoever dies: what another had and what processes ended with is asked for once more.

    first     all cases; what another process holds is passed, and what a process ended with is put off
    then      both again, each alone: the other may have died; and if this process ends too, it is known with
              which case, since no other was in its hands

A case that has ended three processes is refused, and no worker after them ends with it. Who ended from
outside (a machine that was switched off) counts as well: SIGTERM and Ctrl-C do not (`claims.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ..claims import MOST_ENDED, Claim
from ..errors import UserError
from .jobs import Job

Outcome = tuple[Job, str, str]  # what became of it: written, skipped, held, put off or refused; and why
Run = Callable[[Sequence[Job], bool], Iterator[Outcome]]  # of jobs side by side, or of one alone


def in_passes(jobs: Sequence[Job], run: Run) -> Iterator[Outcome]:
    """The outcome of every job, once."""
    again: list[Job] = []
    for job, outcome, why in run(jobs, False):
        if outcome in ("held", "put off"):
            again.append(job)
        else:
            yield job, outcome, why
    for job in again:
        yield from run([job], True)


def given_up(job: Job, mine: Claim) -> str:
    """Why the case is not tried again, and its claim is put back; "" where it is to be tried."""
    if mine.ended < MOST_ENDED:
        return ""
    mine.put_back()
    return str(
        UserError(
            f"case {job.case}: {mine.ended} processes ended while they predicted it, for want of memory or by"
            " a crash",
            f"crop or convert it, or use a machine with more memory; to try it again delete {mine.folder}",
        )
    )
