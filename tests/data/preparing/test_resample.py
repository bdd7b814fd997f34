"""Resampling against ITK and torch, and what must hold of it whatever the numbers: it keeps the extent."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import SimpleITK as sitk
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from distilseg.data.preparing import resample
from distilseg.data.preparing.resample import _resample_itk, resample_labels, resample_linear
from distilseg.data.preparing.resample import resample as resampled
from distilseg.functional import threads

shapes = st.tuples(*[st.integers(1, 12)] * 3)


@settings(max_examples=60, deadline=None)
@given(shapes, shapes, st.integers(0, 2**31))
def test_equals_itk(coarse: tuple[int, ...], fine: tuple[int, ...], seed: int) -> None:
    image = np.random.default_rng(seed).normal(size=coarse).astype(np.float32)
    expected = _resample_itk(image, fine, sitk.sitkLinear)
    np.testing.assert_allclose(resample_linear(image, fine), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("fine", [(90, 70, 80), (40, 100, 60), (64, 30, 64), (20, 20, 20)])
def test_threads_change_nothing(fine: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(0).normal(size=(64, 65, 66)).astype(np.float32)
    shared = resample_linear(image, fine)
    monkeypatch.setattr(threads, "_WORTH_IT", 2**30)
    monkeypatch.setattr(resample, "_PLANES", 7)
    np.testing.assert_array_equal(resample_linear(image, fine), shared)
    np.testing.assert_allclose(shared, _resample_itk(image, fine, sitk.sitkLinear), rtol=0, atol=4e-6)


def test_by_hand() -> None:
    """Two voxels become four: their centres lie a quarter of a voxel from the old ones."""
    np.testing.assert_allclose(resample_linear(np.array([[[0, 4]]], np.int16), (1, 1, 4))[0, 0], [0, 1, 3, 4])


def test_a_view_with_axes_turned_and_flipped_is_resampled_as_its_copy() -> None:
    image = np.arange(5 * 6 * 7, dtype=np.int16).reshape(5, 6, 7).transpose(2, 0, 1)[:, ::-1]
    np.testing.assert_array_equal(resample_linear(image, (9, 4, 6)), resample_linear(image.copy(), (9, 4, 6)))
    assert resample_linear(image, image.shape).dtype == np.float32


@pytest.mark.parametrize("shape", [(33, 20, 40), (7, 60, 17), (1, 5, 90)])
def test_linear_resampling_has_the_geometry_of_interpolate(shape):
    image = np.random.default_rng(0).standard_normal((20, 31, 17)).astype(np.float32)
    expected = F.interpolate(torch.from_numpy(image)[None, None], size=shape, mode="trilinear")[0, 0].numpy()
    np.testing.assert_allclose(resampled(image, shape), expected, atol=2e-5)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_no_black_border_and_no_shift(interpolation):
    assert np.allclose(resampled(np.full((5, 6, 7), 3, np.int16), (11, 3, 29), interpolation), 3, atol=1e-4)
    ramp = np.broadcast_to(np.arange(24.0)[:, None, None], (24, 4, 4))
    fine = resampled(ramp, (48, 4, 4), interpolation)
    # Half-pixel centres: voxel i of the fine grid lies at (i + 1/2) / 2 - 1/2 of the coarse one.
    np.testing.assert_allclose(fine[12:36, 1, 1], (np.arange(12, 36) + 0.5) / 2 - 0.5, atol=2e-3)


def test_cubic_is_not_linear_and_follows_a_smooth_curve_better():
    coarse = np.cos(2 * np.pi * (np.arange(24) + 0.5) / 8)
    fine = np.cos(2 * np.pi * (np.arange(72) + 0.5) / 24)
    volume = np.broadcast_to(coarse[:, None, None], (24, 3, 3))
    errors = {
        kind: np.abs(resampled(volume, (72, 3, 3), kind)[18:54, 1, 1] - fine[18:54]).max()
        for kind in ("linear", "cubic")
    }
    assert errors["cubic"] < errors["linear"] / 4


def test_labels_take_the_class_with_the_largest_interpolated_indicator():
    rng = np.random.default_rng(1)
    blobs = (
        resampled(rng.standard_normal((6, 6, 6)), (24, 24, 24)),
        resampled(rng.standard_normal((6, 6, 6)), (24,) * 3),
    )
    labels = (np.stack([np.zeros((24,) * 3, np.float32), *blobs]).argmax(0)).astype(np.uint8)
    shape = (35, 16, 50)
    indicators = torch.from_numpy(np.stack([labels == k for k in range(3)]).astype(np.float32))
    scores = F.interpolate(indicators[None], size=shape, mode="trilinear")[0]
    best = scores.topk(2, dim=0)
    clear = ((best.values[0] - best.values[1]) > 1e-4).numpy()
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(resample_labels(labels, shape)[clear], best.indices[0].numpy()[clear])


def test_a_label_map_on_its_own_grid_needs_no_itk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    labels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.testing.assert_array_equal(resample_labels(labels, (2, 3, 4)), labels)
    with pytest.raises(ImportError):
        resample_labels(labels, (4, 6, 8))
