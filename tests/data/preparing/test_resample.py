"""Linear resampling against ITK's, and what must hold of it whatever the numbers."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from distilseg.data.preparing import resample
from distilseg.data.preparing.preprocess import _resample
from distilseg.data.preparing.resample import resample_linear
from distilseg.functional import threads

shapes = st.tuples(*[st.integers(1, 12)] * 3)


@settings(max_examples=60, deadline=None)
@given(shapes, shapes, st.integers(0, 2**31))
def test_equals_itk(coarse: tuple[int, ...], fine: tuple[int, ...], seed: int) -> None:
    image = np.random.default_rng(seed).normal(size=coarse).astype(np.float32)
    expected = _resample(image, fine, sitk.sitkLinear)
    np.testing.assert_allclose(resample_linear(image, fine), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("fine", [(90, 70, 80), (40, 100, 60), (64, 30, 64), (20, 20, 20)])
def test_threads_change_nothing(fine: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(0).normal(size=(64, 65, 66)).astype(np.float32)
    shared = resample_linear(image, fine)
    monkeypatch.setattr(threads, "_WORTH_IT", 2**30)
    monkeypatch.setattr(resample, "_PLANES", 7)
    np.testing.assert_array_equal(resample_linear(image, fine), shared)
    np.testing.assert_allclose(shared, _resample(image, fine, sitk.sitkLinear), rtol=0, atol=4e-6)


def test_by_hand() -> None:
    """Two voxels become four: their centres lie a quarter of a voxel from the old ones."""
    np.testing.assert_allclose(resample_linear(np.array([[[0, 4]]], np.int16), (1, 1, 4))[0, 0], [0, 1, 3, 4])


def test_a_view_with_axes_turned_and_flipped_is_resampled_as_its_copy() -> None:
    image = np.arange(5 * 6 * 7, dtype=np.int16).reshape(5, 6, 7).transpose(2, 0, 1)[:, ::-1]
    np.testing.assert_array_equal(resample_linear(image, (9, 4, 6)), resample_linear(image.copy(), (9, 4, 6)))
    assert resample_linear(image, image.shape).dtype == np.float32
