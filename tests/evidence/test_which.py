"""Which method to take: the page, and the line of each paper in `distilseg recipes`, say what results say."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from evidence.page import of_study as of

from distilseg.recipes import Group, groups
from evidence import page

FIGURE = re.compile(r"[+−]?\d+(?:\.\d+)?")
Found = list[str]


def plainly() -> Found:
    few, dsd, shipped = of("hippocampus-distil"), of("hippocampus-dsd"), of("hippocampus-students")
    assert few.less("control", "distil 40").outcome == "none"
    assert dsd.which("control", "helped") == shipped.which("taught", "helped") == []
    return ["40"]


def distil() -> Found:
    few = of("hippocampus-distil")
    assert few.less("control", "distil 5").outcome == "helped"
    assert few.less("control", "distil 40").outcome == "none"
    return [few.less("control", "distil 5").gain, "5", "40"]


def dual() -> Found:
    """In words: of the four networks that were tried two lost."""
    dsd = of("hippocampus-dsd")
    rows = [f"{network} dsd" for network in ("dynunet-8", "dynunet-16", "unetr", "vnet")]
    assert [dsd.less("control", row).outcome for row in rows] == ["hurt", "none", "none", "hurt"]
    again = of("dsd-confirmed")
    assert all(one.which("control", "helped") == [] for one in again.values())
    organs = again["headneck"].by_seed("dsd", "spinal_cord").values()
    growing = {name: one.less("control", "growing") for name, one in again.items()}
    assert all(growing[name].difference.mean > -0.002 for name in ("hippocampus", "headneck"))
    assert growing["headneck-longer"].outcome == "hurt"
    assert min(organs) < 0.01 < 0.5 < min(again["headneck"].by_seed("plain", "spinal_cord").values())
    return []


def kd() -> Found:
    """In words: none, of seven students and then more."""
    control = of("sarcoma-kd-net").questions["control"]
    assert of("sarcoma-kd-net").which("control", "none") == [row for row, _ in control]
    assert len(control) == 7
    for others in ("sarcoma-kd-net-unlabelled", "sarcoma-kd-net-longer"):
        assert of(others).which("control", "helped") == []
    phantoms = page.part("phantom-kd-net", "rows").names(of("phantom-kd-net"))
    assert "helped" not in phantoms["verdict_set"]
    return []


def teach() -> Found:
    assert of("sarcoma-teach-former").less("control", "t123").outcome == "none"
    led = of("headneck-teach-former")
    few, many = led.less("control", "few full"), led.less("control", "many full")
    assert few.outcome == many.outcome == "helped"
    assert led.less("control", "few published").difference.mean < 0
    return [few.gain, many.gain]


def slabs() -> Found:
    """In words: attention gained on one dataset and lost on the other."""
    found, of_ct = of("hippocampus-thickened"), of("headneck-thickened")
    slices = found.less("slabs", "axial", "single")
    attended = [one.less("slabs", "axial", "esm").outcome for one in (found, of_ct)]
    assert slices.outcome == "helped"
    assert attended == ["helped", "hurt"]
    return ["2", "3", slices.gain]


def prototypes() -> Found:
    told, of_ct = of("hippocampus-prototypes"), of("headneck-prototypes")
    assert told.which("distilled", "helped") == ["8 taught"]
    assert len(of_ct.which("distilled", "none")) == len(of_ct.questions["distilled"])
    return [told.less("distilled", "8 taught").gain, "8"]


def nothing() -> Found:
    """It was not tried on real scans: no run of such a recipe lies in the results."""
    return []


HELD: dict[str, Callable[[], Found]] = {
    "Labels alone": plainly,
    "A model that others trained": distil,
    "Dual self-distillation": dual,
    "KD-Net": kd,
    "Teach-Former": teach,
    "Thickened 2D": slabs,
    "Unpaired prototype": prototypes,
}


@pytest.mark.parametrize("group", groups(), ids=lambda group: group.title)
def test_a_papers_line_says_what_the_results_say(group: Group) -> None:
    held: Any = next((hold for begins, hold in HELD.items() if group.title.startswith(begins)), nothing)
    assert FIGURE.findall(group.when) == held()
    if held is nothing:
        assert group.when == "Not tried here on real scans."
        tried = {path.name.rpartition("-")[0] for path in page.RESULTS.glob("*/*-*")}
        assert not tried & {recipe.name for recipe in group.recipes}


def test_the_committed_page_is_what_the_results_say() -> None:
    assert page.which() == page.WHICH.read_text(encoding="utf-8")


def test_its_words_hold_no_result() -> None:
    written = (page.HERE / "which.md").read_text(encoding="utf-8")
    assert re.findall(r"\d+\.\d+|[+−]\d+|\d+ ?%", written) == ["95 %", "0.05"]


def test_it_is_refused_where_the_results_turned(monkeypatch: pytest.MonkeyPatch) -> None:
    few = of("hippocampus-distil")
    monkeypatch.setattr(type(few), "which", lambda *asked: [])
    with pytest.raises(ValueError, match="write it anew"):
        page.which()
