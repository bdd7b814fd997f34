"""Public datasets: fetched once into the user's cache, and found wherever they already are.

A download resumes where it was cut (HTTP Range; `If-Range` with the server's validator, so that a file that
changed meanwhile starts anew), is verified by its checksum, and is unpacked whole or not at all.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import os
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import UserError, unknown
from ..files import folder_written_whole
from ..user_cache import user_cache

Progress = Callable[[int, int], None]  # bytes here, bytes in all (0: unknown)

ATTEMPTS = 5  # without a byte beyond the furthest
PAUSE_S = 1.0  # before the second attempt; doubled before each further one
TIMEOUT_S = 30.0
_CHUNK = 1 << 18
_UNWRITABLE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG),
)


@dataclass(frozen=True)
class Archive:
    """A tar file that holds one dataset folder."""

    url: str
    checksum: str  # hexadecimal MD5 or SHA-256, told apart by length
    folder: str
    most_bytes: int  # of the archive: a server that sends more sends another file


# Address and checksum as in `monai.apps.DecathlonDataset` (MONAI 1.6, `resource` and `md5`).
ARCHIVES = {
    "hippocampus": Archive(
        url="https://msd-for-monai.s3-us-west-2.amazonaws.com/Task04_Hippocampus.tar",
        checksum="9d24dba78a72977dbd1d2e110310f31b",
        folder="Task04_Hippocampus",
        most_bytes=40_000_000,
    )
}


def fetch(
    name: str,
    *,
    to: Path | str | None = None,
    url: str | None = None,
    checksum: str | None = None,
    attempts: int = ATTEMPTS,
    progress: Progress | None = None,
) -> Path:
    """The folder of dataset `name`, downloaded if `to` (else the user's cache) does not hold it yet.

    `url` names a mirror, `checksum` its MD5 or SHA-256 if it differs; it is given up after so many `attempts`
    that bring nothing new. Raises `UserError` where the download
    fails; repeating the call resumes it.
    """
    archive = _archive(name)
    parent = Path(to) if to is not None else cache_folder()
    folder, part = parent / archive.folder, parent / f"{archive.folder}.tar.part"
    for place in (part, _validator(part)):
        if place.is_symlink():  # never written through
            place.unlink()
    if _is_dataset(folder):
        return folder
    url, expected = url or archive.url, (checksum or archive.checksum).lower()
    by_hand = f"or download it by hand and unpack it to {folder}"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        if not part.is_file() or _digest(part, expected) != expected:
            _download_verified(url, part, archive.most_bytes, expected, by_hand, attempts, progress)
        _unpack(part, folder, url)
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        raise UserError(
            f"cannot write to {'the cache ' * (to is None)}{parent}: {error.strerror}",
            "give another folder by --to",
        ) from None
    _forget(part)
    return folder


def find_data(name: str, explicit: Path | str | None = None) -> Path | None:
    """Where dataset `name` is: at `explicit`, $DISTILSEG_DATA, ../shared/data, or in the user's cache.

    Each place may be the dataset's folder or its parent. None if it is nowhere; `UserError` if `explicit` or
    $DISTILSEG_DATA does not exist, or `explicit` holds no dataset.
    """
    folder = _archive(name).folder
    checkout = Path(__file__).resolve().parents[3]
    beside = [Path.cwd(), *([checkout] if (checkout / "pyproject.toml").is_file() else [])]
    environment = os.environ.get("DISTILSEG_DATA")
    for place, source in ((explicit, "--data"), (environment, "$DISTILSEG_DATA")):
        if place and not Path(place).exists():
            raise UserError(
                f"{source} names {place}, which does not exist", "correct the path or leave it out"
            )
    if explicit:
        found = _found(Path(explicit), folder)
        if found is None:
            raise UserError(
                f"{explicit} holds no dataset: neither dataset.json nor the folder {folder} is in it",
                f"give the folder {folder} or its parent",
            )
        return found
    places = [*([Path(environment)] if environment else []), *(b.parent / "shared" / "data" for b in beside)]
    candidates = (_found(place, folder) for place in [*places, cache_folder()])
    # A place that holds another dataset itself, not this one by name, is passed over.
    return next((found for found in candidates if found and found.resolve().name == folder), None)


def cache_folder() -> Path:
    """Where fetched datasets are kept."""
    return user_cache() / "data"


def _archive(name: str) -> Archive:
    if name not in ARCHIVES:
        raise unknown("dataset to fetch", name, ARCHIVES)
    return ARCHIVES[name]


def _is_dataset(folder: Path) -> bool:
    return (folder / "dataset.json").is_file()


def _found(place: Path, folder: str) -> Path | None:
    return next((path for path in (place / folder, place) if _is_dataset(path)), None)


# Downloading: `part` grows, `part` + ".validator" remembers which version of the file it is a piece of.


def _download_verified(
    url: str,
    part: Path,
    most_bytes: int,
    expected: str,
    by_hand: str,
    attempts: int,
    progress: Progress | None,
) -> None:
    """Completes `part`; what was joined from pieces of two versions is downloaded once more."""
    joined = _download(url, part, most_bytes, by_hand, attempts, progress)
    came = _digest(part, expected)
    if came != expected and joined:
        _forget(part)
        _download(url, part, most_bytes, by_hand, attempts, progress)
        came = _digest(part, expected)
    if came != expected:
        _forget(part)
        raise UserError(
            f"{url} has the checksum {came}, expected {expected}",
            f"the file is damaged or another one; repeat the command, {by_hand}",
        )


def _download(
    url: str, part: Path, most_bytes: int, by_hand: str, attempts: int, progress: Progress | None
) -> bool:
    """Completes `part`; returns whether pieces of several requests were joined."""
    joined, failures, reason, furthest = False, 0, "", _size(part)
    while failures < attempts:
        if failures:
            time.sleep(PAUSE_S * 2 ** (failures - 1))
        before = _size(part)
        joined = joined or before > 0
        try:
            if _request(url, part, most_bytes, progress):
                return joined
            reason = "the connection was cut"
        except urllib.error.HTTPError as error:
            reason = f"the server answers {error.code} {error.reason}"
            error.close()
            if error.code < 500 and error.code not in (408, 416, 429):
                raise UserError(
                    f"cannot download {url}: {reason}", f"is the address right? {by_hand}"
                ) from None
            if error.code == 416:  # asked beyond the end: what is here is of another file
                _forget(part)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno in _UNWRITABLE:
                raise
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        except UserError:
            raise
        except ValueError as error:
            raise UserError(f"{url} is no address: {error}", "give one that begins with https://") from None
        # Beyond the furthest so far: a part that is forgotten and sent again is no progress.
        failures = 0 if _size(part) > furthest else failures + 1
        furthest = max(furthest, _size(part))
    raise UserError(
        f"cannot download {url}: {reason} ({_size(part)} bytes are kept)",
        f"check the connection and repeat the command, it resumes; {by_hand}",
    )


def _request(url: str, part: Path, most_bytes: int, progress: Progress | None) -> bool:
    """One request for what `part` lacks; returns whether it is complete now."""
    here, version = _size(part), _validator(part)
    headers = {"User-Agent": "distilseg", "Accept-Encoding": "identity"}
    if here:
        headers["Range"] = f"bytes={here}-"
        if version.is_file():
            headers["If-Range"] = version.read_text(encoding="latin-1")
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S) as response:
        resumes = response.status == 206 and response.headers.get("Content-Range", "").startswith(
            f"bytes {here}-"
        )
        if response.status == 206 and not resumes:
            _forget(part)  # not the piece that was asked for
            return False
        here = here if resumes else 0
        # A weak validator may stand for different bytes: not for If-Range (RFC 9110, 13.1.5).
        etag = response.headers.get("ETag", "")
        validator = etag if etag.startswith('"') else response.headers.get("Last-Modified", "")
        length = response.headers.get("Content-Length")
        total = here + int(length) if length else 0
        if max(total, here) > most_bytes:
            raise _too_large(url, part, most_bytes)
        with part.open("ab" if resumes else "wb") as file:
            if not resumes:
                version.unlink(missing_ok=True)
                if validator:
                    version.write_text(validator, encoding="latin-1")
            while chunk := response.read(_CHUNK):
                here += len(chunk)
                if here > most_bytes:
                    raise _too_large(url, part, most_bytes)
                file.write(chunk)
                if progress:
                    progress(here, total)
    return not total or here >= total


def _too_large(url: str, part: Path, most_bytes: int) -> UserError:
    _forget(part)
    return UserError(
        f"{url} sends more than {most_bytes / 1e6:.0f} MB, which the dataset cannot have",
        "correct the address",
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _validator(part: Path) -> Path:
    return part.with_name(f"{part.name}.validator")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _validator(part).unlink(missing_ok=True)


def _digest(path: Path, expected: str) -> str:
    algorithm = {32: "md5", 64: "sha256"}.get(len(expected))
    if algorithm is None:
        raise UserError(
            f"the checksum {expected!r} is neither MD5 nor SHA-256", "give 32 or 64 hexadecimal digits"
        )
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def _unpack(part: Path, folder: Path, url: str) -> None:
    """The dataset folder inside the archive appears as `folder`."""

    def member(info: tarfile.TarInfo, to: str) -> tarfile.TarInfo | None:
        top, *inside = PurePosixPath(info.name).parts or ("",)
        if top != folder.name or not inside or inside[-1].startswith("._"):  # "._": litter of macOS
            return None
        return tarfile.data_filter(info.replace(name="/".join(inside), deep=False), to)

    try:
        with folder_written_whole(folder) as aside:
            with tarfile.open(part) as tar:
                tar.extractall(aside, filter=member)
            if not _is_dataset(aside):
                raise UserError(
                    f"{url} holds no {folder.name}/dataset.json", "it is another archive; correct it"
                )
    except tarfile.TarError as error:
        with contextlib.suppress(OSError):
            _forget(part)
        raise UserError(
            f"{url} cannot be unpacked: {error}", "it is another archive or unsafe; correct it"
        ) from None
