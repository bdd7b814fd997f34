"""C-STORE back: an answer is sent again and again until whoever it is for has taken it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association

from .peers import Peer

SEGMENTATION = {
    "binary": "1.2.840.10008.5.1.4.1.1.66.4",
    "labelmap": "1.2.840.10008.5.1.4.1.1.66.7",
}
FIRST_S, MOST_S = 5.0, 600.0  # between attempts: twice as long each time, and no longer
_TIMEOUT_S = 30.0
_WARNINGS = (0xB000, 0xB006, 0xB007)  # it is stored nevertheless, PS3.4 B.2.3


class NotReached(Exception):
    """Nobody takes anything there now; why, without a word from an answer."""


class NotTaken(Exception):
    """This one was not taken; why."""


class Sender(Protocol):
    """Where answers go."""

    def send(self, answer: Path) -> None:
        """Sends one; raises `NotReached`, `NotTaken`."""

    def takes(self, kind: str) -> bool:
        """Whether a SEG of this kind would be taken; raises `NotReached`."""


@dataclass(frozen=True)
class StoreSender:
    """An application entity that takes answers by C-STORE."""

    peer: Peer
    title: str  # ours

    def __str__(self) -> str:
        return str(self.peer)

    def takes(self, kind: str) -> bool:
        """Whether it accepts such objects in an association."""
        with _association(self, SEGMENTATION[kind]) as association:
            return bool(association.accepted_contexts)

    def send(self, answer: Path) -> None:
        """Sends it; the same one twice is the same object to whoever takes it."""
        dataset = dcmread(answer)
        with _association(self, str(dataset.SOPClassUID)) as association:
            if not association.accepted_contexts:
                raise NotTaken("it does not accept such objects; leave out --seg labelmap")
            status = association.send_c_store(dataset).get("Status")
        if status is None:
            raise NotReached("the connection was lost")
        if status != 0 and status not in _WARNINGS:
            raise NotTaken(f"it answers {status:04X}")


@contextmanager
def _association(sender: StoreSender, kind: str) -> Iterator[Association]:
    """An association for one kind of object, which may not be accepted; raises `NotReached`."""
    entity, peer = AE(sender.title), sender.peer
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = _TIMEOUT_S
    entity.connection_timeout = _TIMEOUT_S
    entity.add_requested_context(kind, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    try:
        association = entity.associate(peer.host, peer.port, ae_title=peer.title)
    except (OSError, RuntimeError) as error:
        raise NotReached(type(error).__name__) from None
    if association.is_rejected:
        raise NotReached(f"{peer.title} lets no {sender.title} in")
    if not association.is_established and not association.rejected_contexts:
        raise NotReached(f"{peer} does not answer")
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


@dataclass
class _Wait:
    """Until when, and how long the next time."""

    until_s: float = 0.0
    next_s: float = FIRST_S

    def longer(self, now_s: float) -> float:
        wait_s, self.next_s = self.next_s, min(2 * self.next_s, MOST_S)
        self.until_s = now_s + wait_s
        return wait_s


@dataclass
class Post:
    """Answers on their way: one at a time, in a thread of its own, so that predictions go on meanwhile."""

    sender: Sender
    said: Callable[[str, str], object]  # key, what became of it
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "sending"))
    _now: tuple[str, Future[None]] | None = None
    _of_all: _Wait = field(default_factory=_Wait)
    _of_one: dict[str, _Wait] = field(default_factory=dict)
    reached: bool = True

    def busy(self) -> str | None:
        """Which study's answer is on its way."""
        return self._now[0] if self._now else None

    def begin(self, key: str, answer: Path, now_s: float) -> bool:
        """Sends the answer, if nothing is on its way and its time has come."""
        wait = self._of_one.get(key, _Wait())
        if self._now is not None or now_s < max(wait.until_s, self._of_all.until_s):
            return False
        self._now = key, self._thread.submit(self.sender.send, answer)
        return True

    def taken(self, now_s: float) -> str | None:
        """The study whose answer was just taken; one that was not waits."""
        if self._now is None or not self._now[1].done():
            return None
        (key, sending), self._now = self._now, None
        try:
            sending.result()
        except NotReached as error:
            self.reached = False
            self.said(key, f"not sent ({error}); again in {self._of_all.longer(now_s):.0f} s")
            return None
        except Exception as error:
            wait = self._of_one.setdefault(key, _Wait())
            why = str(error) if isinstance(error, NotTaken) else type(error).__name__
            self.said(key, f"not taken ({why}); again in {wait.longer(now_s):.0f} s")
            return None
        self.reached, self._of_all = True, _Wait()
        self._of_one.pop(key, None)
        return key

    def close(self) -> None:
        """What is on its way is waited for; whether it was taken, `taken` says."""
        self._thread.shutdown(wait=True)
