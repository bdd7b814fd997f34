"""Label maps in, rows out: regions, cut boxes, units, many cases, and what a user may get wrong."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import tracemalloc
from typing import Any

import numpy as np
import pytest

from distilseg.errors import UserError
from distilseg.evaluation import METRICS, evaluate_case, evaluate_cases, summarise_rows
from distilseg.evaluation.by_slice import evaluate_slices

from .masks import blobs


def values(reference: np.ndarray, prediction: np.ndarray, **options: Any) -> dict[tuple[str, str], float]:
    options = {
        "case": "a",
        "labels": {0: "background", 1: "organ"},
        "spacing_mm": (1,) * reference.ndim,
    } | options
    return {(r["label"], r["metric"]): r["value"] for r in evaluate_case(reference, prediction, **options)}


def two_organs() -> tuple[np.ndarray, np.ndarray]:
    reference, prediction = np.zeros((12, 14, 10), np.uint8), np.zeros((12, 14, 10), np.uint8)
    reference[1:5, 2:6, 3:7], prediction[2:6, 2:6, 3:7] = 1, 1
    reference[8:11, 8:12, 0:4], prediction[8:11, 8:12, 0:4] = 3, 3
    return reference, prediction


def test_rows_by_hand() -> None:
    reference, prediction = two_organs()
    rows = evaluate_case(
        reference,
        prediction,
        case="a",
        labels={0: "background", 1: "left", 3: "right"},
        spacing_mm=(2, 1, 1),
        metrics=("dice", "hd"),
    )
    assert rows == [
        {"case": "a", "label": "left", "metric": "dice", "value": 0.75},
        {"case": "a", "label": "left", "metric": "hd", "value": 2.0},
        {"case": "a", "label": "right", "metric": "dice", "value": 1.0},
        {"case": "a", "label": "right", "metric": "hd", "value": 0.0},
    ]


def test_regions_unite_values_and_may_overlap() -> None:
    reference = np.array([[0, 1, 2, 4, 0]])
    prediction = np.array([[0, 1, 1, 4, 4]])
    got = values(
        reference, prediction, labels={"whole": (1, 2, 4), "core": {1, 4}, "enhancing": 4}, metrics=["dice"]
    )
    assert got == {
        ("whole", "dice"): 2 * 3 / 7,
        ("core", "dice"): 2 * 2 / 6,
        ("enhancing", "dice"): 2 * 1 / 3,
    }


def test_background_is_scored_where_a_region_names_it() -> None:
    got = values(np.array([[0, 0, 1]]), np.array([[0, 1, 1]]), labels={"outside": 0}, metrics=["iou"])
    assert got == {("outside", "iou"): 0.5}


def test_the_cut_changes_nothing() -> None:
    reference, prediction = (mask.astype(np.uint8) for mask in blobs(0))
    inside = values(reference, prediction, metrics=METRICS, spacing_mm=(0.7, 1.3, 2.9))
    padded = [np.pad(labels, ((9, 3), (0, 7), (20, 1))) for labels in (reference, prediction)]
    assert values(*padded, metrics=METRICS, spacing_mm=(0.7, 1.3, 2.9)) == pytest.approx(inside)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint16, np.int64, np.uint64, np.float32, np.float64])
def test_stored_type_and_order_do_not_matter(dtype: type) -> None:
    reference, prediction = (mask.astype(np.uint8) for mask in blobs(3))
    other = values(np.asfortranarray(reference.astype(dtype)), prediction.astype(dtype), metrics=METRICS)
    assert other == pytest.approx(values(reference, prediction, metrics=METRICS))


def test_axes_and_spacing_may_be_permuted() -> None:
    reference, prediction = (mask.astype(np.uint8) for mask in blobs(4))
    plain = values(reference, prediction, spacing_mm=(1, 2, 3), metrics=METRICS)
    turned = values(
        reference.transpose(2, 0, 1), prediction.transpose(2, 0, 1), spacing_mm=(3, 1, 2), metrics=METRICS
    )
    assert turned == pytest.approx(plain)


def test_voxel_unit_ignores_the_spacing_but_for_volumes_and_says_so() -> None:
    reference, prediction = two_organs()
    prediction[5, 2, 3] = 0
    names = ("hd95", "assd", "nsd", "volume_difference_ml")
    got = values(reference, prediction, spacing_mm=(5, 5, 5), unit="voxel", metrics=names)
    plain = values(reference, prediction, spacing_mm=(1, 1, 1), metrics=names)
    assert got["organ", "hd95_in_voxels"] == plain["organ", "hd95"]
    assert got["organ", "nsd_in_voxels"] == plain["organ", "nsd"]
    assert got["organ", "volume_difference_ml"] == pytest.approx(-0.125)
    assert ("organ", "hd95") not in got


def test_tolerance_per_structure() -> None:
    reference, prediction = two_organs()
    prediction[prediction == 3] = 0
    prediction[9:12, 8:12, 0:4] = 3
    labels = {1: "left", 3: "right"}
    got = values(
        reference,
        prediction,
        labels=labels,
        metrics=["nsd", "nsd_voxel"],
        tolerance_mm={"left": 1, "right": 0},
    )
    assert got["left", "nsd"] == got["left", "nsd_voxel"] == 1
    assert got["right", "nsd"] < 1


def test_a_metric_of_ones_own_is_a_function() -> None:
    def heads(reference: np.ndarray, prediction: np.ndarray, *, spacing_mm: Any) -> float:
        return float(reference.sum() + 100 * prediction.sum()) * spacing_mm[0]

    reference, prediction = two_organs()
    assert values(reference, prediction, metrics=[heads], spacing_mm=(2, 1, 1)) == {
        ("organ", "heads"): 2 * 6464.0
    }


def test_values_that_nothing_names_are_no_structure() -> None:
    reference, prediction = two_organs()
    prediction[0] = 250
    assert values(reference, prediction, metrics=["dice"]) == {("organ", "dice"): 0.75}


def test_a_plane_has_no_volume_in_ml() -> None:
    flat = np.ones((4, 4), np.uint8)
    assert {metric for _, metric in values(flat, flat)} == {
        "dice",
        "iou",
        "hd95",
        "assd",
        "nsd",
        "volume_difference_relative",
    }
    with pytest.raises(UserError, match="needs volumes"):
        values(flat, flat, metrics=["volume_difference_ml"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"prediction": np.zeros((3, 3, 4))},
            r"case a: the reference has shape \(3, 3, 3\), the prediction \(3, 3, 4\)",
        ),
        (
            {"prediction": np.full((3, 3, 3), 0.5)},
            "case a: the prediction holds 0.5, no label value; did you pass prob",
        ),
        ({"prediction": np.full((3, 3, 3), math.nan)}, "case a: the prediction holds nan"),
        ({"prediction": np.full((3, 3, 3), "x")}, "case a: the prediction is of type <U1"),
        ({"spacing_mm": (1, 1)}, "case a: spacing"),
        ({"spacing_mm": (1, 0, 1)}, "case a: spacing"),
        ({"metrics": ["hd59"]}, "unknown metric 'hd59'; did you mean 'hd95' or 'hd'?"),
        ({"empty": "brat"}, "unknown convention for empty structures 'brat'; did you mean 'brats'?"),
        ({"unit": "inch"}, "unknown unit"),
        ({"tolerance_mm": {"liver": 1}}, "no tolerance for 'organ'; the tolerances name liver"),
        ({"tolerance_mm": -1}, "tolerance for 'organ' is -1 mm"),
        ({"labels": {0: "background"}}, "name no structure"),
        ({"labels": {1: "organ", 2: "organ"}}, "two label values are named 'organ'"),
        ({"labels": {"organ": ()}}, "region 'organ' unites"),
        ({"labels": {"1": "organ"}}, "region '1' unites"),
        ({"labels": {"organ": -1}}, "region 'organ' unites"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], message: str) -> None:
    reference = np.zeros((3, 3, 3), np.uint8)
    prediction = options.pop("prediction", reference)
    with pytest.raises(UserError, match=message.replace("?", r"\?")) as raised:
        values(reference, prediction, **options)
    assert "\n" not in str(raised.value)
    assert raised.value.fix


def test_many_cases_keep_their_order_and_few_are_in_memory() -> None:
    held, most, lock = 0, 0, threading.Lock()

    def load(case: str) -> tuple[np.ndarray, np.ndarray, tuple[float, ...]]:
        nonlocal held, most
        with lock:
            held += 1
            most = max(most, held)
        reference, prediction = two_organs()
        with lock:
            held -= 1
        return reference, prediction, (1, 1, 1)

    done: list[str] = []
    cases = [f"case_{i}" for i in range(20)]
    rows = evaluate_cases(
        cases, load, labels={1: "organ"}, metrics=["dice"], threads=3, progress=lambda case: done.append(case)
    )
    assert [row["case"] for row in rows] == cases == done
    assert most <= 3


def test_an_error_names_its_case() -> None:
    def load(case: str) -> tuple[np.ndarray, np.ndarray, tuple[float, ...]]:
        if case == "b":
            raise UserError("the file is cut short", "fetch it again")
        return *two_organs(), (1, 1, 1)

    with pytest.raises(UserError, match="case b: the file is cut short; fetch it again"):
        evaluate_cases(["a", "b", "c"], load, labels={1: "organ"})


def test_a_bug_in_a_worker_names_its_case_too() -> None:
    def load(case: str) -> tuple[np.ndarray, np.ndarray, tuple[float, ...]]:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken") as raised:
        evaluate_cases(["a"], load, labels={1: "organ"})
    assert raised.value.__notes__ == ["while evaluating case a"]


def test_summary_leaves_out_and_counts() -> None:
    rows = [
        {"case": case, "label": "organ", "metric": "hd95", "value": value}
        for case, value in [("a", 1.0), ("b", "3.0"), ("c", math.nan), ("d", math.inf)]
    ]
    (summary,) = summarise_rows(rows)
    assert (summary["n"], summary["n_excluded"], summary["mean"], summary["median"]) == (2, 2, 2, 2)
    assert summary["std"] == pytest.approx(math.sqrt(2))


def test_importing_costs_neither_torch_nor_scipy() -> None:
    code = "import sys, distilseg.evaluation; assert not {'torch', 'scipy', 'monai'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_where_axes_lean_volumes_are_of_the_determinant_and_distances_undefined() -> None:
    """A gantry tilt: the edges of a voxel are longer than it is thick."""
    reference = np.zeros((8, 8, 8), np.uint8)
    reference[2:6, 2:6, 2:6] = 1
    prediction = np.zeros_like(reference)
    prediction[2:6, 2:6, 2:5] = 1
    leaning = {"case": "a", "labels": {1: "organ"}, "spacing_mm": (1.0, 1.0, 3.5), "voxel_mm3": 3.0}
    values = {row["metric"]: row["value"] for row in evaluate_case(reference, prediction, **leaning)}
    assert values["volume_difference_ml"] == pytest.approx(-16 * 3 / 1000)
    assert values["dice"] == pytest.approx(2 * 48 / 112)
    assert all(math.isnan(values[metric]) for metric in ("hd95", "assd", "nsd"))
    in_voxels = evaluate_case(reference, prediction, unit="voxel", metrics=["hd"], **leaning)
    assert [row["value"] for row in in_voxels] == [1.0]
    rounded = {**leaning, "voxel_mm3": 3.5 * (1 - 1e-5)}
    assert [row["value"] for row in evaluate_case(reference, prediction, metrics=["hd"], **rounded)] == [3.5]


def test_memory_follows_what_an_atlas_holds_and_not_its_largest_value() -> None:
    reference = np.zeros((20, 20, 20), np.uint32)
    reference[4:10, 4:10, 4:10] = 600_000_000
    reference[12:15, 12:15, 12:15] = 7
    prediction = np.roll(reference, 1, axis=0)
    labels = {0: "background", 7: "small", 600_000_000: "isocortex"}
    tracemalloc.start()
    rows = evaluate_case(
        reference, prediction, case="mouse", labels=labels, spacing_mm=(1, 1, 1), metrics=["dice", "hd"]
    )
    by_slice = evaluate_slices(reference, prediction, case="mouse", labels=labels, spacing_mm=(1, 1, 1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    found = {(row["label"], row["metric"]): row["value"] for row in rows}
    assert found["isocortex", "dice"] == pytest.approx(5 / 6)
    assert found["small", "dice"] == pytest.approx(2 / 3)
    assert found["isocortex", "hd"] == found["small", "hd"] == 1
    thick = [row["value"] for row in by_slice if row["case"] == "mouse#005" and row["label"] == "isocortex"]
    assert thick == [pytest.approx(5 / 6), pytest.approx(5 / 7)]
    assert peak < 50e6
