"""Slices as cases, by hand: what they count, what they flatter, and that they are compared by case."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from distilseg.errors import UserError
from distilseg.evaluation import by_case, evaluate_case, evaluate_cases, evaluate_slices, summarise_rows
from distilseg.evaluation.by_slice import slice_axis

LABELS = {0: "background", 1: "lesion"}
SPACING = (0.5, 0.5, 3.0)


def lesion() -> tuple[np.ndarray, np.ndarray]:
    """Ten slices: 4 voxels in slices 4 and 5 each. Predicted: 2 of those in slice 4, and 4 in slice 6."""
    reference, prediction = np.zeros((2, 8, 8, 10), np.uint8)
    reference[2:4, 2:4, 4:6] = 1
    prediction[2:4, 2:3, 4] = 1
    prediction[2:4, 2:4, 6] = 1
    return reference, prediction


def values(rows: list[dict[str, Any]], metric: str = "dice") -> list[float]:
    return [row["value"] for row in rows if row["metric"] == metric]


def test_slices_where_nothing_is_more_than_double_the_dice() -> None:
    reference, prediction = lesion()
    told: dict[str, Any] = {"case": "a", "labels": LABELS, "spacing_mm": SPACING, "empty": "one"}
    # By case: 8 voxels in the reference, 6 in the prediction, 2 in both.
    whole = {row["metric"]: row["value"] for row in evaluate_case(reference, prediction, **told)}
    assert whole["dice"] == pytest.approx(2 * 2 / (8 + 6))
    assert whole["iou"] == pytest.approx(2 / 12)
    # By slice: 4 is 2·2 / (4 + 2), 5 is missed, 6 is invented, and the seven others hold nothing.
    slices = evaluate_slices(reference, prediction, **told)
    assert values(slices) == pytest.approx([1, 1, 1, 1, 2 / 3, 0, 0, 1, 1, 1])
    assert values(slices, "iou") == pytest.approx([1, 1, 1, 1, 1 / 2, 0, 0, 1, 1, 1])
    dice, iou = (row["mean"] for row in summarise_rows(slices))
    assert dice == pytest.approx((7 + 2 / 3) / 10)
    assert iou == pytest.approx(0.75)  # nearly the Dice, as in papers that scored so
    assert dice > 2.6 * whole["dice"]


def test_a_network_that_finds_nothing_is_good_by_slice() -> None:
    reference, _ = lesion()
    slices = evaluate_slices(
        reference, np.zeros_like(reference), case="a", labels=LABELS, spacing_mm=SPACING, empty="one"
    )
    assert np.mean(values(slices)) == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("empty", "expected"), [("nan", [2 / 3, 0, 0]), ("worst", [2 / 3, 0, 0]), ("monai", [2 / 3, 0])]
)
def test_other_conventions_leave_empty_slices_out(empty: Any, expected: list[float]) -> None:
    slices = evaluate_slices(*lesion(), case="a", labels=LABELS, spacing_mm=SPACING, empty=empty)
    assert [value for value in values(slices) if not math.isnan(value)] == pytest.approx(expected)


def test_each_slice_is_that_slice_judged_alone() -> None:
    random = np.random.default_rng(0)
    reference, prediction = random.integers(0, 4, (2, 5, 6, 7))
    labels = {"whole": (1, 2, 3), "core": (2,)}
    for axis in range(3):
        slices = evaluate_slices(
            reference, prediction, case="a", labels=labels, spacing_mm=SPACING, axis=axis
        )
        alone = [
            row | {"case": f"a#{n:03d}"}
            for n in range(reference.shape[axis])
            for row in evaluate_case(
                reference.take(n, axis),
                prediction.take(n, axis),
                case="a",
                labels=labels,
                spacing_mm=(1, 1),
                metrics=["dice", "iou"],
            )
        ]
        assert slices == alone


@pytest.mark.parametrize(
    ("spacing_mm", "axis"),
    [((0.5, 0.5, 3), 2), ((3, 0.5, 0.5), 0), ((1, 1, 1), 2), ((1, 1.00001, 1), 2), ((1, 2, 1), 1)],
)
def test_across_the_slices_is_the_coarsest_axis(spacing_mm: tuple[float, ...], axis: int) -> None:
    assert slice_axis(spacing_mm) == axis
    reference = np.zeros((3, 4, 5), np.uint8)
    rows = evaluate_slices(reference, reference, case="a", labels=LABELS, spacing_mm=spacing_mm)
    assert [row["case"] for row in rows[::2]] == [f"a#{n:03d}" for n in range(reference.shape[axis])]


def test_a_case_is_the_mean_over_its_slices() -> None:
    values = by_case({"a#1#000": 1, "b#000": math.nan, "a#1#001": math.nan, "a#1#002": 0.5})
    assert values == {"a#1": 0.75, "b": pytest.approx(math.nan, nan_ok=True)}


def test_many_cases_by_slice() -> None:
    reference, prediction = lesion()
    rows = evaluate_cases(
        ["a", "b"],
        lambda case: (reference, prediction, SPACING),
        labels=LABELS,
        empty="one",
        by="slice",
        slice_axis=2,
    )
    assert len(rows) == 2 * 10 * 2
    assert rows[-1]["case"] == "b#009"


def test_mistakes_are_named() -> None:
    flat = np.zeros((4, 4), np.uint8)
    solid = np.zeros((4, 4, 4), np.uint8)
    told: dict[str, Any] = {"case": "a", "labels": LABELS}
    with pytest.raises(UserError, match=r"case a: .* are slices already"):
        evaluate_slices(flat, flat, spacing_mm=(1, 1), **told)
    with pytest.raises(UserError, match="no slice axis 3"):
        evaluate_slices(solid, solid, spacing_mm=SPACING, axis=3, **told)
    with pytest.raises(UserError, match=r"case a: the reference has shape"):
        evaluate_slices(solid, solid[1:], spacing_mm=SPACING, **told)
    with pytest.raises(UserError, match=r"unknown way to score 'slices'.*'slice'"):
        evaluate_cases([], lambda case: (flat, flat, (1, 1)), labels=LABELS, by="slices")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="add --by slice"):
        evaluate_cases([], lambda case: (flat, flat, (1, 1)), labels=LABELS, slice_axis=1)
