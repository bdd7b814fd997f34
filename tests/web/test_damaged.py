"""A page of which a byte was flipped does not segment; a scan that is none is refused in one line."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from distilseg.export.web.golden import golden_case
from distilseg.export.web.making import export_page

from . import made
from .driving import driven, needs_browser
from .test_equal import scans

pytestmark = needs_browser


def with_byte_flipped(page: Path, part: str, out: Path) -> Path:
    """The page with another letter in the middle of a part."""
    text = page.read_text(encoding="utf-8")
    found = re.search(rf'<script type="[^"]*" id="{part}"[^>]*>([^<]*)</script>', text)
    assert found is not None
    place = (found.start(1) + found.end(1)) // 2
    other = "A" if text[place] != "A" else "B"
    out.write_text(text[:place] + other + text[place + 1 :], encoding="utf-8")
    return out


@pytest.mark.parametrize("part", ["network-0", "engine", "worker", "golden", "model"])
def test_another_byte_is_refused(browser: Any, part: str, page_file: Path, tmp_path: Path) -> None:
    with driven(browser, with_byte_flipped(page_file, part, tmp_path / "page.html")) as there:
        told = there.verdict()
        assert "this page is damaged: " in told
        assert part in told
        assert not there.page.get_by_text("Choose files").is_visible()


def test_a_damaged_script_does_not_start(browser: Any, page_file: Path, tmp_path: Path) -> None:
    text = page_file.read_text(encoding="utf-8")
    place = text.rindex("</script>") - 1000
    page = tmp_path / "page.html"
    page.write_text(text[:place] + "~" + text[place + 1 :], encoding="utf-8")
    with driven(browser, page) as there:
        assert "This page has not started: it is damaged" in there.page.locator("body").inner_text()


def test_a_browser_that_computes_otherwise_segments_nothing(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if: the exporter's label map has another label at one voxel."""
    artefact = made.artefact(tmp_path / "artefact")
    golden = json.loads(golden_case(artefact))
    labels = bytearray(gzip.decompress(base64.b64decode(golden["labels"])))
    labels[1000] = 1 if labels[1000] != 1 else 2
    golden["labels"] = base64.b64encode(gzip.compress(bytes(labels))).decode()
    monkeypatch.setattr("distilseg.export.web.page.golden_case", lambda _: json.dumps(golden).encode())
    with driven(browser, export_page(artefact, tmp_path / "page.html").path) as there:
        told = there.verdict()
        assert "Equal to the exporter: no. 1 of" in told
        assert not there.page.get_by_text("Choose files").is_visible()


def test_networks_are_those_of_the_artefact(browser: Any, tmp_path: Path) -> None:
    """Both digests of a page may be forged; that of the artefact's own description stays."""
    page = export_page(made.artefact(tmp_path / "artefact"), tmp_path / "page.html").path
    other = export_page(made.artefact(tmp_path / "other", noise=0.1), tmp_path / "other.html").path
    part = re.compile(r'<script type="text/plain" id="network-0".*?</script>')
    taken = part.search(other.read_text(encoding="utf-8"))
    assert taken is not None
    page.write_text(part.sub(lambda _: taken[0], page.read_text(encoding="utf-8")), encoding="utf-8")
    with driven(browser, page) as there:
        assert "network.onnx is not what was exported" in there.verdict()


def test_what_is_no_scan_is_refused_in_one_line(browser: Any, page_file: Path, tmp_path: Path) -> None:
    (good,) = scans(tmp_path / "scans", 1)
    of_four = tmp_path / "four.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4, 3), np.int16), np.eye(4)), of_four)
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes(good.read_bytes()[: len(good.read_bytes()) // 2])
    text = tmp_path / "text.nii"
    text.write_text("patient,age\n" * 100)
    holes = tmp_path / "holes.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.full((9, 9, 9), np.nan, np.float32), np.eye(4)), holes)
    huge = tmp_path / "huge.nii.gz"
    header = bytearray(gzip.decompress(good.read_bytes())[:352])
    header[42:48] = np.array([30000, 30000, 30000], "<i2").tobytes()
    huge.write_bytes(gzip.compress(bytes(header)))
    told = {
        "four": "is 4D",
        "cut": "ends too early or is damaged",
        "text": "is not a NIfTI file",
        "holes": "NaN or infinite",
        "huge": "fit in a browser here",
    }
    with driven(browser, page_file) as there:
        statuses = there.statuses([good, of_four, cut, text, holes, huge])
        assert sorted(statuses.values()) == ["done", *["refused"] * 5]
        for name, line in told.items():
            assert any(name in row and line in row for row in statuses), (name, statuses)
        assert there.complaints == []
