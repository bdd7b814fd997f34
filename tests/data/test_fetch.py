"""Downloads from a server on loopback that can cut, ignore ranges, change its file and fail."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from distilseg.data import fetch as module
from distilseg.data.fetch import ARCHIVES, fetch, find_data
from distilseg.errors import UserError

FOLDER = "Task04_Hippocampus"


def packed(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


NOISE = b"".join(hashlib.sha256(str(i).encode()).digest() for i in range(60_000))  # 1.9 MB
GOOD = packed(
    {
        f"{FOLDER}/dataset.json": b"{}",
        f"{FOLDER}/imagesTr/a.nii.gz": NOISE,
        f"{FOLDER}/imagesTr/._a.nii.gz": b"litter",
        "elsewhere/b.txt": b"not ours",
    }
)


class Server:
    """Serves `content`; `cuts` are the numbers of bytes after which the next answers break off."""

    def __init__(self) -> None:
        self.content, self.etag, self.ranges, self.cuts = GOOD, '"v1"', True, list[int]()
        self.status, self.failures = 200, 0  # so many answers with `status`
        self.asked: list[dict[str, str]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/{FOLDER}.tar"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append(dict(handler.headers))
        if self.failures:
            self.failures -= 1
            handler.send_error(self.status)
            return
        start, wanted = 0, handler.headers.get("Range", "")
        if self.ranges and wanted and handler.headers.get("If-Range", self.etag) == self.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(self.content):
                handler.send_error(416)
                return
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        else:
            handler.send_response(200)
        if self.etag:
            handler.send_header("ETag", self.etag)
        handler.send_header("Content-Length", str(len(self.content) - start))
        handler.end_headers()
        stop = start + self.cuts.pop(0) if self.cuts else len(self.content)
        handler.wfile.write(self.content[start:stop])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(module, "PAUSE_S", 0.001)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join()


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def fetched(server: Server, to: Path, **options: Any) -> Path:
    return fetch("hippocampus", to=to, url=server.url, **{"checksum": md5(GOOD), **options})


def assert_whole(folder: Path) -> None:
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert files == ["dataset.json", "imagesTr/a.nii.gz"]
    assert (folder / "imagesTr" / "a.nii.gz").read_bytes() == NOISE


def test_fetched_once(server: Server, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    folder = fetched(server, tmp_path, progress=lambda done, total: steps.append((done, total)))
    assert folder == tmp_path / FOLDER
    assert_whole(folder)
    assert [path.name for path in tmp_path.iterdir()] == [FOLDER]
    assert steps[-1] == (len(GOOD), len(GOOD))
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert fetched(server, tmp_path) == folder
    assert len(server.asked) == 1


def test_sha256_is_understood(server: Server, tmp_path: Path) -> None:
    assert_whole(fetched(server, tmp_path, checksum=hashlib.sha256(GOOD).hexdigest().upper()))


def test_a_cut_connection_is_resumed(server: Server, tmp_path: Path) -> None:
    server.cuts = [700_000, 500_000]
    steps: list[tuple[int, int]] = []
    assert_whole(fetched(server, tmp_path, progress=lambda done, total: steps.append((done, total))))
    assert [asked.get("Range") for asked in server.asked] == [None, "bytes=700000-", "bytes=1200000-"]
    assert server.asked[1]["If-Range"] == '"v1"'
    assert {total for _, total in steps} == {len(GOOD)}


def test_a_stopped_download_is_resumed_by_the_next_call(server: Server, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done > 500_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetched(server, tmp_path, progress=stop)
    kept = (tmp_path / f"{FOLDER}.tar.part").stat().st_size
    assert kept > 500_000
    assert not (tmp_path / FOLDER).exists()
    assert_whole(fetched(server, tmp_path))
    assert server.asked[1]["Range"] == f"bytes={kept}-"


def test_a_whole_download_is_not_repeated(server: Server, tmp_path: Path) -> None:
    (tmp_path / f"{FOLDER}.tar.part").write_bytes(GOOD)  # as a kill before unpacking leaves it
    assert_whole(fetched(server, tmp_path))
    assert server.asked == []


def test_a_server_without_ranges_starts_anew(server: Server, tmp_path: Path) -> None:
    server.ranges, server.cuts = False, [700_000]
    assert_whole(fetched(server, tmp_path))
    assert len(server.asked) == 2


def test_a_file_that_changed_meanwhile_starts_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / f"{FOLDER}.tar.part").write_bytes(b"old" * 1000)
    (tmp_path / f"{FOLDER}.tar.part.validator").write_text('"v0"')
    assert_whole(fetched(server, tmp_path))
    assert len(server.asked) == 1


@pytest.mark.parametrize("old", [b"old" * 1000, b"old" * 1_000_000], ids=["shorter", "longer"])
def test_without_a_validator_the_checksum_notices(server: Server, tmp_path: Path, old: bytes) -> None:
    server.etag = ""
    (tmp_path / f"{FOLDER}.tar.part").write_bytes(old)
    assert_whole(fetched(server, tmp_path))
    assert [asked.get("Range") for asked in server.asked] == [f"bytes={len(old)}-", None]


def test_a_wrong_checksum_is_refused(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"has the checksum {md5(GOOD)}, expected {'0' * 32}"):
        fetched(server, tmp_path, checksum="0" * 32)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match=r"neither MD5 nor SHA-256"):
        fetched(server, tmp_path, checksum="abc")


def test_a_failing_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.status, server.failures = 503, 2
    assert_whole(fetched(server, tmp_path))
    assert len(server.asked) == 3


def test_a_server_that_keeps_failing(server: Server, tmp_path: Path) -> None:
    server.status, server.failures = 503, 99
    with pytest.raises(UserError, match=r"the server answers 503.*repeat the command, it resumes"):
        fetched(server, tmp_path)
    assert len(server.asked) == module.ATTEMPTS


def test_a_server_that_forgets_a_part_is_not_asked_for_ever(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole answers are cut, pieces are of another place: what is sent again after that is no progress."""
    answers = server.answer

    def forgetful(handler: BaseHTTPRequestHandler) -> None:
        if not handler.headers.get("Range"):
            server.cuts = [700_000]
            answers(handler)
            return
        server.asked.append(dict(handler.headers))
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes 5-9/{len(GOOD)}")
        handler.send_header("Content-Length", "5")
        handler.end_headers()
        handler.wfile.write(b"other")

    monkeypatch.setattr(server, "answer", forgetful)
    with pytest.raises(UserError, match=r"cannot download"):
        fetched(server, tmp_path)
    assert len(server.asked) <= 2 * module.ATTEMPTS


@pytest.mark.parametrize("told", [True, False], ids=["length told", "no length"])
def test_no_more_is_taken_than_the_dataset_has(
    server: Server, tmp_path: Path, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = list[int]()

    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        if told:
            handler.send_header("Content-Length", str(10**9))
        handler.end_headers()
        try:
            for _ in range(300):
                handler.wfile.write(bytes(10**6))
                sent.append(10**6)
        except OSError:
            pass

    monkeypatch.setattr(server, "answer", endless)
    with pytest.raises(UserError, match=r"sends more than 40 MB, which the dataset cannot have"):
        fetched(server, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert sum(sent) < 60e6


def test_a_part_that_is_a_link_is_not_written_through(server: Server, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text("kept")
    (tmp_path / f"{FOLDER}.tar.part").symlink_to(theirs)
    assert_whole(fetched(server, tmp_path))
    assert theirs.read_text() == "kept"


def test_not_found_is_not_asked_again(server: Server, tmp_path: Path) -> None:
    server.status, server.failures = 404, 99
    with pytest.raises(UserError, match=r"the server answers 404 Not Found; is the address right"):
        fetched(server, tmp_path)
    assert len(server.asked) == 1


def test_offline_says_what_to_do(server: Server, tmp_path: Path) -> None:
    server.http.server_close()
    with pytest.raises(UserError) as error:
        fetched(server, tmp_path)
    for part in (server.url, "refused", str(tmp_path / FOLDER), "by hand"):
        assert part in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({f"{FOLDER}/dataset.json": b"{}", f"{FOLDER}/../../evil": b"x"}, r"cannot be unpacked"),
        ({"Task09_Spleen/dataset.json": b"{}"}, r"holds no Task04_Hippocampus/dataset\.json"),
    ],
)
def test_unsafe_or_other_archives_leave_nothing(
    server: Server, tmp_path: Path, members: dict[str, bytes], message: str
) -> None:
    server.content = packed(members)
    with pytest.raises(UserError, match=message):
        fetched(server, tmp_path / "data", checksum=md5(server.content))
    assert not (tmp_path / "data" / FOLDER).exists()
    assert not list(tmp_path.rglob("evil"))


def test_what_is_no_archive_is_refused(server: Server, tmp_path: Path) -> None:
    server.content = b"<html>sign in</html>"
    with pytest.raises(UserError, match=r"cannot be unpacked"):
        fetched(server, tmp_path, checksum=md5(server.content))
    assert list(tmp_path.iterdir()) == []


def test_names_addresses_and_folders_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown dataset to fetch 'hipocampus'; did you mean 'hippocampus'"):
        fetch("hipocampus", to=tmp_path)
    with pytest.raises(UserError, match=r"is no address"):
        fetch("hippocampus", to=tmp_path, url="example/archive.tar")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write to"):
        fetch("hippocampus", to=tmp_path / "file")


def test_the_address_is_monais() -> None:
    from monai.apps import DecathlonDataset

    archive = ARCHIVES["hippocampus"]
    assert archive.url == DecathlonDataset.resource[archive.folder]
    assert archive.checksum == DecathlonDataset.md5[archive.folder]


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder from which no data is found."""
    monkeypatch.delenv("DISTILSEG_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(module, "__file__", str(tmp_path / "installed" / "a" / "b" / "c" / "fetch.py"))
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path


def dataset_at(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "dataset.json").write_text(json.dumps({}))
    return folder


def test_places_in_their_order(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_data("hippocampus") is None
    cache = dataset_at(nowhere / "cache" / FOLDER)
    assert find_data("hippocampus") == cache
    shared = dataset_at(nowhere / "shared" / "data" / FOLDER)
    assert find_data("hippocampus") == shared
    environment = dataset_at(nowhere / "env" / FOLDER)
    for value in (environment, environment.parent):
        monkeypatch.setenv("DISTILSEG_DATA", str(value))
        assert find_data("hippocampus") == environment
    given = dataset_at(nowhere / "given" / FOLDER)
    assert find_data("hippocampus", given) == given
    assert find_data("hippocampus", given.parent) == given
    own = dataset_at(nowhere / "own_scans")
    assert find_data("hippocampus", own) == own


def test_a_checkout_finds_its_neighbour(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = nowhere / "code" / "checkout"
    monkeypatch.setattr(module, "__file__", str(checkout / "src" / "distilseg" / "data" / "fetch.py"))
    shared = dataset_at(nowhere / "code" / "shared" / "data" / FOLDER)
    assert find_data("hippocampus") is None
    checkout.mkdir()
    (checkout / "pyproject.toml").write_text("")
    assert find_data("hippocampus") == shared


def test_a_place_with_other_data_is_passed_over(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTILSEG_DATA", str(dataset_at(nowhere / "other")))
    assert find_data("hippocampus") is None


def test_places_named_must_exist(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"--data names .*absent, which does not exist"):
        find_data("hippocampus", nowhere / "absent")
    with pytest.raises(UserError, match=r"holds no dataset"):
        find_data("hippocampus", nowhere)
    monkeypatch.setenv("DISTILSEG_DATA", str(nowhere / "absent"))
    with pytest.raises(UserError, match=r"\$DISTILSEG_DATA names"):
        find_data("hippocampus")
