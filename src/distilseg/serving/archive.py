"""DICOMweb: studies found by QIDO-RS and fetched by WADO-RS, answers stored by STOW-RS.

What goes wrong is told by status codes and types of errors: addresses hold the UIDs of studies.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from dicomweb_client import DICOMwebClient
from pydicom import Dataset, dcmread

from ..data.scans.dicom.header import MULTIFRAME, SINGLE
from ..errors import UserError
from .arriving import Arrivals
from .sending import NotReached, NotTaken
from .spool import key_of

TOKEN, USER, PASSWORD = "DISTILSEG_DICOMWEB_TOKEN", "DISTILSEG_DICOMWEB_USER", "DISTILSEG_DICOMWEB_PASSWORD"
MODALITIES = frozenset({*SINGLE.values(), *MULTIFRAME.values()})
_SCANS = SINGLE.keys() | MULTIFRAME.keys()
_STUDY, _SERIES, _MODALITY = "0020000D", "0020000E", "00080060"
_IN_STUDY, _IN_SERIES = "00201208", "00201209"  # how many instances
_TIMEOUT_S = (30.0, 300.0)  # to connect; between bytes
_PAGE = 100  # studies


@dataclass(frozen=True)
class Series:
    """One that may be fetched."""

    uid: str
    images: int | None  # None: the archive does not count


@dataclass(frozen=True)
class Archive:
    """A PACS that speaks DICOMweb; credentials come from the environment, not from the command line."""

    url: str

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(
                f"--dicomweb {self.url!r} is no address", "such as http://localhost:8042/dicom-web"
            )
        if parts.username or parts.password:
            raise UserError(
                "--dicomweb holds a password, which everybody on this machine could read",
                f"leave it out, and set {USER} and {PASSWORD}, or {TOKEN}",
            )

    def __str__(self) -> str:
        return self.url

    def takes(self, kind: str) -> bool:
        """An archive is not asked which kinds it takes, but whether it is there; raises `NotReached`."""
        with _reaching():
            self._client.search_for_studies(limit=1)
        return True

    def studies(self, first: date, last: date) -> dict[str, int | None]:
        """The studies of these days with scans of ours: UID -> images in it, where the archive counts them.

        Raises `NotReached`.
        """
        found: dict[str, int | None] = {}
        days = f"{first:%Y%m%d}-{last:%Y%m%d}"
        for modality in sorted(MODALITIES):
            filters = {"StudyDate": days, "ModalitiesInStudy": modality}
            offset = 0
            while True:
                with _reaching():
                    page = self._client.search_for_studies(
                        search_filters=filters, fields=[_IN_STUDY], limit=_PAGE, offset=offset
                    )
                new = {str(_value(one, _STUDY)): _count(one, _IN_STUDY) for one in page}
                if not new.keys() - found.keys():  # the end, or an archive that knows no pages
                    break
                found |= new
                offset += len(page)
        found.pop("None", None)
        return found

    def series(self, study: str) -> list[Series]:
        """The series of a study that may be scans; raises `NotReached`."""
        with _reaching():
            listed = self._client.search_for_series(study, fields=[_IN_SERIES])
        return [
            Series(str(_value(one, _SERIES)), _count(one, _IN_SERIES))
            for one in listed
            if _value(one, _MODALITY) in MODALITIES
        ]

    def fetch(self, study: str, arrivals: Arrivals) -> int:
        """Brings a study's scans to the spool, as an association would; how many images came.

        It arrives whole if each series has as many as the archive says. Raises `NotReached`, `TooLarge`,
        OSError.
        """
        arrival, whole = arrivals.begin(), False
        try:
            listed = self.series(study)
            for one in listed:
                came = 0
                for image in self._images(study, one.uid):
                    came += 1
                    if str(image.SOPClassUID) in _SCANS:
                        arrivals.keep(arrival, study, str(image.SOPInstanceUID), [_file(image)])
                if one.images is not None and came < one.images:
                    raise NotReached(f"{came} of {one.images} images of a series came")
            whole = True
        finally:
            arrivals.end(arrival, whole=whole)
        return arrival.studies.get(key_of(study), 0)

    def send(self, answer: Path) -> None:
        """Stores an answer; raises `NotReached`, `NotTaken`."""
        dataset = dcmread(answer)
        with _reaching():
            said = self._client.store_instances([dataset])
        if failed := said.get("FailedSOPSequence"):
            raise NotTaken(f"it answers {int(failed[0].get('FailureReason', 0)):04X}")

    def _images(self, study: str, series: str) -> Iterator[Dataset]:
        """As they are stored there, one by one."""
        with _reaching():
            yield from self._client.iter_series(study, series, media_types=(("application/dicom", "*"),))

    @cached_property
    def _client(self) -> DICOMwebClient:
        session, headers = requests.Session(), {}
        if token := os.environ.get(TOKEN):
            headers["Authorization"] = f"Bearer {token}"
        elif user := os.environ.get(USER):
            session.auth = (user, os.environ.get(PASSWORD, ""))
        client = DICOMwebClient(self.url, session=session, headers=headers, timeout=_TIMEOUT_S)
        client.set_http_retry_params(retry=False)  # we come again ourselves
        return client


@contextmanager
def _reaching() -> Iterator[None]:
    try:
        yield
    except requests.HTTPError as error:
        code = error.response.status_code if error.response is not None else 0
        if code in (400, 409, 415, 422):
            raise NotTaken(f"it answers HTTP {code}") from None
        raise NotReached(f"it answers HTTP {code}") from None
    except (requests.RequestException, ValueError) as error:
        raise NotReached(f"no answer ({type(error).__name__})") from None


def _file(image: Dataset) -> bytes:
    written = BytesIO()
    image.save_as(written, enforce_file_format=True)
    return written.getvalue()


def _value(found: Mapping[str, Any], tag: str) -> Any:
    """Of DICOM's JSON."""
    values = found.get(tag, {}).get("Value") or [None]
    return values[0]


def _count(found: Mapping[str, Any], tag: str) -> int | None:
    value = _value(found, tag)
    return int(value) if str(value).isdecimal() else None
