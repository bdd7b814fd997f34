"""Labels lie apart and cover as little as can be."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilseg.report.labels import Box, least_covering, spread

HEIGHTS = st.floats(0.1, 0.5)
PLACES = st.floats(-3, 3)


@given(st.lists(st.tuples(PLACES, HEIGHTS), min_size=1, max_size=12))
def test_spread_labels_keep_their_order_and_lie_apart(wanted):
    places, heights = [sorted(p for p, _ in wanted), [h for _, h in wanted]]
    found = spread(places, heights)
    for (a, b), (low, high) in zip(pairwise(found), pairwise(heights), strict=True):
        assert b - a >= (low + high) / 2 - 1e-9


def test_labels_with_room_stay_where_they_are():
    assert spread([0.0, 1.0, 2.0], [0.2] * 3) == pytest.approx([0.0, 1.0, 2.0])


def test_labels_of_one_place_share_the_move():
    assert spread([1.0, 1.0, 1.0], [0.2] * 3) == pytest.approx([0.8, 1.0, 1.2])


def test_overlap_is_the_shared_area():
    assert Box(0, 0, 2, 2).overlap(Box(1, 1, 3, 4)) == pytest.approx(1)
    assert Box(0, 0, 2, 2).overlap(Box(2, 0, 3, 2)) == 0
    assert Box(-1, 0, 1, 1).outside(Box(0, 0, 9, 9)) == pytest.approx(1)


def test_the_free_candidate_is_taken_and_the_nearest_shift():
    room, taken = Box(0, 0, 10, 10), [Box(0, 0, 2, 2)]
    label, other = Box(1, 1, 2, 2), Box(5, 1, 6, 2)
    assert least_covering([[label], [other]], taken, room, shifts=[0.0, 1.0]) == [other]
    assert least_covering([[label]], taken, room, shifts=[0.0, 0.5, 1.0, 2.0]) == [label.moved(up=1.0)]


def test_nothing_leaves_the_room_where_it_can_stay():
    room = Box(0, 0, 4, 4)
    found = least_covering([[Box(1, 3.5, 2, 4.5)]], [], room, shifts=[0.0, 0.5, -0.5])
    assert found == [Box(1, 3.0, 2, 4.0)]
