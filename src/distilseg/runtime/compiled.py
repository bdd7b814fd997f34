"""Compiled networks, kept in the user's cache: a small one takes longer to compile than to see a scan.

    <the user's cache>/networks/<key>        a file each, whole or absent

The key is a digest of all that a compiled network depends on: the files of the network, the engine and its
version, the processor with what it can do, the options. An entry repeats it, and a digest of the rest. One
that is damaged, or that somebody else may have written, is not believed: the network is compiled as if there
were none, and so it is where nothing can be kept. At most `MOST_BYTES` are; what was used longest ago goes.

`keeping` says where; without it nothing is kept. DISTILSEG_KEEP_COMPILED=no in the environment turns it off.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from ..files import written_whole
from ..hardware import processor_identity
from ..user_cache import user_cache

VARIABLE = "DISTILSEG_KEEP_COMPILED"
MOST_BYTES = 2**28  # of all entries
_MAGIC = b"distilseg compiled network 1\n"
_DIGEST = hashlib.sha256().digest_size

_folder: ContextVar[Path | None] = ContextVar("folder", default=None)


@contextmanager
def keeping(folder: Path | None) -> Iterator[None]:
    """Networks that are loaded within are looked for and kept in `folder`; None: they are compiled."""
    before = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(before)


def folder_now() -> Path | None:
    """Where compiled networks are kept now."""
    return _folder.get()


def usual_folder() -> Path | None:
    """The folder in the user's cache; None where it is turned off, or nobody can say where that lies."""
    if os.environ.get(VARIABLE, "").lower() in ("no", "off", "0", "false"):
        return None
    with suppress(ModuleNotFoundError, RuntimeError):  # platformdirs is not installed; there is no home
        return user_cache() / "networks"
    return None


def compiled(
    make: Callable[[], Any], load: Callable[[bytes], Any], depends_on: tuple[bytes | str, ...], folder: Path
) -> Any:
    """OpenVINO's compiled network: the one that is kept, by `load`, or else a new one of `make`, then kept.

    `depends_on`: the network's content, the engine's version and the options; the processor goes without
    saying.
    """
    key = key_of(depends_on)
    place = folder / key.hex()
    content = _believed(place, key)
    if content is not None:
        with suppress(Exception):  # whatever the engine makes of it
            network = load(content)
            with suppress(OSError):
                os.utime(place)  # used now
            return network
    network = make()
    # A folder that cannot be written, a full disk, what the engine cannot export: it is compiled next time.
    with suppress(Exception):
        stream = io.BytesIO()
        network.export_model(stream)
        _keep(place, key, stream.getvalue())
    return network


def key_of(depends_on: tuple[bytes | str, ...]) -> bytes:
    """A digest of these on this processor."""
    whole = hashlib.sha256()
    for part in (*depends_on, processor_identity()):
        whole.update(hashlib.sha256(part.encode() if isinstance(part, str) else part).digest())
    return whole.digest()


def _believed(place: Path, key: bytes) -> bytes | None:
    """What an entry holds; None where there is none, or it is not the one that we wrote."""
    try:
        with open(os.open(place, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), "rb") as file:
            if not _ours(os.fstat(file.fileno())):
                return None
            head = file.read(len(_MAGIC) + 2 * _DIGEST)
            content = file.read(MOST_BYTES)
    except OSError:
        return None
    if head != _MAGIC + key + hashlib.sha256(content).digest():
        return None
    return content


def _ours(found: os.stat_result) -> bool:
    """A file that is ours and that nobody else may write."""
    if not hasattr(os, "geteuid"):  # Windows keeps users' folders apart
        return stat.S_ISREG(found.st_mode)
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022


def _keep(place: Path, key: bytes, content: bytes) -> None:
    if 4 * len(content) > MOST_BYTES:
        return
    with written_whole(place) as aside:
        aside.write_bytes(_MAGIC + key + hashlib.sha256(content).digest() + content)
        aside.chmod(0o600)
    _bounded(place)


def _bounded(kept: Path) -> None:
    """Removes what was used longest ago, until the rest is small enough; never what was `kept` just now."""
    entries = []
    for path in kept.parent.iterdir():
        with suppress(OSError):  # another process was first
            if not path.is_dir():
                entries.append((path != kept, path.lstat(), path))
    size = 0
    for old, found, path in sorted(entries, key=lambda entry: (entry[0], -entry[1].st_mtime)):
        size += found.st_size
        if old and size > MOST_BYTES:
            path.unlink(missing_ok=True)
