"""Nearest points against brute force and against a distance transform."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from distilseg.evaluation.nearest import REACH, nearest_mm

from .masks import SPACINGS


def brute_force(points: np.ndarray, surface: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    p, s = np.argwhere(points) * spacing, np.argwhere(surface) * spacing
    return np.sqrt(((p[:, None] - s[None]) ** 2).sum(-1)).min(1)


@settings(deadline=None)
@given(hnp.arrays(bool, (4, 3, 5)), hnp.arrays(bool, (4, 3, 5)), st.sampled_from(SPACINGS))
def test_dense(points: np.ndarray, surface: np.ndarray, spacing: tuple[float, ...]) -> None:
    assume(surface.any())
    expected = brute_force(points, surface, spacing)
    np.testing.assert_allclose(nearest_mm(points, surface, spacing), expected, atol=1e-12)
    within = nearest_mm(points, surface, spacing, within_mm=1.35)
    np.testing.assert_allclose(within, np.where(expected <= 1.35, expected, math.inf), atol=1e-12)


@pytest.mark.parametrize(
    "spacing", [(1.0, 1.0, 1.0), (0.7, 1.3, 2.9), (3.0, 0.4, 1.0), (1.0, 7.0), (0.5, 0.5)]
)
@pytest.mark.parametrize("share", [0.0005, 0.01])
def test_sparse_points_lie_within_and_beyond_reach(spacing: tuple[float, ...], share: float) -> None:
    random = np.random.default_rng(0)
    points, surface = random.random((2, 60, 50, 40)[: len(spacing) + 1]) < share
    surface.flat[7] = True
    expected = brute_force(points, surface, spacing)
    assert (expected > (REACH + 1) * min(spacing)).any()
    np.testing.assert_allclose(nearest_mm(points, surface, spacing), expected)
    transform = ndimage.distance_transform_edt(~surface, sampling=spacing)[points]
    np.testing.assert_allclose(nearest_mm(points, surface, spacing), transform)
    for within in (0.0, 1.93, 8.87):
        np.testing.assert_allclose(
            nearest_mm(points, surface, spacing, within_mm=within),
            np.where(expected <= within, expected, math.inf),
        )


def test_distance_at_the_bound_is_within_it() -> None:
    points, surface = np.zeros((2, 20, 3), bool)
    points[0, 1] = surface[12, 1] = True
    for spacing in (0.5, 1.0, 0.1):
        bound = 12 * spacing
        assert nearest_mm(points, surface, (spacing, 1.0), within_mm=bound) == [bound]


def test_no_points_no_distances() -> None:
    surface = np.ones((3, 3), bool)
    assert nearest_mm(np.zeros((3, 3), bool), surface, (1, 1)).size == 0


def test_order_in_memory_does_not_matter() -> None:
    points, surface = np.random.default_rng(1).random((2, 9, 8, 7)) < 0.1
    expected = brute_force(points, surface, (1, 2, 3))
    np.testing.assert_allclose(
        nearest_mm(np.asfortranarray(points), np.asfortranarray(surface), (1, 2, 3)), expected
    )
