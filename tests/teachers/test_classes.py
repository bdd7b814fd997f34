"""Teacher's and student's classes: found by name, joined, left to the labels, converted where exact."""

from __future__ import annotations

import numpy as np
import pytest

from distilseg.errors import UserError
from distilseg.teachers.classes import ClassMap, match_classes, read_joined
from distilseg.teachers.teacher import Head

from .small import Numbers, classes

ORGANS = Numbers(
    np.zeros((5, 1, 1, 1), np.float32),
    classes("background", "kidney_left", "Kidney Right", "liver", "spleen"),
)
REGIONS = Numbers(
    np.zeros((3, 1, 1, 1), np.float32),
    (Head("whole", (1, 2, 3)), Head("core", (2, 3)), Head("enhancing", (3,))),
    "sigmoid",
)


def test_classes_are_found_by_name_however_written_and_the_rest_is_one_group() -> None:
    found = match_classes(ORGANS, ("background", "kidney-right", "Liver", "pancreas"))
    assert [(one.name, one.channel, one.heads) for one in found.learned] == [
        ("kidney-right", 1, ((2, 1),)),
        ("Liver", 2, ((3, 1),)),
    ]
    assert found.groups == ((0, 3), (1,), (2,))  # the teacher knows no pancreas: it may lie in its rest
    assert not found.complete


def test_several_heads_are_joined_into_one_class() -> None:
    names, joined = read_joined(["kidney=kidney_left+kidney_right,liver"])
    found = match_classes(ORGANS, ("background", *names), joined=joined)
    np.testing.assert_array_equal(found.matrix_GK, [[0, 1, 1, 0, 0], [0, 0, 0, 1, 0]])
    assert found.complete


def test_nested_regions_become_classes_by_difference() -> None:
    joined = {"edema": "whole - core", "necrosis": "core-enhancing"}
    found = match_classes(REGIONS, ("background", "edema", "necrosis", "enhancing"), joined=joined)
    np.testing.assert_array_equal(found.matrix_GK, [[1, -1, 0], [0, 1, -1], [0, 0, 1]])
    assert found.groups == ((0,), (1,), (2,), (3,))


def test_classes_become_regions_by_joining_their_members() -> None:
    labels = Numbers(np.zeros((4, 1, 1, 1), np.float32), classes("background", "edema", "core", "enhancing"))
    members = {"whole": ("edema", "core", "enhancing")}
    found: ClassMap = match_classes(labels, ("whole", "enhancing"), answers="regions", members=members)
    np.testing.assert_array_equal(found.matrix_GK, [[0, 1, 1, 1], [0, 0, 0, 1]])
    assert found.groups == ((0,), (1,))


def test_two_heads_of_one_name_are_refused() -> None:
    twins = Numbers(np.zeros((3, 1, 1, 1), np.float32), classes("background", "left kidney", "Left_Kidney"))
    with pytest.raises(UserError, match="two classes of one name, 'left kidney' and 'Left_Kidney'"):
        match_classes(twins, ("background", "left_kidney"))


@pytest.mark.parametrize(
    ("teacher", "student", "joined", "told"),
    [
        (
            ORGANS,
            ("background", "pancreas"),
            {},
            "numbers and the student have no class in common: the teacher answers for background,"
            " kidney_left, Kidney Right, liver, spleen, the student learns pancreas",
        ),
        (ORGANS, ("background", "a"), {"a": "livre"}, "class of numbers"),
        (ORGANS, ("background", "liver"), {"spleen": "liver"}, "class of the student"),
        (ORGANS, ("background", "a"), {"a": "liver - spleen"}, "a takes a class away"),
        (ORGANS, ("background", "a"), {"a": "liver + liver"}, "names a class twice"),
        (ORGANS, ("background", "a"), {"a": "liver +"}, "'liver +' has a sign without a class"),
        (
            REGIONS,
            ("background", "a"),
            {"a": "whole + core"},
            "a cannot be made exactly, the region core overlaps what it is joined with",
        ),
        (REGIONS, ("background", "a"), {"a": "core - whole"}, "the region whole does not lie within it"),
        (
            REGIONS,
            ("background", "whole", "core"),
            {},
            "the classes whole and core overlap in numbers: both hold its label 2",
        ),
    ],
)
def test_what_cannot_be_matched_or_is_not_exact_is_refused(
    teacher: Numbers, student: tuple[str, ...], joined: dict[str, str], told: str
) -> None:
    with pytest.raises(UserError) as caught:
        match_classes(teacher, student, joined=joined)
    assert told in str(caught.value)


@pytest.mark.parametrize("text", ["", "a=", "=b", "a,a"])
def test_lists_of_classes_that_say_nothing_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="--classes"):
        read_joined([text])
