"""What runs the network: WebAssembly in one thread or several, WebGPU where one window proved equal; label
maps are the same, and the page says which it is."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from distilseg.commands import predict
from distilseg.export.web.making import export_page

from . import made
from .driving import by_case, chromium, differing, driven, needs_browser
from .test_equal import scans

pytestmark = needs_browser

WEBGPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for a web server, with the artefact, scans and their label maps beside it."""
    folder = tmp_path_factory.mktemp("site")
    artefact = made.artefact(folder / "artefact", noise=0.05)
    predict(artefact.path, scans(folder / "scans", 2), folder / "predicted")
    return export_page(artefact, folder / "site", folder=True).path


@contextmanager
def with_its_server(site: Path) -> Iterator[str]:
    """The URL of the folder by the server that lies in it, which sends the headers for threads."""
    command, quiet = [sys.executable, site / "serve.py", "0"], subprocess.DEVNULL
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=quiet, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.kill()


@contextmanager
def with_any_server(site: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def runs_on(site: Path, url: str, folder: Path, flags: Sequence[str] = ()) -> str:
    """What the page says it runs on, once its label maps are seen to be equal."""
    files = sorted((site.parent / "scans").iterdir())
    with chromium(*flags) as browser, driven(browser, f"{url}/index.html") as there:
        assert "Equal to the exporter: yes" in there.verdict()
        saved = there.segmented(files, folder)
        told = re.search(r"Runs on\s+(.+)", str(there.page.locator("body").inner_text()))
        assert told is not None
        assert [asked for asked in there.requests if not asked.startswith(url)] == []
        assert there.complaints == []
    assert differing(saved, by_case(site.parent / "predicted")) == []
    return told[1]


def test_served_with_the_headers_it_runs_in_threads(site: Path, tmp_path: Path) -> None:
    with with_its_server(site) as url:
        assert re.search(r"WebAssembly, [2-8] threads", runs_on(site, url, tmp_path))


def test_a_port_that_is_taken_is_said_in_one_line(site: Path) -> None:
    with with_its_server(site) as url:
        port = url.rpartition(":")[2]
        command = [sys.executable, str(site / "serve.py"), port]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert re.fullmatch(rf"port {port} cannot be had .*name another: python serve.py \d+\n", told.stderr)


def test_served_without_them_in_one(site: Path, tmp_path: Path) -> None:
    with with_any_server(site) as url:
        assert "WebAssembly, 1 thread" in runs_on(site, url, tmp_path)


def test_webgpu_is_taken_where_it_is_equal_and_faster_or_why_not_is_said(site: Path, tmp_path: Path) -> None:
    with with_its_server(site) as url:
        told = runs_on(site, url, tmp_path, WEBGPU)
    assert "WebGPU" in told or "webgpu: " in told, told
