"""The user's cache: where it lies, and what is said where it cannot be written.

Nobody names this folder, so a path in it means nothing to whoever reads of it: a refusal says that it is the
cache, and what moves it. Standard library and platformdirs only.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from .disk import reason
from .errors import UserError
from .names import printable

VARIABLE = "XDG_CACHE_HOME"
OPTION = "--cache"


def user_cache() -> Path:
    """The folder that is the user's for what distilseg can make again."""
    if sys.platform == "linux":  # as platformdirs finds it, whose import takes longer than a scan to prepare
        for variable, below in ((VARIABLE, ""), ("HOME", ".cache")):
            if os.path.isabs(named := os.environ.get(variable, "")):
                return Path(named, below, "distilseg")
    import platformdirs

    return Path(platformdirs.user_cache_dir("distilseg"))


@contextlib.contextmanager
def caching_in(folder: Path, option: str = OPTION) -> Iterator[None]:
    """What the system refuses to write within is one line: the cache `folder`, why, and what moves it.

    `option` is that of the command line; "" where a command has none.
    """
    try:
        yield
    except (OSError, UserError) as error:
        number = reason(error)
        if number is None:
            raise
        ways = [way for way in (option, f"the variable {VARIABLE}") if way]
        raise UserError(
            f"the cache {folder} cannot be written: {os.strerror(number)}",
            f"name a folder of yours by {' or '.join(ways)}, or free space there",
        ) from error


@contextlib.contextmanager
def kept_if_possible(what: str, folder: Path) -> Iterator[None]:
    """What only saves time the next time is left out where `folder` cannot be written; a line says so."""
    try:
        with caching_in(folder, option=""):
            yield
    except UserError as error:
        if reason(error) is None:
            raise
        print(printable(f"Caution: {what} is not kept for the next time: {error}"), file=sys.stderr)
