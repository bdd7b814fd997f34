"""Holes as SciPy fills them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_fill_holes

from distilseg.runtime.nnunet.holes import filled


@pytest.mark.parametrize("share", [0.2, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("shape", [(9, 11, 7), (12, 1, 9), (1, 1, 1), (15, 14)])
def test_as_scipy_fills_them(shape: tuple[int, ...], share: float) -> None:
    mask = np.random.default_rng(0).random(shape) < share
    before = mask.copy()
    assert np.array_equal(filled(mask), binary_fill_holes(mask))
    assert np.array_equal(mask, before)


def test_a_winding_way_out_is_no_hole() -> None:
    mask = np.zeros((9, 9), bool)
    mask[1::2] = True
    mask[1::4, 0] = mask[3::4, -1] = False  # from line to line, turning at every end
    mask[0] = mask[-1] = mask[1:-1, 0] = True
    mask[:, -1] = True
    assert filled(mask).all()
    mask[8, 4] = False
    mask[7, 1] = False
    assert np.array_equal(filled(mask), binary_fill_holes(mask))
    assert not filled(mask).all()
