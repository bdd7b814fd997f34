"""Images as they come, and when a study is whole.

A sender opens an association, sends images of one study or of several, and releases it; a study may come in
several associations, one after the other or at once. It is whole when each of them was released, all that was
sent was kept, and nothing came for a while. One that was cut, by an abort, a lost connection or our own end,
leaves its images here, and the study waits until a later association, or one of its own retries, is released.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..disk import SPARE_BYTES, synced
from .spool import ARRIVING, IMAGES, PART, REASON, WHOLE, Spool, key_of

Bytes = bytes | memoryview
_CONTENT = 16  # bytes of the digest of what an image holds


class TooLarge(Exception):
    """The study would be larger than a study may be."""


@dataclass(eq=False)
class Arrival:
    """An association, or what is like one."""

    number: int
    studies: dict[str, int] = field(default_factory=dict)  # key -> images that came
    failed: bool = False  # something that was sent could not be kept
    released: bool = False
    ended: bool = False


@dataclass(eq=False)
class _Coming:
    """A study of which images come."""

    names: dict[str, str]  # digest of an image's UID -> its file
    size: int  # bytes
    last_s: float
    cuts: dict[int, int] = field(default_factory=dict)  # association that was cut -> the last begun by then
    open: set[int] = field(default_factory=set)
    too_large: bool = False


class Arrivals:
    """What arrives at a spool, from any number of threads."""

    def __init__(
        self,
        spool: Spool,
        *,
        quiet_s: float,
        most_bytes: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.quiet_s, self.most_bytes = quiet_s, most_bytes
        self._spool, self._clock = spool, clock
        self._lock = threading.Lock()
        self._numbers, self._last = itertools.count(1), 0
        self._coming = {key: self._found(key) for key in spool.keys(ARRIVING)}

    def begin(self) -> Arrival:
        """An association was opened."""
        with self._lock:
            self._last = next(self._numbers)
            return Arrival(self._last)

    def keep(self, arrival: Arrival, study: str, instance: str, parts: Sequence[Bytes]) -> None:
        """Keeps the file that `parts` are of the image with this UID: whole, and on the disk.

        Raises `TooLarge`, OSError.
        """
        image, digest = key_of(instance), hashlib.blake2b(digest_size=_CONTENT)
        for part in parts:
            digest.update(part)
        key, size = key_of(study), sum(map(len, parts))
        name = f"{image}-{digest.hexdigest()}.dcm"
        folder = self._spool.place(ARRIVING, key)
        with self._lock:
            coming = self._of(key, arrival)
            arrival.studies[key] = arrival.studies.get(key, 0) + 1
            if coming.names.get(image) == name:
                return
            if coming.too_large or coming.size + size > self.most_bytes:
                coming.too_large = arrival.failed = True
                self._spool.note(ARRIVING, key, REASON, _too_large(self.most_bytes))
                raise TooLarge
            coming.size += size
        try:
            if self._spool.free_bytes() < size + SPARE_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            _write(folder / IMAGES / name, parts)
        except OSError:
            with self._lock:
                arrival.failed = True
                coming.size -= size
            raise
        with self._lock:
            before, coming.names[image] = coming.names.get(image), name
            if before is not None:
                (folder / IMAGES / before).unlink(missing_ok=True)
            coming.last_s = self._clock()

    def end(self, arrival: Arrival, *, whole: bool) -> None:
        """An association ended: it was released, which makes it `whole`, or it was cut.

        Of one that was released both may be said, in any order, as its connection closes as well.
        """
        with self._lock:
            if arrival.released:
                return
            arrival.ended, arrival.released = True, whole
            for key in arrival.studies:
                if (coming := self._coming.get(key)) is None:
                    continue
                coming.open.discard(arrival.number)
                coming.last_s = self._clock()
                if not whole or arrival.failed:
                    self._cut(coming, arrival)
                else:
                    coming.cuts = {
                        cut: last
                        for cut, last in coming.cuts.items()
                        if cut != arrival.number and last >= arrival.number
                    }
                if not coming.cuts and not coming.open:
                    mark = self._spool.place(ARRIVING, key) / WHOLE
                    mark.touch()
                    synced(mark.parent)

    def complete(self) -> list[str]:
        """The studies that are whole, or too large, and quiet."""
        with self._lock:
            quiet = self._clock() - self.quiet_s
            return [
                key
                for key, coming in self._coming.items()
                if not coming.open and coming.last_s <= quiet and (coming.too_large or not coming.cuts)
            ]

    def cut(self) -> list[str]:
        """The studies that wait, as their association was cut."""
        with self._lock:
            return [key for key, one in self._coming.items() if one.cuts and not one.open]

    def take(self, key: str, step: Callable[[], str]) -> str | None:
        """Does `step` with a study while nothing of it comes, and forgets it; None where something does."""
        with self._lock:
            coming = self._coming.get(key)
            if coming is None or coming.open:
                return None
            outcome = step()
            del self._coming[key]
            return outcome

    def _of(self, key: str, arrival: Arrival) -> _Coming:
        """The study, which is not whole from now on; under the lock."""
        folder = self._spool.place(ARRIVING, key)
        coming = self._coming.get(key)
        if coming is None:
            (folder / IMAGES).mkdir(mode=0o700, parents=True, exist_ok=True)
            coming = self._coming[key] = _Coming({}, 0, self._clock())
        (folder / WHOLE).unlink(missing_ok=True)
        coming.last_s = self._clock()
        if arrival.ended:  # its last image was still on its way to us when the connection was lost
            self._cut(coming, arrival)
        else:
            coming.open.add(arrival.number)
        return coming

    def _cut(self, coming: _Coming, arrival: Arrival) -> None:
        coming.cuts[arrival.number] = self._last

    def _found(self, key: str) -> _Coming:
        """A study that was here when this process began."""
        folder = self._spool.place(ARRIVING, key)
        names = {name.partition("-")[0]: name for name in self._spool.images(ARRIVING, key)}
        size = sum((folder / IMAGES / name).stat().st_size for name in names.values())
        is_whole, too_large = (folder / WHOLE).exists(), (folder / REASON).exists()
        cuts = {} if is_whole else {0: 0}  # by our own end
        return _Coming(names, size, self._clock(), cuts, too_large=too_large)


def _too_large(most_bytes: float) -> str:
    return f"it is larger than {most_bytes / 1e9:g} GB, which a study may be; raise --most-gb"


def _write(path: Path, parts: Sequence[Bytes]) -> None:
    aside = path.with_name(f"{path.name}.{threading.get_ident()}{PART}")
    try:
        with aside.open("wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
