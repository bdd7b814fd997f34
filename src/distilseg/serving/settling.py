"""What becomes of a whole study, when it came before and when it did not.

    new       it is predicted
    same      all that came was answered by this model: nothing is done
    grew      with what came before it is predicted again; so is one that was refused, however it came
    refused   it is larger than a study may be, or it came before with images that are kept no longer, and not
              all of them came again

Of one that grows, what came before is moved among the new images, a file at a time, before the old folder
goes. A kill on the way leaves both folders, and the same steps are done again.
"""

from __future__ import annotations

import os

from ..disk import synced
from .spool import ANSWERED, ANSWERED_BY, ARRIVING, IMAGES, REASON, RECEIVED, REFUSED, SENT, Spool

NEW, SAME, GREW = "new", "same", "grew"
_LACKING = (
    "it came again without {count} of the images that it had before, which are kept no longer;"
    " send the whole study again"
)


def settle(spool: Spool, key: str, model: str) -> str:
    """One step of a whole study out of `arriving`, and which that was. `model` is a digest."""
    before = spool.state_of(key)
    if before is not None:
        known, here = spool.recorded(before, key), spool.images(ARRIVING, key)
        answered = before in (ANSWERED, SENT) and spool.noted(before, key, ANSWERED_BY) == model
        if answered and here <= known:
            spool.remove(ARRIVING, key)
            return SAME
        _absorb(spool, key, before)
        if lacking := _instances(known) - _instances(spool.images(ARRIVING, key)):
            spool.note(ARRIVING, key, REASON, _LACKING.format(count=len(lacking)))
    spool.record(ARRIVING, key)
    is_refused = bool(spool.noted(ARRIVING, key, REASON))
    if before is not None:
        spool.remove(before, key)
    spool.move(key, ARRIVING, REFUSED if is_refused else RECEIVED)
    return REFUSED if is_refused else GREW if before is not None else NEW


def _absorb(spool: Spool, key: str, state: str) -> None:
    """Moves what came before among what comes, but for images that came anew."""
    old, new = (spool.place(where, key) / IMAGES for where in (state, ARRIVING))
    here = _instances(spool.images(ARRIVING, key))
    for name in spool.images(state, key):
        if not _instances({name}) & here:
            os.rename(old / name, new / name)
    synced(new)


def _instances(names: set[str]) -> set[str]:
    """Which images they are, whatever they hold."""
    return {name.partition("-")[0] for name in names}
