"""Which studies of an archive are fetched: those of the last days, once nothing more comes to them.

A study is looked at again when its number of images changes, and fetched when those of its scans do: our own
SEG, stored there, is none of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta

from .archive import Archive
from .arriving import Arrivals, TooLarge
from .sending import NotReached, NotTaken
from .spool import key_of, shown

_Counts = tuple[tuple[str, int | None], ...]  # series -> images


@dataclass
class _Known:
    """What the archive said of a study."""

    images: int | None
    since_s: float
    looked_at: bool = False
    failed: bool = False
    fetched: _Counts | None = None


@dataclass
class Looking:
    """Looks into an archive again and again, in a thread of its own."""

    archive: Archive
    arrivals: Arrivals
    say: Callable[[str], object]
    days: int = 1  # today's and yesterday's
    every_s: float = 30.0
    today: Callable[[], date] = date.today
    clock: Callable[[], float] = time.monotonic
    _known: dict[str, _Known] = field(default_factory=dict)
    _reached: bool = True

    def run(self, stop: threading.Event) -> None:
        """Until `stop`."""
        while not stop.is_set():
            self.look()
            stop.wait(self.every_s)

    def look(self) -> None:
        """Once; what is not reached is looked for the next time."""
        today = self.today()
        try:
            found = self.archive.studies(today - timedelta(self.days), today)
        except (NotReached, NotTaken) as error:
            if self._reached:
                self.say(f"the archive was not reached ({error}); it is asked again every {self.every_s:g} s")
            self._reached = False
            return
        if not self._reached:
            self.say("the archive is reached again")
        self._reached = True
        for study in self._known.keys() - found.keys():
            del self._known[study]
        for study, images in found.items():
            self._look_at(study, images)

    def _look_at(self, study: str, images: int | None) -> None:
        known = self._known.get(study)
        if known is None or known.images != images:
            fetched = known.fetched if known else None
            known = self._known[study] = _Known(images, self.clock(), fetched=fetched)
        if known.looked_at or self.clock() - known.since_s < self.arrivals.quiet_s:
            return
        try:
            self._fetch(study, known)
            known.looked_at = True
        except TooLarge:  # which is what it is refused for
            known.looked_at = True
        except (NotReached, NotTaken, OSError) as error:  # this one alone, perhaps
            if not known.failed:
                why = error.strerror if isinstance(error, OSError) else error
                self.say(f"{shown(key_of(study))}: not fetched ({why}); it is tried again")
            known.failed = True

    def _fetch(self, study: str, known: _Known) -> None:
        counts = tuple(sorted((one.uid, one.images) for one in self.archive.series(study)))
        if counts and counts != known.fetched:
            came = self.archive.fetch(study, self.arrivals)
            self.say(f"{shown(key_of(study))}: {came} images fetched")
        known.fetched = counts
