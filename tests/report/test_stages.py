from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from distilseg.report import compare_runs, write_report
from distilseg.report.stages import stage_bars

VALUES = {("liver", "dice"): [0.5 + 0.01 * i for i in range(12)]}


def texts(svg: str) -> list[str]:
    return [
        (element.text or "").strip() for element in ET.fromstring(svg).iter() if element.tag.endswith("}text")
    ]


def test_stages_of_the_runs_that_have_them(make_run, tmp_path):
    cost = {"stages_s": {"reading": 0.25, "preparing": 0.5, "network": 1.25, "label export": 0.5}}
    timed, untimed = make_run("timed", VALUES, cost=cost), make_run("untimed", VALUES, cost={"parameters": 5})
    told = texts(stage_bars(compare_runs([timed, untimed])))
    assert {"reading", "preparing", "network", "label export", "timed"} <= set(told)
    assert "untimed" not in told
    assert any("2.5" in text for text in told)
    write_report([timed, untimed], tmp_path / "report.html")
    assert "Where the seconds go" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("cost", [None, {"parameters": 5}])
def test_no_stages_no_figure(make_run, tmp_path, cost):
    run = make_run("plain", VALUES, cost=cost)
    assert stage_bars(compare_runs([run])) == ""
    write_report([run], tmp_path / "report.html")
    assert "Where the seconds go" not in (tmp_path / "report.html").read_text()
