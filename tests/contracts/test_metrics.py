"""What every metric promises: perfect, empty, shifted by a known distance, and the same for all of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from monai.metrics import (
    DiceMetric,
    compute_average_surface_distance,
    compute_hausdorff_distance,
    compute_surface_dice,
)

from distilseg.evaluation import METRICS, evaluate_case

OVERLAPS = ("dice", "iou", "nsd", "nsd_voxel")
DISTANCES = ("hd", "hd95", "assd")
PERFECT = dict.fromkeys(OVERLAPS, 1.0) | dict.fromkeys(set(METRICS) - set(OVERLAPS), 0.0)
NAN = math.nan
SPACING = (0.5, 2.0, 3.0)
SHAPE = (12, 10, 8)
DIAGONAL = math.sqrt(6**2 + 20**2 + 24**2)


def score(metric: str, reference: np.ndarray, prediction: np.ndarray, **options: Any) -> float:
    (row,) = evaluate_case(
        reference,
        prediction,
        case="a",
        labels={1: "organ"},
        metrics=[metric],
        **({"spacing_mm": SPACING[: reference.ndim]} | options),
    )
    return float(row["value"])


def organ(*, shift: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[3:8, 2:6, 2:6] = 1
    return np.roll(labels, shift, axis=(0, 1, 2))


EMPTY = np.zeros(SHAPE, np.uint8)


@pytest.mark.parametrize("metric", METRICS)
def test_perfect(metric: str) -> None:
    assert score(metric, organ(), organ(), tolerance_mm=0) == PERFECT[metric]


@pytest.mark.parametrize("metric", METRICS)
def test_perfect_where_the_structure_fills_the_image(metric: str) -> None:
    full = np.ones(SHAPE, np.uint8)
    assert score(metric, full, full, tolerance_mm=0) == PERFECT[metric]


@pytest.mark.parametrize("metric", METRICS)
def test_swapping_the_two_changes_at_most_the_sign(metric: str) -> None:
    big = organ()
    big[2, 2:6, 2:6] = 1
    there, back = score(metric, organ(), big), score(metric, big, organ())
    if metric == "volume_difference_ml":
        assert there == pytest.approx(-back)
        assert there == pytest.approx(16 * 3 / 1000)
    elif metric == "volume_difference_relative":
        assert (there, back) == (0.2, -16 / 96)
    else:
        assert there == pytest.approx(back)


@pytest.mark.parametrize("metric", DISTANCES)
@pytest.mark.parametrize("axis", range(3))
def test_a_plane_shifted_by_one_voxel_is_one_spacing_away(metric: str, axis: int) -> None:
    # A sheet across the image: every surface voxel moves by exactly one spacing.
    reference, prediction = np.zeros((2, *SHAPE), np.uint8)
    np.moveaxis(reference, axis, 0)[3] = 1
    np.moveaxis(prediction, axis, 0)[4] = 1
    assert score(metric, reference, prediction) == pytest.approx(SPACING[axis])


@pytest.mark.parametrize("axis", range(3))
def test_a_shift_is_within_a_tolerance_of_one_spacing(axis: int) -> None:
    moved = organ(shift=tuple(int(i == axis) for i in range(3)))  # type: ignore[arg-type]
    for metric in ("nsd", "nsd_voxel"):
        assert score(metric, organ(), moved, tolerance_mm=SPACING[axis]) == 1
        assert score(metric, organ(), moved, tolerance_mm=0.9 * SPACING[axis]) < 1


@pytest.mark.parametrize("axis", range(3))
def test_the_largest_distance_after_a_shift_is_the_shift(axis: int) -> None:
    shift = tuple(2 * int(i == axis) for i in range(3))
    assert score("hd", organ(), organ(shift=shift)) == pytest.approx(2 * SPACING[axis])  # type: ignore[arg-type]


@pytest.mark.parametrize("metric", DISTANCES)
def test_two_pixels_two_mm_away(metric: str) -> None:
    reference, prediction = np.array([[1, 0, 0]]), np.array([[0, 0, 1]])
    assert score(metric, reference, prediction, spacing_mm=(5, 1)) == 2
    assert score(metric, reference.T, prediction.T, spacing_mm=(1.5, 1)) == 3


def test_two_pixels_two_mm_away_share_nothing_but_their_surface_at_two_mm() -> None:
    reference, prediction = np.array([[1, 0, 0]]), np.array([[0, 0, 1]])
    options = {"spacing_mm": (1, 1)}
    for metric in ("dice", "iou"):
        assert score(metric, reference, prediction, **options) == 0
    assert score("nsd_voxel", reference, prediction, tolerance_mm=1.9, **options) == 0
    assert score("nsd_voxel", reference, prediction, tolerance_mm=2, **options) == 1
    assert score("nsd", reference, prediction, tolerance_mm=0.9, **options) == 0
    assert score("nsd", reference, prediction, tolerance_mm=1, **options) == 0.5
    assert score("nsd", reference, prediction, tolerance_mm=2, **options) == 1


# convention -> metric -> (both empty, prediction empty, reference empty)
CONVENTIONS: dict[str, dict[tuple[str, ...], tuple[float, float, float]]] = {
    "nan": {OVERLAPS: (NAN, 0, 0), DISTANCES: (NAN, NAN, NAN)},
    "monai": {
        ("dice", "iou"): (NAN, 0, NAN),
        ("nsd", "nsd_voxel"): (NAN, 0, 0),
        DISTANCES: (NAN, math.inf, math.inf),
    },
    "brats": {OVERLAPS: (1, 0, 0), DISTANCES: (0, DIAGONAL, DIAGONAL)},
    "worst": {OVERLAPS: (NAN, 0, 0), DISTANCES: (NAN, DIAGONAL, DIAGONAL)},
    "one": {OVERLAPS: (1, 0, 0), DISTANCES: (NAN, NAN, NAN)},
}


@pytest.mark.parametrize("empty", CONVENTIONS)
@pytest.mark.parametrize("metric", [*OVERLAPS, *DISTANCES])
def test_empty_structures(metric: str, empty: str) -> None:
    (expected,) = (values for metrics, values in CONVENTIONS[empty].items() if metric in metrics)
    got = [
        score(metric, reference, prediction, empty=empty)
        for reference, prediction in [(EMPTY, EMPTY), (organ(), EMPTY), (EMPTY, organ())]
    ]
    np.testing.assert_allclose(got, expected)


@pytest.mark.parametrize("empty", CONVENTIONS)
def test_volume_differences_of_empty_structures_need_no_convention(empty: str) -> None:
    ml = 80 * 3 / 1000
    assert score("volume_difference_ml", EMPTY, EMPTY, empty=empty) == 0
    assert score("volume_difference_ml", organ(), EMPTY, empty=empty) == pytest.approx(-ml)
    assert score("volume_difference_ml", EMPTY, organ(), empty=empty) == pytest.approx(ml)
    assert score("volume_difference_relative", organ(), EMPTY, empty=empty) == -1
    assert math.isnan(score("volume_difference_relative", EMPTY, organ(), empty=empty))


@pytest.mark.filterwarnings("ignore:the (ground truth|prediction) of class:UserWarning")
@pytest.mark.parametrize(("reference", "prediction"), [(EMPTY, EMPTY), (organ(), EMPTY), (EMPTY, organ())])
def test_the_convention_named_monai_is_monais(reference: np.ndarray, prediction: np.ndarray) -> None:
    y_pred, y = (torch.from_numpy(labels == 1)[None, None] for labels in (prediction, reference))
    monai = {
        "dice": DiceMetric()(y_pred.float(), y.float()),
        "hd": compute_hausdorff_distance(y_pred, y, include_background=True),
        "assd": compute_average_surface_distance(y_pred, y, symmetric=True, include_background=True),
        "nsd": compute_surface_dice(y_pred, y, [1.0], include_background=True),
    }
    for metric, value in monai.items():
        np.testing.assert_equal(score(metric, reference, prediction, empty="monai"), float(value))
    # MONAI's quantile of infinite distances is NaN, where their maximum and mean are infinite.
    assert math.isnan(float(compute_hausdorff_distance(y_pred, y, percentile=95, include_background=True)))
    assert not math.isfinite(score("hd95", reference, prediction, empty="monai"))
