"""Who is spoken to: application entities by title, host and port."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError, unknown
from ..json_files import read_object
from ..names import quoted

_MOST = 16  # characters of a title, PS3.5 6.2
_PORTS = range(1, 65536)


@dataclass(frozen=True)
class Peer:
    """An application entity that listens."""

    host: str
    port: int
    title: str

    def __str__(self) -> str:
        return f"{self.title} at {self.host}:{self.port}"


def title(text: str, option: str) -> str:
    """An application entity's title; raises `UserError` for what DICOM does not take as one."""
    wrong = ""
    if not 0 < len(text) <= _MOST:
        wrong = f"it has {len(text)} characters, 1 to {_MOST} are taken"
    elif not text.isascii() or not text.isprintable() or "\\" in text:
        wrong = "signs of ASCII are taken, but for \\"
    elif text != text.strip():
        wrong = "it begins or ends with a space"
    if wrong:
        raise UserError(f"{option} {quoted(text)} is no AE title: {wrong}", "such as DISTILSEG")
    return text


def port(number: int, option: str) -> int:
    """A port that can be listened on or called; raises `UserError`."""
    if number not in _PORTS:
        raise UserError(f"{option} {number} is no port", "give one from 1 to 65535, such as 11112")
    return number


def peer(text: str, known: Path | None = None) -> Peer:
    """HOST:PORT:AETITLE, or a name in the file `known`: {"PACS": "10.0.0.5:104:ORTHANC"}.

    Raises `UserError`.
    """
    if known is not None:
        named = read_object(known, missing=UserError(f"there is no file of peers {known}", "correct --peers"))
        if text in named:
            if not isinstance(named[text], str):
                raise UserError(f"{known}: {quoted(text)} is no text", 'write it as "HOST:PORT:AETITLE"')
            return _spelled(named[text], f"{known}: {quoted(text)} is")
        if ":" not in text:
            raise unknown("peer", text, named)
    return _spelled(text, "--send-to")


def _spelled(text: str, what: str) -> Peer:
    host, number, name = ("", "", *text.rsplit(":", 2))[-3:]
    if not host or not number.isascii() or not number.isdecimal():
        raise UserError(
            f"{what} {quoted(text)}, HOST:PORT:AETITLE was expected",
            "write it as 10.0.0.5:104:ORTHANC, or name a peer of --peers",
        )
    return Peer(host.strip("[]"), port(int(number[:6]), what), title(name, what))
