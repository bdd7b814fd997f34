"""Windows, and values on other grids, as MONAI has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.data.utils import compute_shape_offset, zoom_affine
from monai.inferers import SliceInferer, SlidingWindowInferer
from monai.networks.layers import AffineTransform
from pydantic import ValidationError

from distilseg.runtime.bundle.affine import moved, placed, zoomed
from distilseg.runtime.bundle.windows import Windows


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("gaussian", [True, False])
@pytest.mark.parametrize("padding", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("window", [(8, 6, 5), (16, 8, 4), (-1, 8, 4)])
def test_windows_stand_and_count_as_monais(
    window: tuple[int, int, int], padding: str, gaussian: bool
) -> None:
    image, cval = noise(2, 13, 9, 11), -1.0 if padding == "constant" else 0.0
    torch.manual_seed(0)
    network = torch.nn.Conv3d(2, 3, 3, padding=1)
    theirs = SlidingWindowInferer(
        roi_size=window,
        overlap=(0.5, 0.25, 0.3),
        mode="gaussian" if gaussian else "constant",
        padding_mode=padding,
        cval=cval,
        sw_batch_size=3,
    )
    ours = Windows(window, (0.5, 0.25, 0.3), gaussian, padding=padding, cval=cval, batch=3)  # type: ignore[arg-type]
    with torch.inference_mode():
        expected = theirs(torch.from_numpy(image)[None], network)[0].numpy()
        found = ours(image, lambda shown: network(torch.from_numpy(shown)).numpy())
    assert np.allclose(found, expected, atol=1e-6)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_shown_as_monai_does(axis: int) -> None:
    image = noise(1, 9, 8, 7)
    torch.manual_seed(0)
    network = torch.nn.Conv2d(1, 2, 3, padding=1)
    window = [6, 5]
    theirs = SliceInferer(spatial_dim=axis, roi_size=tuple(window), overlap=0.5)
    window.insert(axis, 1)
    ours = Windows(tuple(window), (0.5, 0.5, 0.5), slices=axis)  # type: ignore[arg-type]
    with torch.inference_mode():
        expected = theirs(torch.from_numpy(image)[None], network)[0].numpy()
        found = ours(image, lambda shown: network(torch.from_numpy(shown)).numpy())
    assert ours.patch == (6, 5)
    assert np.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"window": (0, 8, 8)}, "no window"),
        ({"window": (2**12,) * 3}, "larger than any scan"),
        ({"window": (96,) * 3, "overlap": (0.99,) * 3}, "never end"),
        ({"window": (8, 8, 8), "slices": 1}, "slices across axis 1"),
        ({"window": (8, 8, 8), "sigma": (0.0, 1.0, 1.0)}, "sigma"),
        ({"window": (8, 8, 8), "overlap": (1.0, 0.0, 0.0)}, "less than 1"),
        ({"window": (8, 8, 8), "batch": 10**6}, "less than or equal to 16"),
    ],
)
def test_absurd_windows_are_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Windows(**values)


OFF = np.array([[0, 0, 0, 0.17], [0, 0, 0, -0.4], [0, 0, 0, 0.3], [0] * 4])  # so that nothing lies half-way
LEANING = np.array([[0.9, 0.02, 0.0, 0.3], [0.01, 1.2, 0.03, -0.5], [0.0, 0.02, 0.7, 0.4], [0, 0, 0, 1]])


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("border", ["border", "zeros"])
@pytest.mark.parametrize(
    "matrix", [np.diag([0.47, 1.3, 1.0, 1.0]), np.diag([1.1, 0.63, 2.0, 1.0]) + OFF, LEANING]
)
def test_values_of_another_grid_are_monais(matrix: np.ndarray, border: str, mode: str) -> None:
    values, shape = noise(2, 7, 9, 8), (11, 6, 10)
    theirs = AffineTransform(
        normalized=False, mode=mode, padding_mode=border, align_corners=False, reverse_indexing=True
    )
    expected = theirs(torch.from_numpy(values.astype(np.float64))[None], torch.from_numpy(matrix), shape)[
        0
    ].numpy()
    found = moved(values, matrix, shape, nearest=mode == "nearest", zeros=border == "zeros")
    assert found.dtype == np.float32
    assert np.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize(
    "affine",
    [
        np.diag([0.8, 1.0, 2.0, 1.0]),
        np.diag([-0.8, 1.0, -2.0, 1.0]) + np.array([[0, 0, 0, 9.0], [0, 0, 0, -4.0], [0] * 4, [0] * 4]),
        np.array([[0.9, 0.1, 0, 3.0], [-0.1, 1.1, 0, -2.0], [0, 0.02, 2.0, 1.0], [0, 0, 0, 1.0]]),
    ],
)
def test_a_grid_of_another_spacing_lies_where_monai_puts_it(affine: np.ndarray, diagonal: bool) -> None:
    shape, spacing = (11, 9, 5), (1.3, 0.7, 1.1)
    theirs = zoom_affine(affine, spacing, diagonal=diagonal)
    size, offset = compute_shape_offset(shape, affine, theirs)
    theirs[:3, 3] = offset[:3]
    found, ours = placed(shape, affine, zoomed(affine, spacing, diagonal=diagonal))
    assert found == tuple(size)
    assert np.allclose(ours, theirs)
