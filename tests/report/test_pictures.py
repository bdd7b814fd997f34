"""Figures as files: whole SVG documents that need no page around them."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from distilseg.report import compare_runs, write_pictures
from distilseg.report.drawing import TINTS
from distilseg.report.figures import distributions
from distilseg.report.pictures import standalone

from .conftest import CASES, MakeRun


def test_every_figure_is_a_document_of_its_own(make_run: MakeRun, tmp_path: Path) -> None:
    dice = [0.5 + 0.01 * i for i in range(len(CASES))]
    told = {"overlays": True, "curves": True, "cost": {"parameters": 10}}
    control = make_run("control", {("tumour", "dice"): dice}, **told)
    better = {("tumour", "dice"): [value + 0.05 for value in dice]}
    students = [make_run(f"student {n}", better, control="control", **told) for n in "ab"]
    one = write_pictures(compare_runs([control, students[0]]), tmp_path / "one")
    two = write_pictures(compare_runs([control, *students]), tmp_path / "two")
    names = {path.stem for path in one}
    assert {"every-case", "slices", "validation", "losses", "differences"} <= names
    assert {"differences-student-a", "differences-student-b"} <= {path.stem for path in two}
    for path in [*one, *two]:
        root = ElementTree.parse(path).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert root.get("width", "").endswith("pt")
        assert "var(--" not in path.read_text(encoding="utf-8")


def test_networks_of_different_sizes_have_a_figure_of_that(make_run: MakeRun, tmp_path: Path) -> None:
    dice = {("tumour", "dice"): [0.5] * len(CASES)}
    runs = [make_run(name, dice, cost={"parameters": p}) for name, p in (("small", 10), ("large", 90))]
    assert "quality-and-size" in {path.stem for path in write_pictures(compare_runs(runs), tmp_path / "a")}
    assert "quality-and-size" not in {
        path.stem for path in write_pictures(compare_runs(runs[:1]), tmp_path / "b")
    }


def test_nothing_is_written_where_there_is_nothing_to_draw(make_run: MakeRun, tmp_path: Path) -> None:
    alone = make_run("alone", {("tumour", "dice"): [0.5] * len(CASES)}, overlays=False, curves=False)
    names = {path.stem for path in write_pictures(compare_runs([alone]), tmp_path)}
    assert "differences" not in names
    assert "slices" not in names


def test_in_documents_a_picture_is_dark_where_the_page_is_and_white_in_print(make_run: MakeRun) -> None:
    comparison = compare_runs([make_run("a", {("tumour", "dice"): [0.5] * len(CASES)})])
    drawn = distributions(comparison)
    print_, screen = standalone(drawn), standalone(drawn, night=True)
    assert "prefers-color-scheme" not in print_
    assert "@media screen and (prefers-color-scheme: dark)" in screen
    for tint in TINTS:
        assert f'[style*="fill: {tint.day}"]{{fill:{tint.night}!important}}' in screen
    assert screen.replace(screen[screen.index("<style>@media") : screen.index("<rect")], "") == print_
