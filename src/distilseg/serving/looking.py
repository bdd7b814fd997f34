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
        """Once; an archive that is not reached is looked into the next time."""
        try:
            today = self.today()
            found = self.archive.studies(today - timedelta(self.days), today)
            for study in self._known.keys() - found.keys():
                del self._known[study]
            for study, images in found.items():
                self._look_at(study, images)
        except (NotReached, NotTaken) as error:
            if self._reached:
                self.say(f"the archive was not reached ({error}); it is asked again every {self.every_s:g} s")
            self._reached = False
        else:
            if not self._reached:
                self.say("the archive is reached again")
            self._reached = True

    def _look_at(self, study: str, images: int | None) -> None:
        known = self._known.get(study)
        if known is None or known.images != images:
            fetched = known.fetched if known else None
            known = self._known[study] = _Known(images, self.clock(), fetched=fetched)
        if known.looked_at or self.clock() - known.since_s < self.arrivals.quiet_s:
            return
        counts = tuple(sorted((one.uid, one.images) for one in self.archive.series(study)))
        if counts and counts != known.fetched:
            try:
                came = self.archive.fetch(study, self.arrivals)
            except (TooLarge, OSError) as error:
                self.say(f"{shown(key_of(study))}: not fetched ({type(error).__name__})")
                if not isinstance(error, TooLarge):
                    return
            else:
                self.say(f"{shown(key_of(study))}: {came} images fetched")
        known.looked_at, known.fetched = True, counts
