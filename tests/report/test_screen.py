"""The page in a real browser, on a desk's screen and on a phone's, by day and by night."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import pytest

from distilseg.installing import WHEEL
from distilseg.report import write_report

from ..browser import measured, needs_browser, screenshot
from .conftest import CASES, maker

pytestmark = needs_browser

DESK, PHONE = 1280, 390
LEAST_TEXT = 9  # pixels, of the smallest text in a figure
STAGES = {"reading": 0.1, "network": 0.7, "writing": 0.1}
SCRIPT = """(() => {
  document.querySelectorAll("details").forEach(one => one.open = true);
  const all = selector => [...document.querySelectorAll(selector)];
  const place = one => {
    const {left, top, height} = one.getBoundingClientRect();
    return {left, top, height};
  };
  const unseen = one => one.closest("thead") && style(one.closest("thead")).position == "absolute";
  const style = one => getComputedStyle(one);
  const size = text => parseFloat(style(text).fontSize) * text.ownerSVGElement.clientWidth
    / text.ownerSVGElement.viewBox.baseVal.width;
  return {
    width: innerWidth,
    page: document.documentElement.scrollWidth,
    cut: all(".scroll, section, .verdict, pre, dd, td, th, p").filter(
      one => !unseen(one) && one.scrollWidth > one.clientWidth + 1).map(one => one.outerHTML.slice(0, 99)),
    number: place(all(".verdict .figure b")[0]),
    links: all(".bar nav a").map(place),
    results: place(all("#results")[0]).top,
    facts: place(all("dl.facts")[0]).top,
    cells: all("tr.run")[0] ? [...all("tr.run")[0].querySelectorAll("td.n")].map(place) : [],
    named: [...all("tr.run")[0].querySelectorAll("td.n")].map(
      one => getComputedStyle(one, "::before").content.replaceAll('"', "")),
    text: Math.min(...all("figure svg text").map(size)),
    ink: [...new Set(all("figure svg text").map(text => style(text).fill))],
    ground: style(all("section#results")[0]).backgroundColor,
    pasted: all("pre")[0].innerText.trim().split("\\n"),
    selects: style(all("pre")[0]).userSelect,
  };
})()"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wide: names as long as options make them, four metrics, all figures."""
    folder = tmp_path_factory.mktemp("screen")
    make_run = maker(folder)
    structures = ["left hippocampus, anterior", "right_parotid"]
    metrics = {"dice": 0.5, "hd95": 11.0, "nsd": 0.6, "iou": 0.4}
    told: dict[str, Any] = {"curves": True, "overlays": True, "seed": 0}
    runs = []
    for n, name in enumerate(
        ["supervised", "dual_self_distillation (detach_teacher=True, temperature=4)", "kd_net"]
    ):
        values = {
            (structure, metric): [level + 0.011 * i + 0.02 * n for i in range(len(CASES))]
            for structure in structures
            for metric, level in metrics.items()
        }
        cost = {
            "parameters": 1e6 * 4**n,
            "multiply_accumulates": 1e9,
            "seconds_per_case": 0.9,
            "stages_s": STAGES,
        }
        runs.append(make_run(name, values, cost=cost, control="supervised" if n else None, **told))
    path = folder / "report.html"
    write_report(runs, path, control=runs[0], metrics=list(metrics))
    return path


@functools.cache
def seen_at(page: Path, width: int, *, dark: bool = False) -> Any:
    """What the browser says of the page in a window of this width."""
    return measured(page, SCRIPT, width, dark=dark)


@pytest.mark.parametrize("width", [DESK, 1000, PHONE])
def test_nothing_is_cut(page: Path, width: int) -> None:
    found = seen_at(page, width)
    assert found["width"] == width
    assert found["page"] == width
    assert found["cut"] == []
    assert found["text"] >= LEAST_TEXT


def test_on_a_desk_metrics_stand_side_by_side(page: Path) -> None:
    found = seen_at(page, DESK)
    assert len({cell["top"] for cell in found["cells"]}) == 1
    assert len({cell["left"] for cell in found["cells"]}) == 4


def test_on_a_phone_numbers_come_first_and_metrics_are_stacked(page: Path) -> None:
    found = seen_at(page, PHONE)
    assert found["number"]["top"] + found["number"]["height"] < 400  # the first half of the first screen
    assert found["results"] < found["facts"]
    assert len({cell["left"] for cell in found["cells"]}) == 1
    tops = [cell["top"] for cell in found["cells"]]
    assert tops == sorted(set(tops))
    assert found["named"] == ["Dice ↑", "HD95 [mm] ↓", "NSD ↑", "IoU ↑"]


def test_a_phone_has_the_navigation_too(page: Path) -> None:
    desk, phone = (seen_at(page, width)["links"] for width in (DESK, PHONE))
    assert len(phone) == len(desk) == 8
    assert all(link["height"] >= 36 for link in phone)  # for a thumb
    assert phone[0]["left"] < 30
    assert len({link["top"] for link in phone}) == 1


@pytest.mark.parametrize("dark", [False, True])
def test_figures_can_be_read_by_day_and_by_night(page: Path, dark: bool) -> None:
    found = seen_at(page, DESK, dark=dark)
    assert (luminance(found["ground"]) < 0.1) == dark
    assert found["ink"]
    for ink in found["ink"]:
        assert contrast(ink, found["ground"]) >= 4.5, ink


@pytest.mark.parametrize("width", [DESK, PHONE])
@pytest.mark.parametrize("dark", [False, True])
def test_the_screenshot_shows_a_page(page: Path, width: int, dark: bool) -> None:
    seen = screenshot(page, width, dark=dark)
    assert seen.shape == (844, width, 3)
    corner = int(seen[-1, 0].mean())
    assert corner < 40 if dark else corner > 230
    assert (abs(seen.mean(2) - corner) > 100).mean() > 0.01  # something is written on it
    below_bar = abs(seen[100:, -3:].mean(2) - corner)
    assert not (below_bar > 100).any()  # and nothing runs over its right edge


def test_the_page_is_made_again_by_one_paste(page: Path) -> None:
    found = seen_at(page, DESK)
    name = "'dual_self_distillation (detach_teacher=True, temperature=4)'"
    assert found["selects"] == "all"
    assert found["pasted"] == [
        f"pip install '{WHEEL}[train]'",
        "distilseg train supervised --data Phantom --seed 0",
        f"distilseg train {name} --data Phantom --seed 0",
        "distilseg train kd_net --data Phantom --seed 0",
        "cd runs/Phantom",
        f"distilseg compare supervised {name} kd_net --control supervised --metrics dice,hd95,nsd,iou"
        " --html report.html",
    ]


def luminance(colour: str) -> float:
    """Relative luminance of `rgb(r, g, b)` (WCAG 2)."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
