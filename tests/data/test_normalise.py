"""Every kind against its definition, and images without contrast."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from distilseg.data.normalise import normalise
from distilseg.data.plan import KINDS, Normalisation, NormalisationKind


def of_kind(kind: NormalisationKind) -> Normalisation:
    return Normalisation(kind=kind, low=-175, high=250, mean=40, std=20)


def test_window_zscore_by_hand() -> None:
    x = np.array([-1000, -175, 40, 60, 3000], np.int16)
    np.testing.assert_allclose(normalise(x, of_kind("window_zscore")), [-10.75, -10.75, 0, 1, 10.5])


def test_range_by_hand() -> None:
    x = np.array([-1000, -175, 37.5, 250, 3000])
    np.testing.assert_allclose(normalise(x, of_kind("range")), [0, 0, 0.5, 1, 1])


def test_range_zscore_nonzero_by_hand() -> None:
    # -175..250 becomes 0, 0.5, 1; over the two non-zero voxels the mean is 0.75 and the deviation 0.25.
    x = np.array([-1000, 37.5, 400])
    np.testing.assert_allclose(normalise(x, of_kind("range_zscore_nonzero")), [0, -1, 1], atol=1e-6)


def test_zscore_is_exact_where_float32_sums_are_not() -> None:
    x = np.random.default_rng(0).uniform(1.0e6, 1.7e6, (40, 50, 35)).astype(np.float32)
    z = normalise(x, of_kind("zscore"))
    expected = (x.astype(np.float64) - x.mean(dtype=np.float64)) / x.std(dtype=np.float64)
    np.testing.assert_allclose(z, expected, atol=1e-5)


def test_zscore_nonzero_leaves_zeros() -> None:
    x = np.array([0, 0, 1, 3, 5], np.uint8)
    z = normalise(x, of_kind("zscore_nonzero"))
    np.testing.assert_array_equal(z[:2], 0)
    assert z[2:].mean() == pytest.approx(0, abs=1e-6)
    assert z[2:].std() == pytest.approx(1)


def test_percentile_is_robust_to_one_hot_voxel() -> None:
    x = np.linspace(0, 1, 1001).astype(np.float32)
    x[500] = 1e6
    scaled = normalise(x, of_kind("percentile"))
    assert scaled.max() == 1
    assert scaled[250] == pytest.approx(0.25, abs=0.01)
    assert normalise(x, of_kind("minmax"))[250] < 1e-6


def test_none_only_changes_the_type() -> None:
    x = np.array([1, 2, 65535], np.uint16)
    np.testing.assert_array_equal(normalise(x, of_kind("none")), x)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0, 7, 1.7e6, 0.1])
def test_constant_images_stay_finite_and_the_input_untouched(kind: NormalisationKind, value: float) -> None:
    x = np.full((4, 5, 6), value, np.float32)
    y = normalise(x, of_kind(kind))
    assert y.dtype == np.float32
    assert y.shape == x.shape
    assert np.isfinite(y).all()
    np.testing.assert_array_equal(x, np.float32(value))
    if kind in ("zscore", "zscore_nonzero", "minmax", "percentile"):
        np.testing.assert_array_equal(y, 0)


@given(arrays(np.int16, (3, 4), elements=st.integers(-2000, 3000)))
def test_bounded_kinds_stay_in_the_unit_range(x: np.ndarray) -> None:
    for kind in ("minmax", "range", "percentile"):
        y = normalise(x, of_kind(kind))
        assert y.min() >= 0
        assert y.max() <= 1
