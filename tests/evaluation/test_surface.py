"""Surfaces and their distances: worlds of two voxels, brute force, and MONAI."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance, compute_surface_dice
from scipy import ndimage

from distilseg.evaluation.surface import (
    SurfaceDistances,
    assd,
    hd,
    hd95,
    nsd_voxel,
    surface_distances,
    surface_voxels,
)

from .masks import SPACINGS, batch, blobs


def test_two_voxels_three_apart() -> None:
    reference, prediction = np.zeros((3, 3, 8), bool), np.zeros((3, 3, 8), bool)
    reference[1, 1, 1] = prediction[1, 1, 4] = True
    distances = surface_distances(reference, prediction, (1, 1, 2))
    assert hd(distances) == hd95(distances) == assd(distances) == 6
    assert nsd_voxel(distances, 5.9) == 0
    assert nsd_voxel(distances, 6) == 1


def test_percentile_is_of_each_direction_and_the_mean_of_both() -> None:
    distances = SurfaceDistances(from_prediction=np.arange(101.0), from_reference=np.zeros(899))
    assert hd(distances) == 100
    assert hd95(distances) == 95  # of the pooled distances it would be 50
    assert assd(distances) == pytest.approx(5050 / 1000)  # the average of the two means would be 25
    assert nsd_voxel(distances, 90) == 990 / 1000


def test_a_distance_equal_to_the_tolerance_is_within_it() -> None:
    distances = SurfaceDistances(np.array([3 * 0.1]), np.array([3 * 0.1]))
    assert 3 * 0.1 > 0.3
    assert nsd_voxel(distances, 0.3) == 1


@given(hnp.arrays(bool, st.tuples(*[st.integers(1, 6)] * 3)))
def test_surface_is_the_mask_less_its_erosion(mask: np.ndarray) -> None:
    mask = np.pad(mask, 1)
    assert np.array_equal(surface_voxels(mask), mask & ~ndimage.binary_erosion(mask))


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("seed", range(4))
def test_equals_monai_3d(seed: int, spacing: tuple[float, ...]) -> None:
    reference, prediction = blobs(seed)
    distances = surface_distances(reference, prediction, spacing)
    y_pred, y = batch(prediction), batch(reference)
    options = {"include_background": True, "spacing": spacing}
    assert hd(distances) == pytest.approx(float(compute_hausdorff_distance(y_pred, y, **options)), rel=1e-6)
    monai = compute_hausdorff_distance(y_pred, y, percentile=95, **options)
    assert hd95(distances) == pytest.approx(float(monai), rel=1e-6)
    monai = compute_average_surface_distance(y_pred, y, symmetric=True, **options)
    assert assd(distances) == pytest.approx(float(monai), rel=1e-6)
    for tolerance in (0.0, 1.0, 2.1):
        monai = compute_surface_dice(y_pred, y, [tolerance], **options)
        assert nsd_voxel(distances, tolerance) == pytest.approx(float(monai), rel=1e-6)


def test_equals_monai_2d() -> None:
    reference, prediction = blobs(0, (40, 30))
    distances = surface_distances(reference, prediction, (0.8, 1.7))
    y_pred, y = batch(prediction), batch(reference)
    options = {"include_background": True, "spacing": (0.8, 1.7)}
    monai = compute_hausdorff_distance(y_pred, y, percentile=95, **options)
    assert hd95(distances) == pytest.approx(float(monai), rel=1e-6)
    monai = compute_average_surface_distance(y_pred, y, symmetric=True, **options)
    assert assd(distances) == pytest.approx(float(monai), rel=1e-6)
