"""C-STORE in: an application entity that listens, takes scans from who may send, and answers C-ECHO.

Scans of kinds that can be read are kept, in encodings that can be read, so that a sender decodes others
itself. Objects of other kinds (reports, our own SEG that a PACS routes to everybody) are taken and not kept:
refusing them would make some senders send the whole study again, without end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, MutableMapping
from io import BytesIO
from typing import Any
from weakref import WeakKeyDictionary

from pydicom.filereader import read_dataset
from pydicom.tag import Tag
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.dsutils import encode_file_meta
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from ..data.scans.dicom.header import MULTIFRAME, SINGLE
from ..disk import reason
from ..errors import UserError
from ..names import quoted
from .arriving import Arrival, Arrivals, TooLarge
from .spool import shown

ENCODINGS = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    JPEG2000,
    JPEGLSNearLossless,
    JPEGBaseline8Bit,
)
SCANS = SINGLE.keys() | MULTIFRAME.keys()
_STUDY = 0x0020000D
_TAKEN, _NO_ROOM, _NOT_UNDERSTOOD = 0x0000, 0xA700, 0xC000  # PS3.4 B.2.3
_MOST_BYTES = 2**31  # of one object: it is in memory until it is kept
_MOST_ASSOCIATIONS = 10
_PATIENCE_S = 10.0  # for those who are still sending when we stop
_LOOKS_S = 0.05


class Receiver:
    """An application entity that listens."""

    def __init__(
        self,
        arrivals: Arrivals,
        *,
        title: str,
        host: str,
        port: int,
        allowed: Iterable[str],
        say: Callable[[str], object],
    ) -> None:
        self._arrivals, self._say = arrivals, say
        self._of: MutableMapping[Any, Arrival] = WeakKeyDictionary()  # by association
        self._sent_bytes: MutableMapping[Any, int] = WeakKeyDictionary()  # since its last object
        self._entity = _entity(title, allowed)
        handlers: list[Any] = [
            (evt.EVT_ACCEPTED, self._accepted),
            (evt.EVT_REJECTED, self._rejected),
            (evt.EVT_DATA_RECV, self._received),
            (evt.EVT_C_STORE, self._stored),
            (evt.EVT_RELEASED, self._released),
            (evt.EVT_ABORTED, self._aborted),
            (evt.EVT_CONN_CLOSE, self._closed),
        ]
        try:
            self._server = self._entity.start_server((host, port), block=False, evt_handlers=handlers)
        except (OSError, OverflowError) as error:
            told = getattr(error, "strerror", None) or str(error)
            raise UserError(
                f"nothing can listen on {host}:{port} ({told})", "name another by --port and --host"
            ) from None

    def close(self) -> None:
        """Nobody new is let in; who is sending may finish, for a while."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
        until = time.monotonic() + _PATIENCE_S
        while self._entity.active_associations and time.monotonic() < until:
            time.sleep(_LOOKS_S)
        self._entity.shutdown()

    def _accepted(self, event: Any) -> None:
        self._of[event.assoc] = self._arrivals.begin()

    def _rejected(self, event: Any) -> None:
        asked = event.assoc.requestor
        many = len(self._entity.active_associations) >= _MOST_ASSOCIATIONS
        why = f": there are {_MOST_ASSOCIATIONS} already, and it may come again" if many else ""
        self._say(f"refused an association from {quoted(str(asked.ae_title))} at {asked.address}{why}")

    def _received(self, event: Any) -> None:
        """An object without end is not waited for."""
        count = self._sent_bytes[event.assoc] = self._sent_bytes.get(event.assoc, 0) + len(event.data)
        if count > min(_MOST_BYTES, self._arrivals.most_bytes):
            self._sent_bytes[event.assoc] = 0
            self._say(f"cut an association: it sent an object larger than {count / 1e9:.1f} GB")
            event.assoc.abort()

    def _stored(self, event: Any) -> int:
        self._sent_bytes[event.assoc] = 0
        arrival = self._of.get(event.assoc)
        if arrival is None:
            return _NO_ROOM
        if str(event.request.AffectedSOPClassUID) not in SCANS:
            return _TAKEN
        try:
            content = event.request.DataSet.getbuffer()
            instance = str(event.request.AffectedSOPInstanceUID)
            study = _study_of(event.request.DataSet, UID(event.context.transfer_syntax))
            self._arrivals.keep(arrival, study, instance, [_head(event), content])
        except TooLarge:
            return _NO_ROOM
        except OSError as error:
            arrival.failed = True
            self._say(f"an image could not be kept ({error.strerror}): whoever sent it was told so")
            return _NO_ROOM if reason(error) is not None else _NOT_UNDERSTOOD
        except Exception:  # whatever pydicom meets in it
            arrival.failed = True
            return _NOT_UNDERSTOOD
        return _TAKEN

    def _released(self, event: Any) -> None:
        self._end(event, whole=True)
        self._tell(event, "")

    def _aborted(self, event: Any) -> None:
        self._end(event, whole=False)
        self._tell(event, ", and the association was cut: the study waits for the rest")

    def _closed(self, event: Any) -> None:
        self._end(event, whole=False)

    def _end(self, event: Any, *, whole: bool) -> None:
        if (arrival := self._of.get(event.assoc)) is not None:
            self._arrivals.end(arrival, whole=whole)

    def _tell(self, event: Any, what: str) -> None:
        if (arrival := self._of.pop(event.assoc, None)) is None:
            return
        for key, count in arrival.studies.items():
            failed = ", some could not be kept: the study waits for them" if arrival.failed else ""
            sender = event.assoc.requestor.ae_title
            self._say(f"{shown(key)}: {count} images came from {sender}{what}{failed}")


def _head(event: Any) -> bytes:
    """What stands before the object in a file."""
    return b"\x00" * 128 + b"DICM" + encode_file_meta(event.file_meta)


def _study_of(stream: BytesIO, encoding: UID) -> str:
    """The UID of an object's study; raises ValueError where it has none."""
    stream.seek(0)
    read = read_dataset(
        stream,
        encoding.is_implicit_VR,
        encoding.is_little_endian,
        stop_when=lambda tag, vr, length: tag > _STUDY,
        specific_tags=[Tag(_STUDY)],
    )
    found = str(read.get("StudyInstanceUID", "") or "").strip()
    if not found:
        raise ValueError
    return found


def _entity(title: str, allowed: Iterable[str]) -> AE:
    entity = AE(title)
    entity.add_supported_context(Verification)
    for context in AllStoragePresentationContexts:
        entity.add_supported_context(str(context.abstract_syntax), list(ENCODINGS))
    entity.require_called_aet = True
    entity.require_calling_aet = list(allowed)
    entity.maximum_associations = _MOST_ASSOCIATIONS
    return entity
