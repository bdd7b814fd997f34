"""One process at a time makes a file: a claim that ends with its process, however that ends.

    out/case_1.nii.gz             the file: whole or absent
    out/.case_1.nii.gz.claim/     its claim: a locked folder; the file is written there, then moved out

The system lets go of the lock when its owner ends, killed or not. What a dead owner left is then in the
claim's folder and nowhere else; the next owner empties it. Where the system has no such locks (Windows, some
network drives), every process writes in a folder of its own: work is then done twice, and still nothing torn.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..files import lock


@dataclass(frozen=True)
class Claim:
    """The right to make one file."""

    path: Path
    folder: Path
    handle: int | None  # of the locked folder; None where there are no locks

    @contextmanager
    def written(self) -> Iterator[Path]:
        """Yields where to write the file; on success it is moved to its place."""
        aside = self.folder / self.path.name
        yield aside
        os.replace(aside, self.path)

    def release(self) -> None:
        """Leaves nothing behind but the file."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.handle is not None:
            os.close(self.handle)


def claim(path: Path) -> Claim | None:
    """The claim to `path`, or None while another process, or thread, has it. Raises OSError."""
    folder = _folder(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with suppress(FileExistsError):
            folder.mkdir()
        try:
            handle = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:  # its owner has just removed it
            continue
        except PermissionError:  # Windows opens no folders
            return _unlocked(path)
        ours = lock(handle)
        if ours and _is(folder, handle):
            break
        os.close(handle)
        if ours is None:
            return _unlocked(path)
        if not ours:
            return None
        # Else we locked what its owner was about to remove.
    for left in folder.iterdir():
        left.unlink()
    return Claim(path, folder, handle)


def tidy(path: Path) -> None:
    """Removes what a process that was killed left beside a finished file."""
    if _folder(path).is_dir():
        left = claim(path)
        if left is not None:
            left.release()


def _folder(path: Path) -> Path:
    return path.parent / f".{path.name}.claim"  # an ending of its own: no pattern for scans meets it


def _unlocked(path: Path) -> Claim:
    return Claim(path, Path(tempfile.mkdtemp(".claim", f".{path.name}-", path.parent)), None)


def _is(folder: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(folder), os.fstat(handle))
    except FileNotFoundError:
        return False
