"""The page: self-contained, escaped, complete."""

from __future__ import annotations

import datetime
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from distilseg.errors import UserError
from distilseg.report import compare_runs, render, write_report
from distilseg.report.words import p_value

N = 12
LIVER, TUMOUR = ("liver", "dice"), ("tumour", "dice")
EVIL = '<script>alert("$x_1$")</script>'


class Page(HTMLParser):
    """Tags with their attributes, the text outside style, and a check that what opens is closed."""

    VOID = frozenset({"meta", "link", "img", "br", "hr", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data


@pytest.fixture
def runs(make_run):
    values = {LIVER: [0.7 + 0.01 * i for i in range(N)], TUMOUR: [0.5] * N, ("liver", "hd95"): [3.0] * N}
    better = {**values, LIVER: [0.72 + 0.011 * i for i in range(N)]}
    experiment = {"versions": {"torch": "2.99"}}
    cost = {"parameters": 10, "seconds_per_case": 0.5, "device": "an abacus"}
    return [
        make_run("supervised", values, curves=True, overlays=True, cost=cost, **experiment),
        make_run("dsd", better, curves=True, overlays=True, cost=cost, control="supervised", **experiment),
    ]


def test_page_tells_what_a_reader_needs(runs, tmp_path):
    comparison = write_report(
        runs, tmp_path / "report.html", date=datetime.date(2026, 1, 2), notes=["Made up."]
    )
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    text = re.sub(r"\s+", " ", page.text)
    for told in (
        "dsd and its control supervised, on Phantom",
        "12 test cases, none of which any run was trained or validated on",
        "2026-01-02",
        "dsd helped at this budget: Dice 0.640 against 0.627 of supervised, +0.0",
        "Made up.",
        "CC0",
        "A. Nobody",
        "torch 2.99",
        "an abacus",
        "0.755 ± 0.036",
        "distilseg train dsd --data Phantom --seed 0",
        "distilseg compare supervised dsd",
        "No difference shown” does not mean “equal”",
        f"t-test {p_value(comparison.differences['dsd', 'liver', 'dice'].p_t_holm)}",
        "One seed",
    ):
        assert told in text
    assert comparison.differences["dsd", "liver", "dice"].outcome == "helped"
    assert "somebody" not in text  # the path to the user's data is theirs


def test_page_needs_nothing_from_elsewhere(runs):
    text = render(compare_runs(runs))
    page = Page(text)
    assert not {"script", "link", "iframe", "object", "embed", "base"} & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"):
                assert value is not None
                assert value.startswith(("#", "data:image/png;base64,")), (tag, name, value[:60])
            if name == "style":
                assert not re.search(r"url\((?!#)", value or "")
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_every_figure_is_an_image_with_a_name_of_its_own(runs):
    page = Page(render(compare_runs(runs)))
    drawn = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(drawn) == 6
    assert {attributes.get("role") for attributes in drawn} == {"img"}
    assert len({attributes["aria-label"] for attributes in drawn}) == 6


def test_links_within_the_page_lead_somewhere(runs):
    page = Page(render(compare_runs(runs)))
    ids = [a["id"] for _, a in page.tags if a.get("id")]
    targets = {
        value[1:]
        for _, a in page.tags
        for name in ("href", "xlink:href")
        if (value := a.get(name) or "")[:1] == "#"
    }
    assert targets <= set(ids)


def test_every_figure_is_drawn_in_page_colours(runs):
    text = render(compare_runs(runs))
    assert text.count("<svg") == 6  # cases, cost, differences, slices, validation, losses
    assert "var(--ink)" in text
    assert not re.search("#010203|#040506|#070809", text)
    assert not re.search(r"(fill|stroke): #000000", text)  # invisible on a dark page


def test_the_same_runs_give_the_same_page(runs):
    day = datetime.date(2026, 1, 2)
    assert render(compare_runs(runs), date=day) == render(compare_runs(runs), date=day)


def test_names_from_the_data_are_escaped(make_run):
    cases = [f"{EVIL}{i}" for i in range(N)]
    values = {(f"{EVIL} liver", "dice"): [0.7] * N, ("b", "dice"): [0.6] * N}
    dataset = {"name": EVIL, "licence": EVIL, "reference": EVIL}
    pair = [
        make_run(name, values, cases=cases, dataset=dataset, options={"note": EVIL, "k": name}, overlays=True)
        for name in ("a", "b")
    ]
    text = render(compare_runs(pair), notes=[EVIL], title=EVIL)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    Page(text)


def test_a_single_run_without_pictures_has_a_page(make_run):
    text = render(compare_runs([make_run("supervised", {LIVER: [0.8] * N})]))
    assert "supervised on Phantom" in text
    assert 'id="differences"' not in text
    assert 'id="slices"' not in text
    assert 'id="training"' not in text


def test_runs_with_little_recorded_have_a_page(make_run):
    run = make_run("bare", {LIVER: [0.8] * N}, finished=False, dataset="Phantom", versions=None)
    for path in (run.plan, run.split, run.cost):
        path.unlink()
    text = render(compare_runs([run]))
    assert "training is not finished" in text
    assert "not stated by the dataset" in text
    assert "none of which" not in text  # without a split nobody knows


def test_damaged_overlays_are_a_user_error(runs):
    runs[1].overlays.write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(UserError, match=r"overlays\.npz cannot be read"):
        render(compare_runs(runs))


def test_overlays_are_never_unpickled(runs):
    np.savez(runs[1].overlays, image_0=np.array([{"a": 1}], dtype=object), reference_0=0, prediction_0=0)
    with pytest.raises(UserError, match="allow_pickle=False"):
        render(compare_runs(runs))


def test_a_failing_report_leaves_no_file(make_run, tmp_path: Path):
    with pytest.raises(UserError):
        write_report([make_run("a", {}, finished=False)], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_importing_the_report_loads_neither_torch_nor_matplotlib():
    heavy = ("torch", "matplotlib", "jinja2", "scipy")
    code = f"import sys, distilseg.report; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_quality_against_size_where_networks_differ(make_run):
    values = {LIVER: [0.7] * N}
    runs = [make_run(name, values, cost={"parameters": p}) for name, p in (("small", 1e6), ("large", 9e6))]
    assert "Quality against size" in Page(render(compare_runs(runs))).text
    assert "Quality against size" not in Page(render(compare_runs(runs[:1]))).text
