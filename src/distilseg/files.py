"""Files appear whole or not at all: written aside, synced and looked at, then renamed.

    out/report.html                      a file: whole or absent
    out/.writing-6f1c.../report.html     it is written here, in a locked folder, and then moved out
    out/.writing-09ab.../                or this folder itself gets its name

A reader, a second process, a kill or a full disk never meets or leaves half a file. The system lets go of the
lock when its owner ends, killed or not; whoever writes beside it next removes what is ours by its name and
locked by nobody. What the system refuses is one line that names the file. Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .disk import naming, no_link, settled, synced
from .locks import Taken, lies_at, locked

_ASIDE = re.compile(r"\.writing-[0-9a-f]{32}")  # of random digits: nobody else calls a folder so


@contextlib.contextmanager
def written_whole(path: Path, *, sweep: bool = True) -> Iterator[Path]:
    """Yields a temporary path of the same name; on success it is renamed to `path`.

    `sweep`: what killed writers left beside it is removed. Not where machines may share a folder without
    sharing locks.
    """
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with _aside(path, sweep) as folder, naming(path, folder):
        aside = folder / path.name
        yield aside
        settled(aside, path)
        os.replace(aside, path)
        synced(path.parent)


@contextlib.contextmanager
def folder_written_whole(path: Path, *, sweep: bool = True) -> Iterator[Path]:
    """The same for a folder. If another process was first, its folder stays and ours is dropped."""
    no_link(path)
    with naming(path, path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    with _aside(path, sweep) as aside, naming(path, aside):
        yield aside
        aside.chmod(0o777 & ~_umask())
        settled(aside, path)
        try:
            os.rename(aside, path)
        except OSError:
            if not path.is_dir() or path.is_symlink():
                raise
        synced(path.parent)


def is_aside(name: str) -> bool:
    """Whether what has this name is being written, or was when its process was killed."""
    return name.startswith(".writing-")


@contextlib.contextmanager
def _aside(path: Path, sweep: bool) -> Iterator[Path]:
    """A folder beside `path`, locked and ours; nothing of it is left behind."""
    if sweep:
        _sweep(path.parent)
    with naming(path, path.parent / ".writing-"):
        folder, handle = _made(path.parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def _made(parent: Path) -> tuple[Path, int | None]:
    """A new folder and its lock, None where there are no locks. Raises OSError."""
    while True:
        folder = parent / f".writing-{uuid.uuid4().hex}"
        folder.mkdir(mode=0o700)
        try:
            handle = locked(folder, os.O_RDONLY)
        except (Taken, FileNotFoundError):  # swept before it was locked
            continue
        except PermissionError:  # Windows opens no folders
            return folder, None
        if handle is None or lies_at(handle, folder):
            return folder, handle
        os.close(handle)


def _sweep(parent: Path) -> None:
    """Removes the folders that writers who were killed left in `parent`: ours by name, and held by nobody."""
    left: list[Path] = []
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        left = [Path(entry.path) for entry in entries if _ASIDE.fullmatch(entry.name)]
    for folder in left:
        with contextlib.suppress(OSError, Taken):  # a link or a file is not opened, and stays
            handle = locked(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
            if handle is None:  # no locks here: whose it is cannot be told
                continue
            try:
                if lies_at(handle, folder):
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)


def write_text(path: Path, text: str, *, sweep: bool = True) -> None:
    """Writes `text` as UTF-8, whole or not at all."""
    with written_whole(path, sweep=sweep) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any, *, sweep: bool = True) -> None:
    """Writes `value` as JSON that a person can read, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n", sweep=sweep)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
