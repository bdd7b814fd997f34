"""Quality against size: drawn where sizes differ, true to scale, labels apart, told in words."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from distilseg.report import compare_runs
from distilseg.report.bubbles import LARGEST, STEP, _Axis, _groups, _labels, _points, bubbles
from distilseg.report.labels import Box
from distilseg.report.pictures import standalone

from .conftest import CASES

ROOM = Box(0, 0, 8.4, 3.5)
STUDENTS = ("t1", "t2", "t12", "all <three>")


def column(mean):
    return [mean + 0.01 * (i - 5.5) for i in range(len(CASES))]


@pytest.fixture
def comparison(make_run):
    """Two big teachers, a light control and its students, which cost what it costs."""

    def run(name, mean, parameters, operations, **experiment):
        cost = {"parameters": parameters, "multiply_accumulates": operations}
        told = {"counted_on": [1, 2, 48, 48, 48], **cost}
        return make_run(name, {("GTV", "dice"): column(mean)}, cost=told, **experiment)

    light = (1_500_000, 2e9)
    return compare_runs(
        [
            run("big", 0.74, 11_000_000, 8e9),
            run("bigger", 0.71, 90_000_000, 4e9),
            run("control", 0.68, *light),
            *(
                run(name, 0.68 + 0.004 * n, *light, control="control", teachers={"a": "big", "b": "bigger"})
                for n, name in enumerate(STUDENTS)
            ),
        ]
    )


def texts(svg):
    return [(e.text or "").strip() for e in ET.fromstring(svg).iter() if e.tag.endswith("}text")]


def placed(comparison):
    groups = _groups(_points(comparison, {}))
    axis = _Axis.over(groups, ROOM, 8e9)
    return axis, [[axis.place(point, group, n) for n, point in enumerate(group)] for group in groups]


def test_everyone_is_named_and_the_sizes_are_explained(comparison):
    told = texts(bubbles(comparison))
    assert {"big", "bigger", "control", *STUDENTS} <= set(told)
    assert {"teacher", "control", "student", "arrow: from its control"} <= set(told)
    assert {"5 G", "2 G", "0.5 G", "of one patch, 48×48×48"} <= set(told)
    assert "parameters [millions], logarithmic" in told


def test_roles_come_from_who_taught_and_who_is_measured_against_whom(comparison):
    roles = {point.name: point.role for point in _points(comparison, {})}
    assert roles == {"big": "teacher", "bigger": "teacher", "control": "control"} | dict.fromkeys(
        STUDENTS, "student"
    )


def test_a_bubble_s_area_is_its_operations(comparison):
    _, groups = placed(comparison)
    radius = {one.point.name: one.radius for group in groups for one in group}
    assert radius["big"] == pytest.approx(LARGEST)
    assert (radius["big"] / radius["bigger"]) ** 2 == pytest.approx(2)
    assert (radius["big"] / radius["t1"]) ** 2 == pytest.approx(4)


def test_parameters_are_on_a_logarithmic_axis(comparison):
    axis, groups = placed(comparison)
    x = {one.point.name: one.x for group in groups for one in group}
    light = math.fsum(x[name] for name in ("control", *STUDENTS)) / 5
    ratio = (x["bigger"] - x["big"]) / (x["big"] - light)
    assert ratio == pytest.approx(math.log(90 / 11) / math.log(11 / 1.5))
    assert axis.x(1_500_000) == pytest.approx(light)


def test_runs_of_one_network_stand_side_by_side_from_low_to_high(comparison):
    _, groups = placed(comparison)
    assert [len(group) for group in groups] == [5, 1, 1]
    steps = [b.x - a.x for a, b in pairwise(groups[0])]
    assert steps == pytest.approx([STEP] * 4)
    assert [one.y for one in groups[0]] == sorted(one.y for one in groups[0])


def test_no_label_covers_another_or_a_bubble(comparison):
    _, groups = placed(comparison)
    labels = _labels(groups, ROOM)
    assert len(labels) == 7
    for name, box in labels.items():
        assert all(box.overlap(other) == 0 for n, other in labels.items() if n != name)
        assert all(box.overlap(b) == 0 for group in groups for one in group for b in one.drawn)
        assert box.outside(ROOM) == pytest.approx(0)


def test_it_is_told_in_words_and_escaped(comparison):
    root = ET.fromstring(bubbles(comparison))
    told = root.get("aria-label", "")
    assert root.get("role") == "img"
    assert told.startswith("Dice against parameters")
    assert "big (teacher) 0.740, 11.0 M parameters, 8.00 G" in told
    assert "all <three> (student)" in told
    assert ET.fromstring(standalone(bubbles(comparison))).get("width", "").endswith("pt")


def test_names_can_be_given(comparison):
    told = texts(bubbles(comparison, {"big": "T1 H-DenseFormer"}))
    assert "T1 H-DenseFormer" in told
    assert "big" not in told


def test_nothing_where_networks_are_of_one_size(make_run):
    values = {("GTV", "dice"): column(0.7)}
    runs = [make_run(name, values, cost={"parameters": 1_000_000}) for name in ("a", "b")]
    assert bubbles(compare_runs(runs)) == ""
    assert bubbles(compare_runs(runs[:1])) == ""


def test_without_operations_only_dots_and_no_sizes(make_run):
    values = {("GTV", "dice"): column(0.7)}
    runs = [make_run(name, values, cost={"parameters": p}) for name, p in (("a", 1e6), ("b", 2e6))]
    told = texts(bubbles(compare_runs(runs)))
    assert {"a", "b"} <= set(told)
    assert not any(re.search(r" G$|multiply", text) for text in told)


def test_teachers_are_told_apart_by_the_options_of_their_networks(make_run):
    values = {("GTV", "dice"): column(0.7)}
    widths = (8, 16)
    runs = [
        make_run(
            f"run-{width}",
            values,
            recipe="plain",
            options={"student": "a", "student_options": {"width": width}},
        )
        for width in widths
    ]
    names = [contender.name for contender in compare_runs(runs).contenders]
    assert names == ["plain (width=8)", "plain (width=16)"]
