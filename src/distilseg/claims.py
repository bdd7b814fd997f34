"""One process at a time makes something: a claim that ends with its process, however that ends.

    out/case_1.nii.gz             a file: whole or absent
    out/.case_1.nii.gz.claim/     its claim: a locked folder; the file is written there, then moved out
    runs/DATASET/RUN/             a folder that grows, and can be gone on with
    runs/DATASET/RUN/.claim       its claim: a locked file, which stays

The system lets go of the lock when its owner ends, killed or not. What a dead owner of a file left is then in
the claim's folder and nowhere else; the next owner empties it. Where the system has no such locks (Windows,
some network drives), every process writes files in a folder of its own: work is then done twice, and still
nothing torn. Standard library only.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from .disk import naming, no_link, settled, synced
from .locks import Taken, lies_at, locked


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
        with naming(self.path, aside):
            yield aside
            settled(aside, self.path)
            os.replace(aside, self.path)
            synced(self.path.parent)

    def release(self) -> None:
        """Leaves nothing behind but the file."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.handle is not None:
            os.close(self.handle)


def claim(path: Path) -> Claim | None:
    """The claim to the file `path`, or None while another process, or thread, has it. Raises OSError."""
    folder = _folder(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        _unlink_link(folder)
        with suppress(FileExistsError):
            folder.mkdir()
        try:
            handle = locked(folder, os.O_RDONLY)
        except Taken:
            return None
        except FileNotFoundError:  # its owner has just removed it
            continue
        except PermissionError:  # Windows opens no folders
            return _unlocked(path)
        if handle is None:
            return _unlocked(path)
        if lies_at(handle, folder):
            break
        os.close(handle)  # we locked what its owner was about to remove
    for left in folder.iterdir():
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink()
    return Claim(path, folder, handle)


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Whether `folder`, made if need be, is ours to work in meanwhile; False: another process has it."""
    no_link(folder, fix="name the folder itself")
    folder.mkdir(parents=True, exist_ok=True)
    _unlink_link(folder / ".claim")
    try:
        handle = locked(folder / ".claim", os.O_WRONLY | os.O_CREAT)
    except Taken:
        yield False
        return
    try:
        yield True
    finally:
        if handle is not None:
            os.close(handle)


def tidy(path: Path) -> None:
    """Removes what a process that was killed left beside a finished file."""
    if _folder(path).is_dir() or _folder(path).is_symlink():
        left = claim(path)
        if left is not None:
            left.release()


def _unlink_link(place: Path) -> None:
    """A link where a claim belongs is removed itself; what it leads to is not ours."""
    if place.is_symlink():
        place.unlink(missing_ok=True)


def _folder(path: Path) -> Path:
    return path.parent / f".{path.name}.claim"  # an ending of its own: no pattern for scans meets it


def _unlocked(path: Path) -> Claim:
    return Claim(path, Path(tempfile.mkdtemp(".claim", f".{path.name}-", path.parent)), None)
