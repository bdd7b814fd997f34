"""Studies on disk: what state one is in is which folder it lies in, and every step is a rename.

    SPOOL/arriving/KEY/images/   its images come, each whole; `whole` beside them: all that were sent are here
    SPOOL/received/KEY/          complete; record.json names its images
    SPOOL/predicting/KEY/        its turn; `attempts` counts them
    SPOOL/answered/KEY/          answer.dcm is there, model.txt says by which model
    SPOOL/sent/KEY/              whoever it is for has taken it
    SPOOL/refused/KEY/           reason.txt says why
    SPOOL/status.json            see health.py

KEY is a digest of the study's UID, an image is called by digests of its own UID and of its content: no name
of a patient is one of a file. The spool is for its owner alone (0700), and for one process. A kill at any
moment leaves each study in one of these folders, but for one that grows: see settling.py.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ..claims import claimed
from ..disk import naming, no_link, synced
from ..errors import UserError
from ..files import write_json, write_text
from ..json_files import read_object

ARRIVING = "arriving"
RECEIVED, PREDICTING, ANSWERED, SENT, REFUSED = LATER = (
    "received",
    "predicting",
    "answered",
    "sent",
    "refused",
)
IMAGES, RECORD, ANSWER, ANSWERED_BY = "images", "record.json", "answer.dcm", "model.txt"
REASON, ATTEMPTS, WHOLE = "reason.txt", "attempts", "whole"
PART = ".part"  # of an image that is being written
_GONE = ".gone"  # what is removed is moved there first
_DIGITS = 32
_KEY = re.compile(rf"[0-9a-f]{{{_DIGITS}}}")
_SHOWN = 12  # digits of a key in a line


def key_of(uid: str) -> str:
    """What the study or image with this UID is called: the first 32 digits of its SHA-256."""
    return hashlib.sha256(uid.encode()).hexdigest()[:_DIGITS]


def shown(key: str) -> str:
    """A study in a line of the log."""
    return f"study {key[:_SHOWN]}"


class Spool:
    """The studies of one service."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for state in (ARRIVING, *LATER, _GONE):
            (folder / state).mkdir(mode=0o700, exist_ok=True)
        for left in (folder / _GONE).iterdir():
            shutil.rmtree(left, ignore_errors=True)
        for part in folder.glob(f"{ARRIVING}/*/{IMAGES}/*{PART}"):
            part.unlink()
        for key in self.keys(PREDICTING):  # nobody predicts it any more
            self.move(key, PREDICTING, RECEIVED)

    def place(self, state: str, key: str) -> Path:
        """Where a study lies, or would."""
        return self.folder / state / key

    def keys(self, state: str) -> list[str]:
        """The studies in a state, what changed longest ago first."""
        found = []
        with os.scandir(self.folder / state) as entries:
            for entry in entries:
                if _KEY.fullmatch(entry.name) is None:
                    continue
                with suppress(FileNotFoundError):
                    found.append((entry.stat().st_mtime_ns, entry.name))
        return [key for _, key in sorted(found)]

    def count(self, state: str) -> int:
        """How many studies are in a state."""
        return sum(_KEY.fullmatch(name) is not None for name in os.listdir(self.folder / state))

    def state_of(self, key: str) -> str | None:
        """Where a study is that arrived before; None: nowhere."""
        return next((state for state in LATER if self.place(state, key).is_dir()), None)

    def images(self, state: str, key: str) -> set[str]:
        """The names of a study's images that are here."""
        folder = self.place(state, key) / IMAGES
        return {name for name in os.listdir(folder) if not name.endswith(PART)} if folder.is_dir() else set()

    def recorded(self, state: str, key: str) -> set[str]:
        """The names of the images that it was complete with, those that are gone too."""
        record = self.place(state, key) / RECORD
        return set(read_object(record)["images"]) if record.is_file() else self.images(state, key)

    def record(self, state: str, key: str) -> None:
        """Writes down the names of all its images."""
        write_json(self.place(state, key) / RECORD, {"images": sorted(self.images(state, key))})

    def note(self, state: str, key: str, name: str, text: str) -> None:
        """Writes a file of a study."""
        write_text(self.place(state, key) / name, text + "\n")

    def noted(self, state: str, key: str, name: str) -> str:
        """What such a file says; "" where there is none."""
        with suppress(FileNotFoundError):
            return (self.place(state, key) / name).read_text(encoding="utf-8").strip()
        return ""

    def move(self, key: str, before: str, after: str) -> None:
        """One step of a study: it is in the one state or in the other, whatever happens."""
        source, target = self.place(before, key), self.place(after, key)
        with naming(target):
            os.rename(source, target)
            synced(target.parent)
            synced(source.parent)

    def refuse(self, key: str, state: str, reason: str) -> None:
        """The step to what is refused, with the reason beside its images."""
        self.note(state, key, REASON, reason)
        self.move(key, state, REFUSED)

    def remove(self, state: str, key: str) -> None:
        """All of a study is gone, at once."""
        gone = self.folder / _GONE / f"{key}-{uuid.uuid4().hex}"
        os.rename(self.place(state, key), gone)
        shutil.rmtree(gone, ignore_errors=True)

    def prune(self, keep_s: float, record_s: float) -> int:
        """Removes images and answers of studies that ended so long ago, later their records; of how many."""
        pruned, now = 0, time.time()
        for state in (SENT, REFUSED):
            for key in self.keys(state):
                folder = self.place(state, key)
                with suppress(FileNotFoundError):
                    age_s = now - folder.stat().st_ctime  # that of its last step
                    if age_s > record_s:
                        self.remove(state, key)
                    elif age_s > keep_s and (folder / IMAGES).is_dir():
                        os.rename(folder / IMAGES, self.folder / _GONE / f"{key}-{uuid.uuid4().hex}")
                        (folder / ANSWER).unlink(missing_ok=True)
                        pruned += 1
        for left in (self.folder / _GONE).iterdir():
            shutil.rmtree(left, ignore_errors=True)
        return pruned

    def free_bytes(self) -> int:
        """What its disk has left."""
        return shutil.disk_usage(self.folder).free


@contextmanager
def opened(folder: Path) -> Iterator[Spool]:
    """The spool in `folder`, made where there is none, ours alone meanwhile. Raises `UserError`."""
    no_link(folder)
    with naming(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = folder.stat()
        if hasattr(os, "getuid") and (held.st_uid != os.getuid() or stat.S_IMODE(held.st_mode) & 0o077):
            raise UserError(
                f"the spool {folder} is not yours alone, and holds patients' images",
                "chmod 700 it, or name another folder by --spool",
            )
        strange = _strange(folder)
        if strange:
            raise UserError(f"{folder} is no spool: it holds {strange[0]}", "name an empty folder by --spool")
    with claimed(folder) as ours:
        if not ours:
            raise UserError(f"the spool {folder} is that of a service that runs", "name another by --spool")
        with naming(folder):
            spool = Spool(folder)
        yield spool


def _strange(folder: Path) -> Sequence[str]:
    ours = {ARRIVING, *LATER, "status.json"}
    return sorted(name for name in os.listdir(folder) if not name.startswith(".") and name not in ours)
