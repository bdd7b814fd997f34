"""Object stores: scans are got, label maps put whole and once, whoever is first."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distilseg.cli import main
from distilseg.data.formats.chosen import chosen
from distilseg.errors import UserError
from distilseg.predict import predict_files
from distilseg.runtime import stores
from distilseg.runtime.stores import Place, predict_in_stores, url_of

from ..test_predict import Threshold, predictor, scan, write
from .test_service import artefact as artefact
from .test_service import run as run

fsspec = pytest.importorskip("fsspec")

CASES = 5


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    for n in range(CASES):
        write(folder / f"case_{n}.nii.gz", scan(seed=n))
    (folder / "notes.txt").write_text("no scan")
    (folder / "broken.nii.gz").write_text("Dear radiologist")
    return folder


@pytest.fixture(scope="module")
def plain(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("plain")
    predict_files(predictor(), scans, out)
    return {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of a server on loopback."""
    pytest.importorskip("s3fs", reason="the extra [s3] is not installed")
    server_of = pytest.importorskip("moto.server", reason="moto is not installed").ThreadedMotoServer
    for name, value in {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}.items():
        monkeypatch.setenv(name, value)
    server = server_of(ip_address="127.0.0.1", port=0)
    server.start()
    _, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    fsspec.get_filesystem_class("s3").clear_instance_cache()  # of the server before
    fs = fsspec.filesystem("s3")
    fs.mkdir("bucket")
    yield "s3://bucket"
    fs.rm("bucket", recursive=True)  # the server's buckets outlive it
    server.stop()


@pytest.fixture(params=["memory", "s3"])
def store(request: pytest.FixtureRequest, scans: Path) -> str:
    """The address of a folder in which `scans` lie."""
    url: str = request.getfixturevalue("s3") if request.param == "s3" else "memory://bucket"
    fs, path = fsspec.url_to_fs(url, use_listings_cache=False)
    if request.param == "memory" and fs.exists(path):
        fs.rm(path, recursive=True)
    for file in scans.iterdir():
        fs.put_file(str(file), f"{path}/scans/{file.name}")
    return url


def held(url: str) -> dict[str, bytes]:
    fs, path = fsspec.url_to_fs(url, use_listings_cache=False)
    return {name.rpartition("/")[2]: fs.cat_file(name) for name in fs.ls(path, detail=False)}


def test_got_predicted_and_put(store: str, plain: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "AT_ONCE", 2)
    seen: list[tuple[int, int]] = []
    summary = predict_in_stores(
        predictor(), [f"{store}/scans"], f"{store}/out", progress=lambda *done: seen.append(done)
    )
    assert sorted(summary.written) == [f"case_{n}" for n in range(CASES)]
    assert list(summary.refused) == ["broken"]
    assert held(f"{store}/out") == plain
    assert seen == [(2, 6), (4, 6), (6, 6)]
    again = predict_in_stores(predictor(), [f"{store}/scans"], f"{store}/out")
    assert (list(again.written), sorted(again.skipped)) == ([], [f"case_{n}" for n in range(CASES)])


def test_parts_and_single_objects(store: str, plain: dict[str, bytes]) -> None:
    for k in (1, 2, 3):
        summary = predict_in_stores(
            predictor(), [f"{store}/scans"], f"{store}/out", chosen=chosen(f"{k}/3", None)
        )
        assert summary.told == f"part {k} of 3: 2 of 6 cases"
    assert held(f"{store}/out") == plain
    one = predict_in_stores(predictor(), [f"{store}/scans/case_3.nii.gz"], f"{store}/one")
    assert list(one.written) == ["case_3"]
    assert held(f"{store}/one") == {"case_3.nii.gz": plain["case_3.nii.gz"]}


def test_of_two_workers_one_puts_and_nothing_is_written_twice(
    s3: str, scans: Path, plain: dict[str, bytes]
) -> None:
    """Both put every case at the same time; S3 takes one of them (fsspec's store in memory would both)."""
    for name in plain:
        fsspec.filesystem("s3").put_file(str(scans / name), f"bucket/scans/{name}")
    both = threading.Barrier(2, timeout=30)
    puts: list[bool] = []
    put = Place.put

    def putting(self: Place, *given: Any, **options: Any) -> bool:
        both.wait()
        puts.append(put(self, *given, **options))
        return puts[-1]

    threads = [
        threading.Thread(target=predict_in_stores, args=(predictor(), [f"{s3}/scans"], f"{s3}/out"))
        for _ in range(2)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Place, "put", putting)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (puts.count(True), puts.count(False)) == (CASES, CASES)
    assert held(f"{s3}/out") == plain


def test_what_is_there_stays_unless_overwritten(store: str, plain: dict[str, bytes]) -> None:
    fs, path = fsspec.url_to_fs(store)

    class Meanwhile(Threshold):
        """While the network works, another puts the case."""

        def forward(self, image):  # type: ignore[no-untyped-def]
            fs.pipe_file(f"{path}/out/case_1.nii.gz", b"another's")
            return super().forward(image)

    only = [f"{store}/scans/case_1.nii.gz"]
    summary = predict_in_stores(predictor(Meanwhile()), only, f"{store}/out")
    assert (list(summary.written), list(summary.skipped)) == ([], ["case_1"])
    assert held(f"{store}/out") == {"case_1.nii.gz": b"another's"}
    predict_in_stores(predictor(), only, f"{store}/out", overwrite=True)
    assert held(f"{store}/out") == {"case_1.nii.gz": plain["case_1.nii.gz"]}


def test_from_the_command_line(
    store: str, artefact: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(artefact), str(scans), str(tmp_path / "out")]) == 1
    words = ["predict", str(artefact), f"{store}/scans", f"{store}/out", "--part", "1/2"]
    capsys.readouterr()
    assert main([*words, "--missing"]) == 3
    assert capsys.readouterr().out == "broken\ncase_1\ncase_3\n"
    assert main(words) == 1
    said = capsys.readouterr()
    assert f"2 written to {store}/out, 1 refused" in said.out
    assert "refused: case broken: " in said.err
    made = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert held(f"{store}/out").items() <= made.items()


def test_what_a_store_is_not_for_is_refused(
    run: Path, artefact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*words: str) -> str:
        assert main(["predict", *words]) == 2
        return capsys.readouterr().err

    assert "is no artefact" in refused(str(run), "memory://bucket/scans", "memory://bucket/out")
    assert "both" in refused(str(artefact), "memory://bucket/scans", str(tmp_path))
    assert "cannot be opened" in refused(str(artefact), "nowhere://bucket/scans", "nowhere://bucket/out")
    told = refused(str(artefact), "memory://bucket/scans", "memory://bucket/out", "--as", "seg")
    assert "--as seg" in told
    fsspec.filesystem("memory").pipe_file("/full/a.nii.gz", b"x")
    with pytest.raises(UserError, match="would lie among the scans"):
        predict_in_stores(predictor(), ["memory://full"], "memory://full")
    with pytest.raises(UserError, match="no scan in memory://void; looked for files ending in"):
        predict_in_stores(predictor(), ["memory://void"], "memory://out")


def test_what_cannot_be_reached_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place.of("memory://bucket/scans")

    def broken(path: str) -> bool:
        raise ConnectionError("no\nroute")

    monkeypatch.setattr(place.fs, "exists", broken)
    with pytest.raises(
        UserError, match=r"memory://bucket/scans cannot be reached \(ConnectionError: no route"
    ):
        place.holds("a")


def test_addresses_are_told_from_files() -> None:
    assert url_of("s3://bucket/a") == url_of(Path("s3://bucket/a")) == "s3://bucket/a"
    assert url_of("s3://bucket/a/") == "s3://bucket/a"
    assert url_of("C:/scans/a") is None
    assert url_of("/data/s3:/a") is None
    assert url_of("scans") is None
