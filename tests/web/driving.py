"""A page as a program uses it: opened by Chromium from its file, given scans, its label maps saved."""

from __future__ import annotations

import gzip
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ..browser import FOUND, needs_browser

sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright (pip install playwright)")
__all__ = ["Driven", "chromium", "driven", "needs_browser"]

SECONDS = 150


class Driven:
    """An open page; `requests` are all that it made but for itself, and for what never leaves the browser."""

    def __init__(self, page: Any, url: str) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self._noted(request.url, url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        page.goto(url)

    def _noted(self, asked: str, own: str) -> None:
        if asked != own and not asked.startswith(("blob:", "data:")):
            self.requests.append(asked)

    def verdict(self) -> str:
        """What the page says of its golden case, or why there is no model."""
        self.until("!!document.querySelector('.trust [data-kind]:not([data-kind=busy])')")
        return str(self.page.locator(".trust").inner_text()) + self._refusal()

    def _refusal(self) -> str:
        told = self.page.locator(".refusal")
        return str(told.inner_text()) if told.count() and told.is_visible() else ""

    def segmented(self, files: Sequence[Path], folder: Path) -> dict[str, Path]:
        """The label maps of scans of one modality, saved below `folder`, by case."""
        statuses = self.statuses(files)
        assert set(statuses.values()) <= {"done"}, statuses
        with self.page.expect_download() as download:
            self.page.get_by_text("Save all as zip").click()
        folder.mkdir(parents=True, exist_ok=True)
        download.value.save_as(folder / "saved.zip")
        with zipfile.ZipFile(folder / "saved.zip") as packed:
            packed.extractall(folder)
        return by_case(folder)

    def statuses(self, files: Sequence[Path]) -> dict[str, str]:
        """What became of each row once the files were dropped: its text -> its status."""
        self.verdict()
        before = self.page.locator(".scans tbody tr").count()
        self.page.locator("input[type=file]").first.set_input_files([str(file) for file in files])
        ended = "['done', 'refused', 'failed', 'cancelled'].includes(row.dataset.status)"
        rows = "[...document.querySelectorAll('.scans tbody tr')]"
        self.until(f"{rows}.length > {before} && {rows}.every(row => {ended})")
        found = self.page.locator(".scans tbody tr").all()
        return {str(row.inner_text()): str(row.get_attribute("data-status")) for row in found}

    def told(self) -> str:
        """How the page begins."""
        return str(self.page.locator("body").inner_text())[:500]

    def until(self, condition: str) -> None:
        """Asks again and again: playwright's own way evaluates text, which the page's policy forbids."""
        end = time.monotonic() + SECONDS
        while not self.page.evaluate(f"() => {condition}"):
            assert time.monotonic() < end, f"never: {condition}; {self.told()}"
            time.sleep(0.1)


@contextmanager
def chromium(*flags: str) -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=FOUND, args=["--no-sandbox", *flags])
        yield browser
        browser.close()


@contextmanager
def driven(browser: Any, page: Path | str) -> Iterator[Driven]:
    """A page, by its file or its URL; of a file every request but the page itself is refused."""
    url = page if isinstance(page, str) else page.as_uri()
    context = browser.new_context(accept_downloads=True)
    if isinstance(page, Path):
        context.route("**/*", lambda route: route.continue_() if route.request.url == url else route.abort())
    yield Driven(context.new_page(), url)
    context.close()


def by_case(folder: Path) -> dict[str, Path]:
    """The NIfTI files of a folder."""
    return {path.name.removesuffix(".gz").removesuffix(".nii"): path for path in folder.glob("*.nii*")}


def unpacked(path: Path) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content


def differing(saved: Mapping[str, Path], predicted: Mapping[str, Path]) -> list[str]:
    """The cases of which a byte of the unpacked file differs."""
    names = [{path.name for path in paths.values()} for paths in (saved, predicted)]
    assert names[0] == names[1], names
    return [case for case, path in saved.items() if unpacked(path) != unpacked(predicted[case])]
