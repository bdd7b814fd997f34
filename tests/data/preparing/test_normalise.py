"""Every kind against its definition, and images without contrast."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from distilseg.data.planning.normalisation import KINDS, Normalisation, NormalisationKind
from distilseg.data.preparing.normalise import normalise


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


def test_damped_zscore_by_hand() -> None:
    # Mean 2, deviation 1; a faint image is shrunk by std / (std + 0.001).
    x = np.array([1, 3], np.float32)
    np.testing.assert_allclose(normalise(x, of_kind("zscore_damped")), [-1 / 1.001, 1 / 1.001], rtol=1e-6)
    np.testing.assert_allclose(normalise(x / 1000, of_kind("zscore_damped")), [-0.5, 0.5], rtol=1e-5)


def test_maximum_by_hand() -> None:
    x = np.array([-7, 0, 5, 20], np.int16)
    np.testing.assert_allclose(normalise(x, of_kind("maximum")), [0, 0, 0.25, 1])
    np.testing.assert_array_equal(normalise(np.array([-3, -1]), of_kind("maximum")), 0)


def test_the_window_of_hecktor_21_by_hand() -> None:
    ct = Normalisation(kind="window_zscore", low=-1024, high=1024, mean=0, std=1024)
    np.testing.assert_allclose(normalise(np.array([-3000, -512, 0, 2000]), ct), [-1, -0.5, 0, 1])


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
    if kind in ("zscore", "zscore_nonzero", "zscore_damped", "minmax", "percentile"):
        np.testing.assert_array_equal(y, 0)


@given(arrays(np.int16, (3, 4), elements=st.integers(-2000, 3000)))
def test_bounded_kinds_stay_in_the_unit_range(x: np.ndarray) -> None:
    for kind in ("minmax", "range", "percentile", "maximum"):
        y = normalise(x, of_kind(kind))
        assert y.min() >= 0
        assert y.max() <= 1
