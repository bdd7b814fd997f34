"""What the system refuses, in one line whoever says so; and what was written, held to be on the disk.

    naming     an error of the system becomes one line that names the file and what is needed
    settled    a file or folder is synced and looked at, before it is renamed to where it belongs
    no_link    nothing is written through a link
    check_room what will be written fits, before any of it is

safetensors, torch, SimpleITK and OpenVINO each have words of their own for a full disk, some of them none.
Standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from .errors import UserError

_FIXES = {
    errno.ENOSPC: "free space there, or name a folder on another disk",
    errno.EDQUOT: "your quota there is used up: free space, or name a folder on another disk",
    errno.EFBIG: "a limit on the size of files is reached: raise it (ulimit -f), or name another disk",
    errno.EMFILE: "too many files are open in this process: raise the limit (ulimit -n)",
    errno.ENFILE: "too many files are open on this machine: close other programs",
    errno.EROFS: "that disk can only be read: name a folder elsewhere",
    errno.EACCES: "you may not write there: name another folder, or change its rights",
    errno.EPERM: "you may not write there: name another folder, or change its rights",
    errno.EIO: "the disk fails: name a folder on another one",
    errno.ELOOP: "nothing is written through a link: remove it",
    **dict.fromkeys(
        (errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR),
        "is the path right, and free?",
    ),
}
_SAID = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.EROFS, errno.EIO)
# torch, OpenVINO, nrrd and NumPy tell that writing failed, and not why.
_WRITING_FAILED = re.compile(
    r"PytorchStreamWriter failed|inline_container.*unexpected pos|iostream error|Error writing"
    r"|requested and \d+ written"
)
_UNSYNCABLE = (errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EACCES, errno.EPERM)
_FULL_BYTES = 2**16  # left on a disk: less is none
SPARE_BYTES = 2**28  # that a disk keeps free, for whoever else writes there


def reason(error: BaseException) -> int | None:
    """The number of the system's error behind `error`, whichever library tells it; None: it is none."""
    seen: BaseException | None = error
    before: list[BaseException] = []  # causes may form a circle
    while seen is not None and seen not in before:
        before.append(seen)
        if isinstance(seen, OSError) and seen.errno in _FIXES:
            return seen.errno
        text = str(seen)
        if (number := re.search(r"\(os error (\d+)\)", text)) and int(number[1]) in _FIXES:
            return int(number[1])
        said = next((number for number in _SAID if os.strerror(number) in text), None)
        if said is not None:
            return said
        seen = seen.__cause__ or seen.__context__
    return None


def refusal(error: BaseException, path: Path | str) -> UserError | None:
    """`error` as one line about `path`; None for what is not the system's."""
    number = reason(error)
    if number is not None:
        said = error.strerror if isinstance(error, OSError) and error.errno == number else None
        return UserError(f"{path}: {said or os.strerror(number)}", _FIXES[number])
    if not _WRITING_FAILED.search(str(error)):
        return None
    full = _free_bytes(Path(path).parent) < _FULL_BYTES
    why = os.strerror(errno.ENOSPC) if full else "it could not be written, and the system does not say why"
    return UserError(f"{path}: {why}", _FIXES[errno.ENOSPC])


@contextlib.contextmanager
def naming(path: Path, aside: Path | None = None) -> Iterator[None]:
    """The system's refusals name `path`, and not the file `aside` that is written first.

    A refusal of another file, such as one that is read meanwhile, stays as it is.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        other = getattr(error, "filename", None)
        own = (path, aside) if aside is not None else (path,)
        if isinstance(other, str) and not any(_within(other, place) for place in own):
            raise
        told = refusal(error, path)
        if told is None:
            raise
        raise told from error


def settled(aside: Path, path: Path) -> None:
    """Syncs the file or folder `aside`, soon to be `path`. Raises UserError where nothing was written."""
    if aside.is_dir():
        for inside in aside.rglob("*"):
            if not inside.is_symlink():
                synced(inside)
        synced(aside)
        return
    if not aside.exists() or not aside.stat().st_size:
        raise UserError(f"{path}: nothing was written", _FIXES[errno.ENOSPC])
    synced(aside)


def no_link(path: Path, fix: str = "remove it") -> None:
    """Raises UserError for a link where a file or folder of ours belongs: nothing is written through one."""
    if path.is_symlink():
        raise UserError(f"{path} is a link, and nothing is written through one", fix)


def check_room(folder: Path, needed_bytes: float, what: str, fix: str) -> None:
    """Raises UserError where the disk of `folder` cannot hold `what`, with both numbers and `fix`."""
    free = shutil.disk_usage(folder).free
    if needed_bytes + SPARE_BYTES > free:
        told = f"{what} {_size(needed_bytes)}, {folder} has {_size(free)} left"
        raise UserError(f"{told}, of which {_size(SPARE_BYTES)} stay free for others", fix)


def _size(number: float) -> str:
    unit, name = (1e9, "GB") if number >= 1e9 else (1e6, "MB")
    return f"{number / unit:,.{0 if number >= 10 * unit else 1}f} {name}"


def synced(path: Path) -> None:
    """What is in the file or folder is on the disk, as far as the system can promise. Raises OSError."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError as error:
        if error.errno in _UNSYNCABLE:  # Windows opens no folders
            return
        raise
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _UNSYNCABLE:
            raise
    finally:
        os.close(handle)


def _within(name: str, place: Path) -> bool:
    return Path(name) == place or place in Path(name).parents or Path(name) == place.parent


def _free_bytes(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return _FULL_BYTES
