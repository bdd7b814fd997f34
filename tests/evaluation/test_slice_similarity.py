"""Inter-slice similarity by hand: what is compared, what is left out, and over several cases."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from distilseg.errors import UserError
from distilseg.evaluation import accumulated, evaluate_case, evaluate_cases
from distilseg.evaluation.slice_similarity import slice_dice, slice_similarity

NAN = math.nan
SPACING = (0.5, 0.5, 3.0)


def stack(*slices: str) -> np.ndarray:
    """A mask [2 2 D]: each slice by its four voxels, such as "1100"."""
    return np.array([[int(voxel) for voxel in text] for text in slices], bool).T.reshape(2, 2, -1)


# Dice of neighbours: 2·2/(2+2), 2·1/(2+1), 0/(1+0), none, 0/(0+4).
REFERENCE = stack("1100", "1100", "1000", "0000", "0000", "1111")
REFERENCE_DICE = [1, 2 / 3, 0, NAN, 0]
# 2·1/(1+2), 2·2/(2+3), 2·1/(3+1), 0/(1+0), 0/(0+4).
PREDICTION = stack("1000", "1100", "1110", "0010", "0000", "1111")
PREDICTION_DICE = [2 / 3, 4 / 5, 1 / 2, 0, 0]
# The fourth pair is undefined in the reference.
BY_HAND = math.sqrt((1 / 3) ** 2 + (2 / 15) ** 2 + (1 / 2) ** 2)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_by_hand(axis: int) -> None:
    reference, prediction = (np.moveaxis(mask, 2, axis) for mask in (REFERENCE, PREDICTION))
    np.testing.assert_allclose(slice_dice(reference, axis), REFERENCE_DICE)
    np.testing.assert_allclose(slice_dice(prediction, axis), PREDICTION_DICE)
    assert slice_similarity(reference, prediction, axis) == pytest.approx(BY_HAND)
    assert slice_similarity(prediction, reference, axis) == pytest.approx(BY_HAND)
    assert slice_similarity(reference, reference, axis) == 0


def test_flicker_is_seen_that_dice_hardly_sees() -> None:
    steady = np.zeros((10, 10, 20), bool)
    steady[2:8, 2:8] = True
    worn, flickering = steady.copy(), steady.copy()
    worn[2:5, 2, :] = False  # three voxels of every slice
    flickering[2:8, 2, ::2] = False  # six of every other one
    assert worn.sum() == flickering.sum()
    assert slice_similarity(steady, worn, 2) == 0
    # Every pair shares 30 of 36 and 30 voxels.
    assert slice_similarity(steady, flickering, 2) == pytest.approx(math.sqrt(19) * (1 - 60 / 66))


def test_no_pair_no_value() -> None:
    empty = np.zeros_like(REFERENCE)
    assert math.isnan(slice_similarity(REFERENCE, empty, 2))
    assert math.isnan(slice_similarity(empty, empty, 2))
    assert math.isnan(slice_similarity(stack("1111"), stack("1111"), 2))


def rows(reference: np.ndarray, prediction: np.ndarray, **told: Any) -> list[dict[str, Any]]:
    options: dict[str, Any] = {"case": "a", "labels": {1: "vein"}, "spacing_mm": SPACING}
    return evaluate_case(
        reference.astype(np.uint8),
        prediction.astype(np.uint8),
        metrics=["slice_similarity"],
        **(options | told),
    )


def test_by_name_across_the_coarsest_axis() -> None:
    (row,) = rows(REFERENCE, PREDICTION)
    assert row == {
        "case": "a",
        "label": "vein",
        "metric": "slice_similarity",
        "value": pytest.approx(BY_HAND),
    }
    turned = np.moveaxis(REFERENCE, 2, 0), np.moveaxis(PREDICTION, 2, 0)
    assert rows(*turned, spacing_mm=(3, 0.5, 0.5))[0]["value"] == pytest.approx(BY_HAND)
    assert rows(*turned, slice_axis=0)[0]["value"] == pytest.approx(BY_HAND)
    assert rows(*turned)[0]["value"] != pytest.approx(BY_HAND)
    default = evaluate_case(
        REFERENCE, PREDICTION, case="a", labels={1: "vein"}, spacing_mm=SPACING, metrics=None
    )
    assert "slice_similarity" not in {row["metric"] for row in default}


@pytest.mark.parametrize("seed", range(5))
def test_the_box_around_the_structure_is_enough(seed: int) -> None:
    """Two structures, one at the border: as of the whole masks."""
    random = np.random.default_rng(seed)
    reference, prediction = random.integers(0, 3, (2, 6, 7, 8))
    reference[:, :, 5:] = 0
    prediction[:, :2] = 0
    told = {row["label"]: row["value"] for row in rows(reference, prediction, labels={1: "one", 2: "two"})}
    for value, name in ((1, "one"), (2, "two")):
        assert told[name] == pytest.approx(slice_similarity(reference == value, prediction == value, 2))


def test_over_all_cases_as_one_vector() -> None:
    pairs = {"a": (REFERENCE, PREDICTION), "b": (REFERENCE, REFERENCE[:, ::-1]), "c": (PREDICTION, REFERENCE)}
    pairs["d"] = (REFERENCE, np.zeros_like(REFERENCE))
    of_cases = evaluate_cases(
        pairs,
        lambda case: (*pairs[case], (1.0, 1.0, 1.0)),
        labels={1: "vein"},
        metrics=["dice", "slice_similarity"],
        slice_axis=2,
    )
    differences = np.concatenate([slice_dice(a, 2) - slice_dice(b, 2) for a, b in pairs.values()])
    together = np.linalg.norm(differences[np.isfinite(differences)])
    assert accumulated(of_cases) == {"vein": pytest.approx(together)}
    assert together == pytest.approx(math.sqrt(2) * BY_HAND)
    as_text = [{**row, "value": str(row["value"])} for row in of_cases]
    assert accumulated(as_text) == accumulated(of_cases)
    assert accumulated(row for row in of_cases if row["case"] == "d") == {
        "vein": pytest.approx(NAN, nan_ok=True)
    }


def test_mistakes_are_named() -> None:
    flat = np.ones((4, 4), np.uint8)
    with pytest.raises(UserError, match="slice_similarity needs volumes, these are 2D"):
        rows(flat, flat, spacing_mm=(1, 1))
    with pytest.raises(UserError, match="no slice axis 3"):
        rows(REFERENCE, PREDICTION, slice_axis=3)
    with pytest.raises(UserError, match="cases are scored"):
        evaluate_cases([], lambda case: (flat, flat, (1, 1)), labels={1: "a"}, metrics=["dice"], slice_axis=1)
