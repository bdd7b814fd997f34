"""Files appear whole or not at all: written aside, synced and looked at, then renamed.

A reader, a second process, a kill or a full disk never meets or leaves half a file. What the system refuses
is one line that names the file. Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .disk import naming, settled, synced
from .errors import UserError


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path` (same ending); on success it is renamed to `path`."""
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    ending = "".join(path.suffixes[-2:]) if path.name.endswith(".gz") else path.suffix
    with naming(path, path.parent / ".writing-"):
        handle, name = tempfile.mkstemp(prefix=".writing-", suffix=ending, dir=path.parent)
    os.close(handle)
    aside = Path(name)
    try:
        with naming(path, aside):
            yield aside
            aside.chmod(0o666 & ~_umask())
            settled(aside, path)
            os.replace(aside, path)
            synced(path.parent)
    finally:
        aside.unlink(missing_ok=True)


@contextlib.contextmanager
def folder_written_whole(path: Path) -> Iterator[Path]:
    """The same for a folder. If another process was first, its folder stays and ours is dropped."""
    if path.is_symlink():
        raise UserError(f"{path} is a link, and nothing is written through one", "remove it")
    with naming(path, path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".writing-", dir=path.parent))
    try:
        with naming(path, aside):
            yield aside
            aside.chmod(0o777 & ~_umask())
            settled(aside, path)
            try:
                os.rename(aside, path)
            except OSError:
                if not path.is_dir() or path.is_symlink():
                    raise
            synced(path.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8, whole or not at all."""
    with written_whole(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as JSON that a person can read, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
