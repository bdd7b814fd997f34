"""Overlap, by hand and against MONAI."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from monai.metrics import DiceMetric, MeanIoU

from distilseg.evaluation.overlap import (
    Counts,
    count,
    dice,
    iou,
    volume_difference_ml,
    volume_difference_relative,
)

MASKS = hnp.arrays(bool, (4, 5, 3))


def test_by_hand() -> None:
    counts = count(np.array([1, 1, 1, 1, 0], dtype=bool), np.array([0, 1, 1, 1, 1], dtype=bool))
    assert counts == Counts(reference=4, prediction=4, both=3)
    assert dice(counts) == 6 / 8
    assert iou(counts) == 3 / 5


def test_volumes_by_hand() -> None:
    counts = Counts(reference=100, prediction=150, both=90)
    # 50 voxels of 1 x 2 x 5 mm are 500 mm³.
    assert volume_difference_ml(counts, 10) == pytest.approx(0.5)
    assert volume_difference_relative(counts) == 0.5
    assert volume_difference_relative(Counts(100, 40, 40)) == -0.6
    assert math.isnan(volume_difference_relative(Counts(0, 40, 0)))


@given(MASKS, MASKS)
def test_equals_monai(reference: np.ndarray, prediction: np.ndarray) -> None:
    counts = count(reference, prediction)
    y_pred, y = (torch.from_numpy(mask)[None, None].float() for mask in (prediction, reference))
    if counts.reference:
        assert dice(counts) == pytest.approx(float(DiceMetric()(y_pred, y)), abs=1e-6)
        assert iou(counts) == pytest.approx(float(MeanIoU()(y_pred, y)), abs=1e-6)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 50))
def test_iou_and_dice_tell_the_same(only_reference: int, only_prediction: int, both: int) -> None:
    counts = Counts(only_reference + both, only_prediction + both, both)
    assert iou(counts) == pytest.approx(dice(counts) / (2 - dice(counts)))
