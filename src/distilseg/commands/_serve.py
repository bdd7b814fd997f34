"""`distilseg serve`: an artefact beside the PACS; studies come in, DICOM SEG goes back. No torch."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import json
import logging
import re
import signal
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ..data.formats.dicom import DicomOptions, cases_of
from ..errors import UserError
from ..installing import from_wheel
from ..names import quoted
from ..runtime.artefact import open_artefact
from ..runtime.seg import seg_writer

if TYPE_CHECKING:
    from ..serving.archive import Archive
    from ..serving.arriving import Arrivals
    from ..serving.predicting import Predictions
    from ..serving.sending import Sender

_PACKAGES = ("pynetdicom", "dicomweb_client")
_TALKATIVE = ("pynetdicom", "pydicom", "dicomweb_client", "highdicom", "urllib3")
TITLE = "DISTILSEG"


def serve(
    artefact: Path | str,
    *,
    ae: str | None = None,
    port: int = 11112,
    host: str = "127.0.0.1",
    allow: Sequence[str] = (),
    send_to: str | None = None,
    peers: Path | str | None = None,
    dicomweb: str | None = None,
    study: str | None = None,
    days: int = 1,
    look_s: float = 30.0,
    spool: Path | str = "distilseg-spool",
    quiet_s: float = 10.0,
    most_gb: float = 8.0,
    keep_hours: float = 72.0,
    limit_minutes: float = 60.0,
    health_s: float = 300.0,
    once: bool = False,
    series: Sequence[str] = (),
    dicom_tilt: str = "refuse",
    seg: str = "binary",
    codes: Path | str | None = None,
    device: str = "auto",
    threads: int = 0,
    stop: threading.Event | None = None,
    say: Callable[[str], object] | None = None,
) -> bool:
    """Predicts studies as they come, and sends each one's DICOM SEG back; False where `once` was refused.

    Studies come by C-STORE to the application entity `ae` on `port`, from those whose titles `allow` holds
    (anybody on this machine where it is empty and `host` is this machine alone); or, without `ae`, from the
    DICOMweb archive at `dicomweb`: `study`, or all of the last `days` and today, looked for every `look_s`
    seconds. Answers go by C-STORE to `send_to` ("HOST:PORT:AETITLE", or a name in the JSON file `peers`),
    else by STOW-RS to `dicomweb`.

    A study is predicted when its associations were released and nothing came for `quiet_s` seconds. All lies
    in the folder `spool`, for its owner alone, so a service that was killed goes on where it was. Studies
    larger than `most_gb` are refused, and so is one whose prediction takes longer than `limit_minutes`, or
    ends its process, three times. Images of studies that ended are removed after `keep_hours`.
    `series`, `dicom_tilt`, `seg`, `codes`, `device`, `threads` are as of `predict`. With `once`, or for one
    `study`, it ends when one is done; else at SIGTERM, SIGINT, or when `stop` is set.

    Raises `UserError`, before anything listens, for what cannot work.
    """
    if absent := [name for name in _PACKAGES if find_spec(name) is None]:
        raise UserError(f"serve needs {absent[0]}, which is not installed", from_wheel("runtime,pacs"))
    from ..serving import spool as spooling
    from ..serving.archive import Archive
    from ..serving.arriving import Arrivals
    from ..serving.health import Health
    from ..serving.health import say as say_with_time
    from ..serving.predicting import Predictions
    from ..serving.receiving import Receiver
    from ..serving.service import Service, Settings
    from ..serving.spool import key_of

    say = say or say_with_time
    _check_numbers(
        {
            "--quiet-seconds": quiet_s,
            "--most-gb": most_gb,
            "--keep-hours": keep_hours,
            "--limit-minutes": limit_minutes,
            "--health-seconds": health_s,
            "--look-seconds": look_s,
            "--days": days,
        }
    )
    allowed = _let_in(ae, port, host, allow, study)
    if study is not None and not re.fullmatch(r"[0-9.]{1,64}", study):
        raise UserError(f"--study {quoted(study)} is no UID", "write it as 1.2.840.4711")
    archive = None if dicomweb is None else Archive(dicomweb)
    sender = _sender(ae, send_to, peers, archive)
    predictions = Predictions(
        Path(artefact),
        seg,
        None if codes is None else Path(codes),
        tuple(series),
        dicom_tilt,
        threads,
        device,
        limit_minutes * 60,
    )
    cautions = _check_model(predictions)
    with _quiet_libraries(), _stopping(stop) as stopped, spooling.opened(Path(spool)) as spooled:
        arrivals = Arrivals(spooled, quiet_s=quiet_s, most_bytes=most_gb * 1e9)
        settings = Settings(_model(predictions), keep_hours * 3600, once, key_of(study) if study else None)
        health = Health(spooled, every_s=health_s, said=say)
        _check_taken(sender, seg, say)
        with contextlib.ExitStack() as open_ones:
            if ae is not None:
                receiver = Receiver(arrivals, title=ae, host=host, port=port, allowed=allowed, say=say)
                open_ones.callback(receiver.close)
                say(
                    f"listening: {ae} on {host}:{port}, for {', '.join(allowed) or 'anybody on this machine'}"
                )
            elif archive is not None and study is not None:
                _fetch(archive, study, arrivals)
            elif archive is not None:
                open_ones.enter_context(_looking(archive, arrivals, say, days, look_s))
                say(f"looking into {archive}: studies of today and {days} days before")
            for line in cautions:
                say(line)
            say(f"answers go to {sender}; the spool is {spooled.folder}")
            service = Service(spooled, arrivals, predictions, sender, settings, health, say)
            answered = service.run(stopped)
        say("stopped; what is left is gone on with at the next start")
        return answered


def _check_numbers(given: Mapping[str, float]) -> None:
    for option, value in given.items():
        least = 0 if option in ("--quiet-seconds", "--keep-hours", "--days") else 1e-6
        if not least <= value < 1e7:
            raise UserError(f"{option} {value:g} makes no sense", "give a number above 0")


def _let_in(ae: str | None, port: int, host: str, allow: Sequence[str], study: str | None) -> tuple[str, ...]:
    """The titles that may open an association; raises `UserError`."""
    from ..serving import peers

    if ae is None:
        if allow:
            raise UserError("--allow is for who sends by C-STORE", "add --ae, or leave it out")
        return ()
    peers.title(ae, "--ae")
    peers.port(port, "--port")
    if study is not None:
        raise UserError("--study is fetched by DICOMweb, --ae waits for C-STORE", "leave out one of them")
    titles = tuple(peers.title(one, "--allow") for one in allow)
    if not titles and not _is_this_machine(host):
        raise UserError(
            f"--host {host} lets others than this machine in",
            "name who may send by --allow AETITLE, once for each",
        )
    return titles


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _sender(ae: str | None, send_to: str | None, known: Path | str | None, archive: Archive | None) -> Sender:
    from ..serving.peers import peer
    from ..serving.sending import StoreSender

    if ae is None and archive is None:
        raise UserError(
            "nothing says where studies come from",
            "--ae NAME --port 11112 waits for C-STORE, --dicomweb URL looks into an archive",
        )
    if known is not None and send_to is None:
        raise UserError("--peers names who --send-to may mean", "add --send-to NAME, or leave it out")
    if send_to is not None:
        if ae is not None and archive is not None:
            raise UserError("answers go to --send-to or to --dicomweb", "leave out one of them")
        return StoreSender(peer(send_to, None if known is None else Path(known)), ae or TITLE)
    if archive is None:
        raise UserError("nothing says where answers go", "add --send-to HOST:PORT:AETITLE, or --dicomweb URL")
    return archive


def _check_model(predictions: Predictions) -> list[str]:
    """What is to be said of its answers; raises `UserError` where studies could not be predicted so."""
    opened = open_artefact(predictions.artefact)
    if opened.about.engine == "torch":
        raise UserError(f"{opened.path} was exported for torch", "export it --to onnx or openvino")
    cautions: list[str] = []
    seg_writer([opened], opened.plan, predictions.kind, predictions.codes, cautions.append)
    with tempfile.TemporaryDirectory() as nothing:  # rules are looked at before studies
        cases_of(Path(nothing), opened.plan.modalities, DicomOptions(predictions.series, predictions.tilt))
    predictions.check()
    return cautions


def _model(predictions: Predictions) -> str:
    """A digest of all that an answer depends on."""
    told = {"artefact": open_artefact(predictions.artefact).sha256, **predictions.told()}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _check_taken(sender: Sender, kind: str, say: Callable[[str], object]) -> None:
    """Raises `UserError` where answers would not be taken; nobody there now is only said."""
    from ..serving.sending import NotReached, NotTaken

    try:
        if sender.takes(kind):
            return
    except (NotReached, NotTaken) as error:
        say(f"CAUTION: {sender} is not reached now ({error}); answers wait until it is")
        return
    fix = "leave out --seg labelmap" if kind == "labelmap" else "let it store DICOM SEG"
    raise UserError(f"{sender} does not accept SEG of the kind {kind}", fix)


def _fetch(archive: Archive, study: str, arrivals: Arrivals) -> None:
    """One study, now; raises `UserError`."""
    from ..serving.arriving import TooLarge
    from ..serving.sending import NotReached, NotTaken

    try:
        came = archive.fetch(study, arrivals)
    except TooLarge:
        return  # which is what it is refused for
    except (NotReached, NotTaken) as error:
        raise UserError(f"{archive}: the study was not fetched: {error}", "is it there? try again") from None
    if not came:
        raise UserError(f"{archive} holds no CT, MR or PET of this study", "correct --study")


@contextlib.contextmanager
def _looking(
    archive: Archive, arrivals: Arrivals, say: Callable[[str], object], days: int, every_s: float
) -> Iterator[None]:
    from ..serving.looking import Looking

    stop = threading.Event()
    looking = Looking(archive, arrivals, say, days, every_s)
    thread = threading.Thread(target=looking.run, args=(stop,), name="looking", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)


@contextlib.contextmanager
def _stopping(stop: threading.Event | None) -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set; a second of them ends the process at once."""
    stopped = stop or threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def end(number: int, frame: object) -> None:
        stopped.set()
        signal.signal(number, signal.SIG_DFL)

    for number in before:
        signal.signal(number, end)
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _quiet_libraries() -> Iterator[None]:
    """What libraries warn of may hold what is in an image."""
    loggers, silent = [logging.getLogger(name) for name in _TALKATIVE], logging.NullHandler()
    before = [logger.propagate for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.addHandler(silent)
            logger.propagate = False
        try:
            yield
        finally:
            for logger, propagate in zip(loggers, before, strict=True):
                logger.removeHandler(silent)
                logger.propagate = propagate
