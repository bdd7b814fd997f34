"""Every kind of normalisation, crop, orientation, window, region and fusion: vectors that NumPy wrote, read
again in Node and in Chromium; and the golden case that a page carries."""

from __future__ import annotations

import base64
import gzip
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilseg.data.planning.normalisation import KINDS
from distilseg.export.web import built
from distilseg.export.web.golden import golden_case

from . import made, vectors
from .driving import driven, needs_browser

WEB = vectors.FILE.parents[1]


def _node() -> int:
    """The version of Node, 0 where there is none."""
    if shutil.which("node") is None:
        return 0
    told = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout
    return int(told.removeprefix("v").partition(".")[0] or 0)


needs_node = pytest.mark.skipif(
    not (WEB / "node_modules").is_dir() or _node() < 20,
    reason="no Node from 20 on here, or web/ without its packages (npm ci)",
)


def test_vectors_are_what_runtime_answers_now() -> None:
    written = json.loads(vectors.FILE.read_text())
    now = json.loads(json.dumps(vectors.vectors()))
    for cases in (written["cases"], now["cases"]):  # how gzip packs is its own affair
        for case in cases:
            case["scans"] = {name: _unpacked(packed) for name, packed in case["scans"].items()}
            case["written"] = _unpacked(case["written"])
    assert written == now


def _unpacked(packed: str) -> bytes:
    return gzip.decompress(base64.b64decode(packed))


def test_vectors_hold_every_kind_of_normalisation() -> None:
    cases = json.loads(vectors.FILE.read_text())["cases"]
    kinds = {how["kind"] for case in cases for how in case["plan"]["normalisation"].values()}
    assert kinds == set(KINDS) == set(built.manifest()["knows"]["normalisation"])


@needs_node
def test_the_mirror_gives_the_vectors_in_node() -> None:
    done = subprocess.run(["npm", "test"], cwd=WEB, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]


@needs_node
def test_types_are_strict() -> None:
    done = subprocess.run(["npm", "run", "check"], cwd=WEB, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]


@needs_browser
@needs_node
def test_the_mirror_gives_the_vectors_in_chromium(browser: Any, tmp_path: Path) -> None:
    subprocess.run(["node", "build.mjs", "--tests"], cwd=WEB, check=True)
    script = (WEB / "build" / "tests" / "vectors.js").read_text(encoding="utf-8")
    page = tmp_path / "vectors.html"
    told = vectors.FILE.read_text().replace("<", "\\u003c")
    page.write_text(
        f'<script type="application/json" id="vectors">{told}</script><script>{script}</script>',
        encoding="utf-8",
    )
    with driven(browser, page) as there:
        there.page.evaluate(
            "() => { const told = JSON.parse(document.getElementById('vectors').textContent);"
            " vectors.differingCases(told).then(cases => window.found = [...vectors.differingWindows(told),"
            " ...vectors.differingFits(told), ...vectors.differingAxes(told), ...cases]) }"
        )
        there.until("!!window.found")
        assert there.page.evaluate("() => window.found") == []


def test_a_golden_case_names_all_structures_and_is_the_same_every_time(tmp_path: Path) -> None:
    artefact = made.artefact(tmp_path / "artefact")
    golden = json.loads(golden_case(artefact))
    again = json.loads(golden_case(artefact))
    assert _unpacked(golden["labels"]) == _unpacked(again["labels"])
    assert set(golden["scans"]) == {"MR"}
    assert set(np.unique(np.frombuffer(_unpacked(golden["labels"])[352:], np.uint8))) == {0, 1, 2}
