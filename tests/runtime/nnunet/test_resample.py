"""Resampling as nnU-Net's: against SciPy's and PyTorch's own, and small cases known by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from distilseg.errors import UserError
from distilseg.runtime.nnunet.preparation import Resampling
from distilseg.runtime.nnunet.resample import coarse_axis, nearest, resampled, resampled_labels

CUBIC, LINEAR, TORCH = Resampling("spline", 3), Resampling("spline", 1), Resampling("linear")
OLD, NEW = (7, 9, 8), (10, 6, 13)


def noise(shape: tuple[int, ...] = OLD, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def by_coordinates(array: NDArray[np.float64], shape: tuple[int, ...], order: int) -> NDArray[np.float64]:
    """The definition: voxel i at (i + 1/2) old / new - 1/2, edges repeated."""
    at = np.meshgrid(
        *((np.arange(n) + 0.5) * old / n - 0.5 for old, n in zip(array.shape, shape, strict=True)),
        indexing="ij",
    )
    return map_coordinates(array, at, order=order, mode="nearest")


@pytest.mark.parametrize("how", [CUBIC, LINEAR])
def test_spline(how: Resampling) -> None:
    image = noise()
    expected = by_coordinates(image.astype(np.float64), NEW, how.order)
    expected = expected.clip(image.min(), image.max())
    found = resampled(image, NEW, how, None)
    assert found.dtype == np.float32
    assert np.allclose(found, expected, atol=1e-6)
    assert resampled(image, OLD, how, None) is image


def test_as_pytorch() -> None:
    image = noise()
    expected = torch.nn.functional.interpolate(torch.from_numpy(image)[None, None], NEW, mode="trilinear")
    assert np.allclose(resampled(image, NEW, TORCH, None), expected[0, 0], atol=1e-5)
    across = torch.nn.functional.interpolate(
        torch.from_numpy(image.transpose(1, 0, 2))[None], (NEW[0], NEW[2]), mode="bilinear"
    )[0]
    across = torch.nn.functional.interpolate(across.permute(1, 0, 2)[None, None], NEW, mode="nearest-exact")[
        0, 0
    ]
    assert np.allclose(resampled(image, NEW, TORCH, 1), across, atol=1e-5)


def test_slices_across_a_coarse_axis_are_resampled_one_by_one() -> None:
    image = noise()
    found = resampled(image, NEW, CUBIC, 2)
    inner = np.stack(
        [
            by_coordinates(image[..., i].astype(np.float64), NEW[:2], 3).clip(
                image[..., i].min(), image[..., i].max()
            )
            for i in nearest(OLD[2], NEW[2])
        ],
        2,
    )
    assert np.allclose(found, inner, atol=1e-6)


def test_the_nearest_voxel_and_the_upper_of_two() -> None:
    assert nearest(2, 4).tolist() == [0, 0, 1, 1]
    assert nearest(4, 2).tolist() == [1, 3]  # 0.5 and 2.5 lie between two
    assert nearest(3, 7).tolist() == [0, 0, 1, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("how", "before", "after", "axis"),
    [
        (CUBIC, (3.0, 1.0, 1.0), (3.0, 1.0, 1.0), None),  # just not above three times
        (CUBIC, (3.1, 1.0, 1.0), (1.0, 1.0, 1.0), 0),
        (CUBIC, (1.0, 1.0, 1.0), (1.0, 1.0, 3.1), 2),
        (CUBIC, (1.0, 5.0, 1.0), (9.0, 1.0, 1.0), 1),  # what it has comes first
        (CUBIC, (0.2, 1.0, 1.0), (1.0, 1.0, 1.0), None),  # two are as coarse
        (Resampling("spline", 3, separate=True), (1.0, 1.5, 1.0), (1.0, 1.0, 1.0), 1),
        (Resampling("spline", 3, separate=True), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0), None),
        (Resampling("spline", 3, separate=False), (9.0, 1.0, 1.0), (1.0, 1.0, 1.0), None),
        (Resampling("spline", 3, ratio=10.0), (9.0, 1.0, 1.0), (1.0, 1.0, 1.0), None),
    ],
)
def test_which_axis_is_coarse(
    how: Resampling, before: tuple[float, ...], after: tuple[float, ...], axis: int | None
) -> None:
    assert coarse_axis(how, before, after) == axis


def test_labels_by_hand() -> None:
    labels = np.array([[[0, 0, 2, 2]]])
    assert resampled_labels(labels, (1, 1, 8), LINEAR, None).tolist() == [[[0, 0, 0, 0, 2, 2, 2, 2]]]
    # Halfway between two labels both have half of the voxel: the upper of two as near has it.
    assert resampled_labels(np.array([[[1, 2]]]), (1, 1, 1), LINEAR, None).tolist() == [[[2]]]
    assert resampled_labels(np.array([[[1, 2]]]), (1, 1, 1), TORCH, None).tolist() == [[[1]]]
    # Of four with a quarter each, too.
    assert resampled_labels(np.array([[[1, 2], [3, 4]]]), (1, 1, 1), LINEAR, None).tolist() == [[[4]]]


def test_labels_across_a_coarse_axis() -> None:
    labels = np.zeros((3, 4, 4), np.int32)
    labels[1, 1:3, 1:3] = 5
    found = resampled_labels(labels, (6, 4, 4), LINEAR, 0)
    assert np.array_equal(found, labels.repeat(2, 0))
    across = resampled_labels(labels, (6, 4, 4), Resampling("spline", 1, 1), 0)
    assert set(np.unique(across)) == {0, 5}


def test_plans_that_resample_nothing() -> None:
    image = noise()
    assert resampled(image, OLD, Resampling("none"), None) is image
    with pytest.raises(UserError, match=r"but not what comes back: \[7, 9, 8\] voxels should become"):
        resampled(image, NEW, Resampling("none"), None)
