"""The files of a model that somebody made: in a folder, or in a zip of it that is never unpacked."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..names import quoted
from ..runtime.artefact import check_members

_MOST_FILES = 20_000
_STRANGE = "no tool makes such a zip: get it again from whom you trust"
_AGAIN = "copy or download it again"


@dataclass(frozen=True, eq=False)
class Files:
    """Files by their names, with / between folders, below the top of a model."""

    path: Path  # the folder or the zip
    names: Sequence[str]  # sorted
    _read: Callable[[str], bytes]

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def read(self, name: str) -> bytes:
        """A file whole; raises `UserError` where it is none of `names`, or cannot be read."""
        if name not in self.names:
            raise UserError(f"{self.path} holds no file {quoted(name)}", _AGAIN)
        return self._read(name)

    def below(self, top: str) -> Files:
        """The same files as seen from the folder `top`, with / at its end; "" is all of them."""
        if not top:
            return self
        inside = [name[len(top) :] for name in self.names if name.startswith(top)]
        return Files(self.path, inside, lambda name: self._read(top + name))


def open_files(path: Path) -> Files:
    """The files of a folder or a zip. Raises `UserError` for a zip that leads out of itself, says that it
    holds a hundred times what it has, or is not whole."""
    return _of_folder(path) if path.is_dir() else _of_zip(path)


def _of_folder(path: Path) -> Files:
    names: list[str] = []
    for folder, _, files in os.walk(path):
        below = Path(folder).relative_to(path)
        names += [(below / file).as_posix() for file in files]
        if len(names) > _MOST_FILES:
            raise UserError(f"{path} holds more than {_MOST_FILES:,} files", "name the model's own folder")

    def read(name: str) -> bytes:
        try:
            return (path / name).read_bytes()
        except OSError as error:
            raise UserError(f"{path / name} cannot be read ({error.strerror})", _AGAIN) from None

    return Files(path, sorted(names), read)


def _of_zip(path: Path) -> Files:
    try:
        with zipfile.ZipFile(path) as packed:
            check_members(path, packed, _STRANGE)
            names = sorted({member.filename for member in packed.infolist() if not member.is_dir()})
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError) as error:
        raise UserError(f"{path} is no whole zip ({error})", _AGAIN) from None

    def read(name: str) -> bytes:
        try:
            with zipfile.ZipFile(path) as packed, packed.open(name) as member:
                return member.read(
                    packed.getinfo(name).file_size
                )  # read() alone would unpack what is not declared
        except (zipfile.BadZipFile, OSError, EOFError, KeyError, ValueError) as error:
            raise UserError(f"{name} in {path} cannot be read ({error})", _AGAIN) from None

    return Files(path, names, read)
