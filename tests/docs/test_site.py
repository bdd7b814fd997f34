"""The site: a warning fails its build, its first page says what was measured, its search works from files."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from distilseg.report import words
from evidence import page

from ..browser import look, needs_browser
from .snippets import ROOT

MAKE = shutil.which("make")
FIRST = ROOT / "docs" / "index.md"


def build(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """`make docs`, of another site: its own line, of which only the program and the file differ."""
    assert MAKE is not None
    planned = subprocess.run(
        [MAKE, "-n", "docs"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    (line,) = (line for line in planned.splitlines() if "/mkdocs build" in line)
    _, _, options = line.partition("/mkdocs ")
    command = [sys.executable, "-m", "mkdocs", *shlex.split(options), "-f", config, "-d", site]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.skipif(MAKE is None, reason="no make on this machine")
@pytest.mark.parametrize(("target", "code"), [("other.md", 0), ("lost.md", 1), ("other.md#nowhere", 1)])
def test_a_warning_fails_the_build(tmp_path: Path, target: str, code: int) -> None:
    validation = re.search(r"^validation:\n(?:  .*\n)+", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert validation is not None
    config = tmp_path / "mkdocs.yml"
    config.write_text(f"site_name: small\nuse_directory_urls: false\nplugins: []\n{validation[0]}")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# One\n\n[there]({target})\n")
    (tmp_path / "docs" / "other.md").write_text("# Other\n")
    done = build(config, tmp_path / "site")
    assert done.returncode == code, done.stderr
    if code:
        assert target.partition("#")[2] in done.stderr
        assert "WARNING" in done.stderr


def test_the_first_page_says_what_was_measured() -> None:
    distil = page.read("hippocampus-distil")
    students = page.read("hippocampus-students")
    with_labels = {n: distil.less("control", f"distil {n}") for n in (5, 40)}
    large, base = (
        students.rows[f"{network} supervised openvino"].cost for network in ("dynunet", "student_base")
    )
    numbers = [
        *(words.number(found.difference.mean, 3, sign=True) for found in with_labels.values()),
        f"{large['end_to_end_s'] / base['end_to_end_s']:.1f} ×",
    ]
    shown = re.search(r'<div class="numbers" markdown>(.*?)</div>', FIRST.read_text(), re.DOTALL)
    assert shown is not None
    assert re.findall(r"\*\*(.+?)\*\*", shown[1]) == numbers
    assert round(large["bytes_on_disk"] / base["bytes_on_disk"]) == 10  # "at a tenth of the size"
    assert with_labels[5].outcome == "helped"
    assert with_labels[40].outcome == "none"


def test_the_first_page_has_a_picture_three_paths_and_three_numbers() -> None:
    text = FIRST.read_text(encoding="utf-8")
    for group in ("paths", "numbers"):
        held = re.search(rf'<div class="{group}" markdown>(.*?)</div>', text, re.DOTALL)
        assert held is not None
        assert len(re.findall(r"\]\((tutorials|evidence)/[\w-]+\.md\)", held[1])) == 3
    (picture,) = re.findall(r"!\[[^\]]+\]\(([\w/.-]+)\)", text)
    assert (FIRST.parent / picture).is_file()


@needs_browser
def test_search_works_from_files_and_asks_no_network(tmp_path: Path) -> None:
    """A small site with the settings of ours that matter for it."""
    shutil.copytree(ROOT / "docs" / "javascripts", tmp_path / "docs" / "javascripts")
    (tmp_path / "docs" / "index.md").write_text("# One\n\nNothing.\n")
    (tmp_path / "docs" / "other.md").write_text("# Other\n\nHere stands a marsupial.\n")
    ours = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    extra = re.search(r"^extra:\n(?:  .*\n)+", ours, re.MULTILINE)
    assert extra is not None
    assert re.search(r"^plugins:\n  - search\n  - offline\n", ours, re.MULTILINE)
    config = tmp_path / "mkdocs.yml"
    config.write_text(
        "site_name: small\ntheme: {name: material, font: false}\nplugins: [search, offline]\n" + extra[0]
    )
    done = build(config, tmp_path / "site")
    assert done.returncode == 0, done.stderr
    index = tmp_path / "site" / "index.html"
    assert not re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="https?:', index.read_text())
    shown = look(index, 1280, "--virtual-time-budget=8000", "--dump-dom", query="?q=marsupial")
    assert "1 matching document" in shown
    assert "Other" in re.findall(r'class="md-search-result__article.*?</article>', shown, re.DOTALL)[0]
