"""Splines as SciPy makes them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import zoom

from distilseg.data.preparing.splines import spline_matrix, spline_resized


@pytest.mark.parametrize("order", range(6))
@pytest.mark.parametrize(
    ("old", "new"),
    [(7, 10), (9, 6), (40, 30), (5, 5), (1, 3), (3, 1), (2, 7), (130, 33), (33, 170), (64, 57)],
)
def test_as_scipy_makes_them(old: int, new: int, order: int) -> None:
    x = np.random.default_rng(0).normal(size=old)
    expected = zoom(x, new / old, order=order, mode="nearest", grid_mode=True)
    assert np.allclose(spline_matrix(old, new, order) @ x, expected, atol=1e-12)


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_of_a_volume_however_it_lies_in_memory(kind: type, order: int) -> None:
    x = np.random.default_rng(0).normal(size=(25, 30, 90)).astype(kind).transpose(2, 0, 1)
    shape = (140, 25, 13)
    expected = zoom(
        x.astype(np.float64), np.divide(shape, x.shape), order=order, mode="nearest", grid_mode=True
    )
    found = spline_resized(x, shape, order)
    assert found.dtype == kind
    assert np.allclose(found, expected, atol=2e-6 if kind is np.float32 else 1e-12)


def test_what_is_constant_stays_so() -> None:
    assert np.allclose(spline_matrix(50, 17, 3).sum(1), 1)
