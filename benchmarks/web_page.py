"""A student as a page against `distilseg predict`, on the same scans and the same machine; and its size.

    seconds   a case in the page, from its file to the file of its label map, as the page's own table says it;
              against the same by `predict`'s predictor for ONNX, on one thread as the page has: <= 3.
              WebAssembly multiplies 4 numbers at once, a processor with AVX-512 does 16
    size      of the page of `student_tiny`, in MB: <= 13

Weights are random: they cost the same. The page is opened from its file in the system's Chromium, without a
graphics processor; cases take turns. Without Chromium the size alone is measured.
"""

from __future__ import annotations

import csv
import importlib.util
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distilseg.data.case import Source
from distilseg.data.planning.plan import Plan
from distilseg.data.scans.reading import read_scans, write_label_map
from distilseg.export.cost_probe import untrained_artefact
from distilseg.export.folder import describe
from distilseg.export.web.making import export_page
from distilseg.runtime.artefact import CARD, Artefact, open_artefact
from distilseg.runtime.predictor import ArtefactPredictor, load_artefact

from .common import Row, ratio_row, row
from .shipping import STUDENTS, _hippocampi, hippocampus_plan

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
CLAIM = "web page"
MOST_S = 600.0  # for a case


def main(quick: bool = False) -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scans = sorted(_hippocampi(folder / "scans", quick).scans.iterdir())
        plan = hippocampus_plan()
        patches: dict[str, tuple[int, ...]] = {"student_tiny": plan.patch, "student_base": (64, 64, 64)}
        for network in ("student_tiny",) if quick else patches:
            assert network in STUDENTS
            own = plan.model_copy(update={"network": network, "patch": patches[network]})
            artefact = _artefact(folder / network, own)
            page = export_page(artefact, folder / f"{network}.html")
            if network == "student_tiny":
                megabytes = page.bytes / 1e6
                what = f"the page of {network}"
                bounds = {"peer": 13.0, "unit": "MB", "peer_name": "the bound"}
                note = "one file: network, WebAssembly, viewer, golden case, card"
                rows.append(
                    row(CLAIM, what, ratio=megabytes, aim="<= 13", ours=megabytes, note=note, **bounds)
                )
            if (browser := _browser()) is not None:
                rows.append(_seconds(network, page.path, artefact, scans, browser))
    return rows


def _browser() -> str | None:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    return found if importlib.util.find_spec("playwright") else None


def _artefact(folder: Path, plan: Plan) -> Artefact:
    """As `distilseg export` lays it out, with what a page tells of a run."""
    untrained_artefact(folder, plan, "onnx")
    unknown = {"name": "benchmark", "licence": "none", "reference": "none"}
    made = {"run": "untrained", "recipe": "none", "dataset": unknown, "teachers": []}
    made |= {"network": {"name": plan.network, "options": {}}}
    about = open_artefact(folder).about
    describe(folder, about.model_copy(update={"made": made}))
    (folder / CARD).write_text("# Untrained\n", encoding="utf-8")
    return open_artefact(folder)


def _seconds(network: str, page: Path, artefact: Artefact, scans: list[Path], browser: str) -> Row:
    """A case by the page, then by predict, and so on; the first of each warms up."""
    predictor, predicted = load_artefact(artefact, threads=1), []
    with _opened(page, browser) as there:
        for n, scan in enumerate(scans):
            _segment(there, scan, n + 1)
            start = time.perf_counter()
            _predict(predictor, scan, page.with_name(f"predicted-{scan.name}"))
            predicted.append(time.perf_counter() - start)
        by_page = _told(there, page.with_name("volumes.csv"))
    assert len(by_page) == len(predicted)
    return ratio_row(
        CLAIM,
        f"{network}, patch {'x'.join(map(str, predictor.plan.patch))}, a hippocampus from file to file",
        by_page[1:],
        predicted[1:],
        aim="<= 3",
        peer_name="predict, ONNX, one thread",
        note=f"{len(predicted) - 1} cases in turns, WebAssembly on one thread, {os.cpu_count()} cores",
    )


def _predict(predictor: ArtefactPredictor, scan: Path, out: Path) -> None:
    """As `distilseg predict` does it, one case."""
    scans = read_scans({predictor.plan.modalities[0]: Source(scan)})
    labels = predictor.segment(scans, case=scan.name)
    write_label_map(out, labels, next(iter(scans.values())))


@contextmanager
def _opened(page: Path, browser: str) -> Iterator[Any]:
    """The page, once it has segmented its golden case."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        there = started.new_page()
        there.goto(page.as_uri())
        _until(there, "!!document.querySelector('.trust [data-kind=good]')")
        yield there
        started.close()


def _segment(there: Any, scan: Path, count: int) -> None:
    there.locator("input[type=file]").first.set_input_files(str(scan))
    _until(there, f"document.querySelectorAll('.scans tbody tr[data-status=done]').length === {count}")


def _told(there: Any, table: Path) -> list[float]:
    """Seconds of each case, from the page's own table."""
    with there.expect_download() as download:
        there.get_by_text("Volumes as CSV").click()
    download.value.save_as(table)
    with table.open(encoding="utf-8-sig", newline="") as file:
        return [float(line["seconds"]) for line in csv.DictReader(file) if line["seconds"]]


def _until(there: Any, condition: str) -> None:
    end = time.monotonic() + MOST_S
    while not there.evaluate(f"() => {condition}"):
        if time.monotonic() > end:
            raise TimeoutError(f"the page never came to {condition}")
        time.sleep(0.05)
