"""The committed pages say what `results/` says: every number and verdict; and none of yesterday's is lost."""

from __future__ import annotations

import json
import re
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from evidence.jobs import ROOT

from distilseg.runs import find_runs, read_rows, write_rows
from evidence import page

STUDIES = page.studies()
# Cell by cell what the tables of pages and overview (then README) held when conditionals assembled prose.
RECORDED = json.loads((Path(__file__).parent / "recorded_tables.json").read_text(encoding="utf-8"))
# Rows that were called by their recipe then.
WAYS = {
    "supervised": "plain",
    "dsd_ds": "deep supervision",
    "dsd_sdd": "decoder's divergence",
    "dsd_sde": "encoder's divergence",
    "dual_self_distillation": "DSD",
}
NETWORKS = {"dynunet (filters=8…128)": "DynUNet 8…128", "dynunet (filters=16…256)": "DynUNet 16…256"}
NETWORKS |= {"dynunet": "DynUNet 8…128", "unetr": "UNETR", "vnet": "V-Net"}
KD = {
    "kd_net_control (student_sees=CT)": "CT, control",
    "kd_net_gt_kd (student_sees=CT)": "CT, GT+KD",
    "kd_net_gt_kl (student_sees=CT)": "CT, GT+KL",
    "kd_net (student_sees=CT, alpha=10.0)": "CT, full method",
    "kd_net (student_sees=CT, alpha=1.0)": "CT, full method, alpha 1",
    "kd_net_control (student_sees=MR_T1)": "MR, control",
    "kd_net_gt_kd (student_sees=MR_T1)": "MR, GT+KD",
    "kd_net_gt_kl (student_sees=MR_T1)": "MR, GT+KL",
    "kd_net (student_sees=MR_T1, alpha=10.0)": "MR, full method",
    "kd_net_teacher": "teacher, all three scans",
}
CALLED = KD | {
    f"{recipe}, {network}": f"{label}, {way}"
    for recipe, way in WAYS.items()
    for network, label in NETWORKS.items()
}
# V-Net's control was still learning fast.
EARLY = ("+0.189 (+0.168 to +0.210), p < 0.001", "+0.159 (+0.139 to +0.179), p < 0.001")
CALLED |= {gain: f"{gain}; too early to say" for gain in EARLY}
CALLED["dual_self_distillation, dynunet (detach_teacher=True, filters=8…128)"] = (
    "DynUNet 8…128, DSD, teachers detached"
)


@cache
def found(study: str) -> Any:
    return page.read(study)


@cache
def rendered(study: str) -> str:
    return page.render(study, found(study))


def committed(study: str) -> str:
    return (page.DOCS / f"{study}.md").read_text(encoding="utf-8")


def kept() -> dict[str, str]:
    """Pages of studies that were made again, as they were."""
    return {path.stem: path.read_text(encoding="utf-8") for path in (page.DOCS / "before").glob("*.md")}


def tables(text: str) -> list[list[list[str]]]:
    """Every Markdown table as rows of cells, its heading first."""
    blocks = re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE)
    split = [[[cell.strip() for cell in line[1:-1].split("|")] for line in b.splitlines()] for b in blocks]
    return [[rows[0], *rows[2:]] for rows in split]


@pytest.mark.parametrize("name", [name for name in RECORDED if name != "claims"])
def test_no_number_of_the_tables_is_lost(name: str) -> None:
    before = kept()
    if name in STUDIES:
        texts = [committed(name), *([before[name]] if name in before else [])]
    else:
        texts = [page.OVERVIEW.read_text(encoding="utf-8"), *before.values()]
    there = [table for text in texts for table in tables(text)]
    assert RECORDED[name]
    for table in RECORDED[name]:
        now = [[CALLED.get(cell, cell) for cell in row] for row in table]
        alike = [other for other in there if other[0] == now[0]]
        assert now in alike, next(
            (pair for other in alike for pair in zip(now, other, strict=False) if pair[0] != pair[1]), None
        )


def test_no_claim_is_lost_and_no_aim_is_lowered() -> None:
    """Claims are measured again, so their figures change: what each is of, its peer and its aim stand."""
    there = set()
    for heading, *rows in tables(committed("claims")):
        for row in rows if heading[:2] == ["what", "against"] else []:
            cells = dict(zip(heading, row, strict=True))
            there |= {
                (what, cells["against"], cells["aim"])
                for what in (cells["what"], cells["what"].partition(": ")[2])
            }
    of_claims = [table for table in RECORDED["claims"] if "what" in table[0]]
    recorded = [dict(zip(table[0], row, strict=True)) for table in of_claims for row in table[1:]]
    assert all(table in tables(committed("claims")) for table in RECORDED["claims"] if table not in of_claims)
    assert len(recorded) > 100
    assert [row for row in recorded if (row["what"], row["against"], row["aim"]) not in there] == []


@pytest.mark.parametrize("study", STUDIES)
def test_the_committed_page_is_what_the_results_say(study: str) -> None:
    assert rendered(study) == committed(study)
    overview = page.OVERVIEW.read_text(encoding="utf-8")
    assert page.overview_with(study, found(study), overview) == overview


def test_the_readme_says_what_the_results_say() -> None:
    """All of it is rendered; what its words themselves hold are no results."""
    assert page.readme() == page.README.read_text(encoding="utf-8")
    written = (page.HERE / "readme.md").read_text(encoding="utf-8")
    numbers = re.findall(r"\d+\.\d+|[+−]\d+|\d+ ?%", written)
    assert numbers == ["3.11", "95 %", "2.0", "4.0"]  # Python, an interval, two licences


def test_the_readme_fits_a_door() -> None:
    lines = page.readme().splitlines()
    assert len(lines) <= 120
    rows = [line for line in lines if line.startswith("| ") and "±" not in line]
    assert sum(1 for line in lines if re.match(r"\| .*\d\.\d{3}", line)) <= 6
    assert rows


def test_a_number_that_was_changed_by_hand_is_found() -> None:
    dice = found("sarcoma-kd-net").scored("teacher").partition(" ")[0]
    assert dice == "0.760"
    assert committed("sarcoma-kd-net").replace(dice, "0.860") != rendered("sarcoma-kd-net")


@pytest.mark.parametrize("study", STUDIES)
def test_the_committed_figures_say_what_the_results_say(study: str) -> None:
    """Every text in them; where it stands depends on fonts and on Matplotlib."""
    for name, picture in page.figures(study, found(study)).items():
        texts = re.findall(r"<text[^>]*>([^<]+)</text>", picture)
        assert texts
        assert texts == re.findall(
            r"<text[^>]*>([^<]+)</text>", (page.DOCS / name).read_text(encoding="utf-8")
        )
        assert f"({name})" in rendered(study)


@pytest.mark.parametrize("study", STUDIES)
def test_a_page_begins_with_three_sentences_and_no_order_to_the_reader(study: str) -> None:
    comment, title, opening, *_ = rendered(study).split("\n\n")
    assert comment.startswith("<!--")
    assert comment.endswith("-->")
    assert title.startswith("# ")
    assert len(re.findall(r"[.?](?=\s|$)", opening)) == 3
    assert "do not edit" not in rendered(study)


@pytest.mark.parametrize("study", STUDIES)
def test_a_bullet_holds_one_number_beside_those_of_its_words(study: str) -> None:
    """A gain, a ratio: what has decimals or a sign. `12 slices` is a name."""
    _, _, making = rendered(study).partition("## What to make of it\n\n")
    for bullet in making.partition("\n\n")[0].split("\n- "):
        assert len(re.findall(r"[+−]?\d+\.\d+", bullet)) <= 1, bullet


def changed(study: str, tmp_path: Path, gains: dict[str, float]) -> Any:
    """The study's evidence with the Dice of whole rows moved."""
    moved = {run.name: gain for row, gain in gains.items() for run in found(study).rows[row].runs}
    shutil.copytree(page.RESULTS / study, tmp_path / study)
    for run in find_runs(tmp_path / study):
        rows = read_rows(run.metrics)
        for row in rows:
            if row["metric"] == "dice" and run.name in moved:
                row["value"] = str(float(row["value"]) + moved[run.name])
        write_rows(run.metrics, rows)
    return page.read(study, tmp_path / study)


def test_a_verdict_follows_the_data(tmp_path: Path) -> None:
    told = " ".join(rendered("hippocampus-dsd").split())
    assert "to rise for none and to fall for DynUNet 8…128 and V-Net of half the width, and for" in told
    assert "and for DynUNet 16…256 and small UNETR no" in told
    other = changed("hippocampus-dsd", tmp_path, {"dynunet-8 ds": 0.05, "dynunet-8 dsd": -0.05})
    told = " ".join(page.render("hippocampus-dsd", other).split())
    assert "was shown to help DynUNet 8…128 and to hurt V-Net of half the width" in told
    assert [other.less("control", f"dynunet-8 {way}").verdict for way in ("ds", "dsd", "tenth")] == [
        "helped",
        "hurt",
        "no difference shown",
    ]


def test_prose_that_no_longer_holds_is_refused(tmp_path: Path) -> None:
    other = changed("sarcoma-kd-net", tmp_path, {"CT full": 0.2})
    assert other.less("control", "CT full").verdict == "helped"
    with pytest.raises(ValueError, match="write it anew"):
        page.render("sarcoma-kd-net", other)


def test_slices_alone_do_not_make_a_verdict() -> None:
    """Shown is what both tests and the seeds say: over slices alone a control would have gained."""
    longer = found("hippocampus-prototypes").less("longer", "16 control", "16 alone")
    assert longer.difference.p_holm < 0.001 < 0.05 < longer.subjects.p_holm
    assert longer.outcome == "none"
    assert longer.doubts == [
        "the interval over slices and over subjects includes 0",
        "corrected p over subjects is not below 0.05",
        "it is no more than the spread over seeds (0.013)",
    ]


def test_a_row_without_runs_is_named(tmp_path: Path) -> None:
    shutil.copytree(
        page.RESULTS / "hippocampus-dsd", tmp_path / "dsd", ignore=shutil.ignore_patterns("dsd_ds-706478d9")
    )
    with pytest.raises(SystemExit, match="deep supervision"):
        page.read("hippocampus-dsd", tmp_path / "dsd")


def test_every_study_is_in_the_navigation() -> None:
    told = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert all(f"evidence/{study}.md" in told for study in STUDIES)
