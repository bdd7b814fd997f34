"""A PACS of a few lines: it takes what is stored, and sends series; and waiting for what others do."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydicom import Dataset
from pynetdicom import AE, evt

from distilseg.serving.peers import Peer
from distilseg.serving.sending import SEGMENTATION

from ..data.scans.dicom.writing import oblique, series

SLOPE = 1 / 1024  # exact
TYPED = "for Planted-Typed"  # by somebody at the scanner
MR = "1.2.840.10008.5.1.4.1.1.4"


def study(seed: int = 0, **tags: Any) -> list[Dataset]:
    """A series of a study of its own, oblique, its values from 0 to 1."""
    drawn = np.random.default_rng(seed).random((14, 11, 9))
    affine = oblique((1, 2, 3), seed)
    return series(
        np.round(drawn / SLOPE) * SLOPE, affine, slopes=[SLOPE] * 9, **{"description": TYPED} | tags
    )


def uid_of(images: Sequence[Dataset]) -> str:
    return str(images[0].StudyInstanceUID)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def until(true: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """Waits until something is true, and returns it."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.02)
    return found


@dataclass
class Pacs:
    """Takes SEG, by C-STORE."""

    port: int = field(default_factory=free_port)
    taken: list[Dataset] = field(default_factory=list)
    status: int = 0
    kinds: Sequence[str] = (SEGMENTATION["binary"],)

    @property
    def peer(self) -> Peer:
        return Peer("127.0.0.1", self.port, "PACS")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}:PACS"

    @property
    def answers(self) -> set[str]:
        """The UIDs of all that it took."""
        return {str(one.SOPInstanceUID) for one in self.taken}

    @contextmanager
    def open(self) -> Iterator[Pacs]:
        entity = AE("PACS")
        for kind in self.kinds:
            entity.add_supported_context(kind)
        handlers: list[Any] = [(evt.EVT_C_STORE, self._store)]
        server = entity.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        assert server is not None
        try:
            yield self
        finally:
            server.shutdown()
            entity.shutdown()

    def _store(self, event: Any) -> int:
        if not self.status:
            dataset = event.dataset
            dataset.file_meta = event.file_meta
            self.taken.append(dataset)
        return self.status


@contextmanager
def association(
    port: int, *, kinds: Sequence[str] = (MR,), us: str = "PACS", them: str = "DISTILSEG"
) -> Iterator[Any]:
    """An association with a service, released at the end if it is still there."""
    entity = AE(us)
    for kind in kinds:
        entity.add_requested_context(kind)
    opened = entity.associate("127.0.0.1", port, ae_title=them)
    try:
        yield opened
    finally:
        if opened.is_established:
            opened.release()


def send(images: Sequence[Dataset], port: int, *, cut_after: int | None = None, us: str = "PACS") -> set[int]:
    """Stores images in one association, cut after so many; the statuses that came back."""
    with association(port, kinds=sorted({str(one.SOPClassUID) for one in images}), us=us) as opened:
        assert opened.is_established
        statuses = {int(opened.send_c_store(one).Status) for one in images[:cut_after]}
        if cut_after is not None:
            opened.abort()
    return statuses
