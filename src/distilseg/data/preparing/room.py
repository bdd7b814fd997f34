"""Whether the disk holds the cases that are still to be prepared, told from those that were.

    needed = cases left x (share of the cases so far that had to be made) x mean bytes of those

Headers would tell the most that a case can take; cropped to what is not air it is often a third of that.
"""

from __future__ import annotations

import threading
from pathlib import Path

from ...disk import check_room

TOLD_AFTER = 4  # cases that were made


class Room:
    """The disk of `folder`, in which `cases` are looked up, or made where they are not there; for threads."""

    def __init__(self, folder: Path, cases: int) -> None:
        self._folder, self._left = folder, cases
        self._found, self._made, self._made_bytes = 0, 0, 0
        self._lock = threading.Lock()

    def found(self) -> None:
        """A case was there already."""
        with self._lock:
            self._left -= 1
            self._found += 1

    def made(self, entry: Path) -> None:
        """A case was made, as the folder `entry`. Raises UserError where the others will not fit."""
        size = sum(file.stat().st_size for file in entry.iterdir())
        with self._lock:
            self._left -= 1
            self._made += 1
            self._made_bytes += size
            left, made = self._left, self._made
            needed_bytes = left * self._made_bytes / (made + self._found)
        if left and made >= TOLD_AFTER:
            fix = "free space, or name a folder on another disk with --cache"
            check_room(self._folder, needed_bytes, f"{left} cases more to prepare take about", fix)
