"""One process at a time makes something: a claim that ends with its process, however that ends.

    out/case_1.nii.gz             a file: whole or absent
    out/.case_1.nii.gz.claim/     its claim: a locked folder; the file is written there, then moved out
        lock                      a locked file in it: a byte for each process that began and never ended
    runs/DATASET/RUN/             a folder that grows, and can be gone on with
    runs/DATASET/RUN/.claim       its claim: a locked file, which stays

The system lets go of the lock when its owner ends, killed or not. What a dead owner of a file left is then in
the claim's folder and nowhere else; the next owner empties it, and knows by `lock` how many died so. The
folder is locked as versions before did; NFS locks only what is open for writing, which a folder cannot be, so
the file is locked too. Where the system has no such locks (Windows, some network drives), every process
writes files in a folder of its own: work is then done twice, and still nothing torn. Standard library only.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from .disk import naming, no_link, settled, synced
from .errors import UserError
from .locks import Taken, lies_at, locked

_LOCK = "lock"
_CLAIM = re.compile(r"\.(.+)\.claim")
MOST_ENDED = 3  # processes that may end with one thing
_LOOK_AGAIN_S = 0.5
_TRIES = 1000  # some drives never call an open file what they call its name: to them locks mean nothing
T = TypeVar("T")


@dataclass(frozen=True)
class Claim:
    """The right to make one file."""

    path: Path
    folder: Path
    of_folder: int | None = None  # the locks' handles; None where such a thing cannot be locked
    of_file: int | None = None
    ended: int = 0  # processes that had this claim and ended without giving it back

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
        with suppress(OSError):
            _empty(self.folder)
        with suppress(OSError):
            (self.folder / _LOCK).unlink()
        _close(self.of_file)  # before the folder goes: NFS keeps what is open in it
        with suppress(OSError):  # another has claimed it since
            self.folder.rmdir()
        _close(self.of_folder)

    def put_back(self) -> None:
        """Gives the claim back as it was found, with what it knows of processes that ended."""
        if self.of_file is not None:
            os.ftruncate(self.of_file, self.ended)
        _close(self.of_file)
        _close(self.of_folder)


def claim(path: Path) -> Claim | None:
    """The claim to the file `path`, or None while another process, or thread, has it. Raises OSError."""
    folder = _folder(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    of_folder = of_file = None
    for _ in range(_TRIES):
        _unlink_link(folder)
        with suppress(FileExistsError):
            folder.mkdir()
        try:
            of_folder, of_file = _locks(folder)
        except Taken:
            return None
        except FileNotFoundError:  # its owner has just removed it
            continue
        break
    if of_folder is None and of_file is None:
        return _unlocked(path)
    _empty(folder)
    ended = 0
    if of_file is not None:
        ended = os.fstat(of_file).st_size
        os.ftruncate(of_file, ended + 1)  # its size counts: what is written would be flushed as it is closed
    return Claim(path, folder, of_folder, of_file, ended)


def made_once(
    todo: Mapping[T, Path],
    make: Callable[[T, Claim], object],
    claiming: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Iterator[T]:
    """Has each file or folder made by one of the processes that ask for it; yields what is there, in turn.

    What another makes is waited for; if it dies, it is made here. Raises UserError for what ended
    `MOST_ENDED` processes, so that no worker ends with it for ever. `claiming`: what knows better words for
    a place that cannot be written.
    """
    left = dict(todo)
    while left:
        for name, path in list(left.items()):
            with claiming():
                mine = None if path.exists() else claim(path)
            if mine is None and not path.exists():  # another's
                continue
            if mine is not None:
                if mine.ended >= MOST_ENDED:
                    mine.put_back()
                    raise UserError(
                        f"{name}: {mine.ended} processes ended while they worked on it",
                        f"leave it out, or use a machine with more memory; to try it again delete"
                        f" {mine.folder}",
                    )
                try:
                    if not path.exists():
                        make(name, mine)
                finally:
                    mine.release()
            del left[name]
            yield name
        if left:
            time.sleep(_LOOK_AGAIN_S)


def ended_with(path: Path) -> int:
    """How many processes had the claim to `path` and ended without giving it back, as far as is known; one
    that has it now counts too."""
    try:
        return (_folder(path) / _LOCK).stat().st_size
    except OSError:
        return 0


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


def is_claimed(folder: Path) -> bool:
    """Whether a process works in `folder` now, as far as locks reach. The lock is asked for, and let go."""
    return _is_taken(folder / ".claim")


def held_in(folder: Path) -> list[str]:
    """The names of the files in `folder` that processes are making now, as far as locks reach.

    A process that claims one in this moment passes by it, and comes again.
    """
    if not folder.is_dir():
        return []
    names = (_CLAIM.fullmatch(entry.name) for entry in folder.iterdir())
    return sorted(name[1] for name in names if name and _is_taken(folder / name[0] / _LOCK))


def _is_taken(lock: Path) -> bool:
    try:
        handle = locked(lock, os.O_RDWR)
    except Taken:
        return True
    except OSError:  # there is none
        return False
    _close(handle)
    return False


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


def _locks(folder: Path) -> tuple[int | None, int | None]:
    """The locks of a claim, on its folder and on the file in it; None for what the system does not lock.

    Raises Taken; FileNotFoundError where what was locked is gone, and another claim may lie there.
    """
    try:
        of_folder = locked(folder, os.O_RDONLY)
    except PermissionError:  # Windows opens no folders
        of_folder = None
    of_file = None
    try:
        _check_there(of_folder, folder)
        _unlink_link(folder / _LOCK)
        of_file = locked(folder / _LOCK, os.O_RDWR | os.O_CREAT)
        _check_there(of_file, folder / _LOCK)
    except BaseException:
        _close(of_file)
        _close(of_folder)
        raise
    return of_folder, of_file


def _check_there(handle: int | None, place: Path) -> None:
    if handle is not None and not lies_at(handle, place):  # we locked what its owner was about to remove
        raise FileNotFoundError(place)


def _empty(folder: Path) -> None:
    """Removes what an owner left in it, but for the lock. A folder that is gone is empty."""
    left = list[Path]()
    with suppress(FileNotFoundError):
        left = [inside for inside in folder.iterdir() if inside.name != _LOCK]
    for inside in left:
        if inside.is_dir() and not inside.is_symlink():
            shutil.rmtree(inside, ignore_errors=True)
        else:
            inside.unlink(missing_ok=True)


def _close(handle: int | None) -> None:
    if handle is not None:
        os.close(handle)


def _unlocked(path: Path) -> Claim:
    with suppress(OSError):  # what was to be locked is of no use
        (_folder(path) / _LOCK).unlink(missing_ok=True)
        _folder(path).rmdir()
    return Claim(path, Path(tempfile.mkdtemp(".claim", f".{path.name}-", path.parent)))
