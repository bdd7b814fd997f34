"""Text from a file as a part of a path: `component` lets it through, or refuses it in one line.

Cases, datasets, runs, students, modalities and the files of an artefact are called as somebody's table, JSON
or folder says, and some of them become files and folders of ours. What is let through is what every file
system takes as one name, and every reader and shell as that name and nothing else:

    not empty, "." or ".."; no / \\ : * ? " < > |   or it leads elsewhere, or is a pattern or a drive
    no . ahead                                     hidden: readers pass it over, unfinished files lie there
    no - or ~ ahead                                shells take it for an option, or for somebody's home
    no . behind, no space ahead or behind          Windows drops them, and two names become one
    no control and no invisible characters         line breaks, escape sequences, marks of direction
    not CON, NUL, COM1, ..., whatever comes after  devices of Windows
    at most 200 bytes with its ending              255 is what there is; what lies beside it needs some

Two names must not differ by case, by how their letters are composed, or by ending alone: `identity` is what
they then share. Standard library only.

A *path* in a file is another thing: where a table or a dataset.json says that an image lies, or a fused run
that its members do. It may lead anywhere, because what lies there is only read, and only as a scan or a run;
nothing is ever written to it, and the name of a case that is made from it goes through here.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from .errors import UserError

MOST_BYTES = 200
_SHOWN = 60  # characters of a name in a message
_RESERVED = '/\\:*?"<>|'
# Unicode's categories: controls, marks of format, what in a file's name is no UTF-8, ends of lines.
_INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\..*)?", re.IGNORECASE)


def component(name: str, ending: str = "", *, kind: str) -> str:
    """`name` with its `ending` as one part of a path; raises UserError for what could be anything else.

    `kind` is what has the name, for the message: "case", "dataset", "modality".
    """
    if wrong := _wrong(name, ending):
        raise UserError(
            f"the {kind} name {quoted(name)} is no name for a file: {wrong}",
            "give it another, such as one of letters, digits, - and _",
        )
    return name + ending


def _wrong(name: str, ending: str) -> str:
    """Why `name` is no part of a path; "" if it is one."""
    reserved = next((letter for letter in name if letter in _RESERVED), "")
    hidden = next((letter for letter in name if unicodedata.category(letter) in _INVISIBLE), "")
    if not name:
        return "it is empty"
    if reserved:
        return f"it holds {reserved}"
    if hidden:
        return f"it holds the invisible character U+{ord(hidden):04X}"
    if name[0] in ".-~":
        return f"it begins with {name[0]}"
    if name.endswith("."):
        return "it ends with a dot"
    if name != name.strip():
        return "it begins or ends with a space"
    if _DEVICE.fullmatch(name):
        return "it is a device of Windows"
    size = len((name + ending).encode())
    if size > MOST_BYTES:
        return f"it has {size} bytes{' with its ending' * bool(ending)}, at most {MOST_BYTES} are taken"
    return ""


def identity(name: str, endings: Sequence[str] = ()) -> str:
    """What two names share that some file system, or a reader that drops `endings`, takes for one."""
    decomposed = unicodedata.normalize("NFD", name)
    folded = unicodedata.normalize("NFC", decomposed.casefold())
    while ending := next((known for known in endings if folded.endswith(known)), ""):
        folded = folded.removesuffix(ending)
    return folded


def check_distinct(named: Iterable[tuple[str, object]], *, kind: str, endings: Sequence[str] = ()) -> None:
    """Raises UserError for the first two names that are one; `named`: each name, and where it stands."""
    first: dict[str, tuple[str, object]] = {}
    for name, place in named:
        own = identity(name, endings)
        if own in first:
            raise twins(kind, first[own], (name, place))
        first[own] = name, place


def twins(kind: str, one: tuple[str, object], other: tuple[str, object]) -> UserError:
    """The refusal of two names that are one, each with where it stands."""
    places = [printable(place) for _, place in (one, other)]
    if one[0] == other[0]:
        cause = f"the {kind} name {quoted(one[0])} stands twice, for {places[0]} and {places[1]}"
    else:
        both = [f"{quoted(name)} ({place})" for (name, _), place in zip((one, other), places, strict=True)]
        cause = f"the {kind} names {' and '.join(both)} differ by case or ending alone"
    return UserError(cause, "give each a name of its own")


def quoted(name: str) -> str:
    """A name for a message: in quotation marks, nothing in it that a terminal obeys, and not too long."""
    return repr(name if len(name) <= _SHOWN else name[: _SHOWN - 3] + "...")


def plain(name: str) -> str:
    """A name without case and punctuation: what people who write one thing share."""
    return " ".join(re.split(r"[\W_]+", name.casefold())).strip()


def pasted(*words: object) -> str:
    """A command line to be pasted into a shell: words quoted, and no path an option that begins with -."""
    led = [f"./{word}" if isinstance(word, Path) and str(word)[0] == "-" else str(word) for word in words]
    return shlex.join(led)


def printable(text: object) -> str:
    """Text for a terminal: what is no sign, space, line break or tabulator is written out, such as \\x1b."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else repr(letter)[1:-1] for letter in str(text)
    )
