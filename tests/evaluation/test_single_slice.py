"""A volume one voxel thick is measured in its plane: by hand, against brute force, along any axis."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest

from distilseg.errors import UserError
from distilseg.evaluation import evaluate_case
from distilseg.evaluation.by_slice import evaluate_slices
from distilseg.evaluation.evaluate import METRICS

LABELS = {0: "background", 1: "organ"}
IN_PLANE = tuple(name for name in METRICS if name not in ("volume_difference_ml", "slice_similarity"))


def values(
    reference: np.ndarray, prediction: np.ndarray, spacing_mm: Sequence[float], **options: object
) -> dict:
    given = {"metrics": IN_PLANE, **options}
    rows = evaluate_case(reference, prediction, case="c", labels=LABELS, spacing_mm=spacing_mm, **given)
    return {row["metric"]: row["value"] for row in rows}


def blobs(seed: int, shape: tuple[int, int]) -> np.ndarray:
    """A smooth random mask [I J] as label map."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    return (noise > np.quantile(noise, 0.7)).astype(np.uint8)


def brute_force(
    reference: np.ndarray, prediction: np.ndarray, spacing_mm: tuple[float, float], tolerance_mm: float
) -> dict[str, float]:
    """HD, HD95, ASSD and NSD of two masks [I J] by looking at every pixel, cell and pair."""

    def inside(mask: np.ndarray, i: int, j: int) -> bool:
        return 0 <= i < mask.shape[0] and 0 <= j < mask.shape[1] and bool(mask[i, j])

    def contour(mask: np.ndarray) -> list[tuple[int, int]]:
        return [
            (i, j)
            for i, j in np.ndindex(mask.shape)
            if mask[i, j]
            and not all(inside(mask, i + a, j + b) for a, b in ((0, 1), (0, -1), (1, 0), (-1, 0)))
        ]

    def cells(mask: np.ndarray) -> dict[tuple[int, int], float]:
        """Marching squares: the length of contour between four pixel centres."""
        lengths = {}
        for i, j in itertools.product(range(-1, mask.shape[0]), range(-1, mask.shape[1])):
            a, b, c, d = (inside(mask, i + x, j + y) for x, y in ((0, 0), (1, 0), (0, 1), (1, 1)))
            cut = math.hypot(spacing_mm[0] / 2, spacing_mm[1] / 2)
            match a + b + c + d:
                case 1 | 3:
                    lengths[i, j] = cut
                case 2 if a == d:
                    lengths[i, j] = 2 * cut
                case 2:
                    lengths[i, j] = spacing_mm[0] if a == b else spacing_mm[1]
        return lengths

    def apart(p: tuple[int, int], q: tuple[int, int]) -> float:
        return math.hypot(*((x - y) * s for x, y, s in zip(p, q, spacing_mm, strict=True)))

    def directed(those: Sequence, others: Sequence) -> list[float]:
        return [min(apart(p, q) for q in others) for p in those]

    r, p = contour(reference), contour(prediction)
    there, back = directed(p, r), directed(r, p)
    cells_r, cells_p = cells(reference), cells(prediction)
    close = total = 0.0
    for own, other in ((cells_r, cells_p), (cells_p, cells_r)):
        nearest = directed(list(own), list(other))
        close += sum(length for length, d in zip(own.values(), nearest, strict=True) if d <= tolerance_mm)
        total += sum(own.values())
    return {
        "hd": max(there + back),
        "hd95": max(np.percentile(there, 95), np.percentile(back, 95)),
        "assd": sum(there + back) / len(there + back),
        "nsd": close / total,
        "nsd_voxel": sum(d <= tolerance_mm for d in there + back) / len(there + back),
    }


def test_a_square_moved_by_two_pixels_by_hand() -> None:
    """5 x 5 pixels of 1 x 2 mm in a slice 10 mm thick, moved by 2 pixels along I.

    The contours have 16 pixels each. Of the reference's columns I = 0..4, the prediction's are 2..6, and its
    contour is I = 2, I = 6 (all J) and J = 0, J = 4. Distances from the reference's contour:
    I = 0: 5 pixels, 2 mm each; I = 1 at both J ends: 1 mm; I = 2 and 3 at the ends: 0;
    I = 4: at the ends 0, between them 3 pixels, 2 mm each. By symmetry the same back.
    """
    reference, prediction = np.zeros((2, 12, 9, 1), np.uint8)
    reference[2:7, 2:7], prediction[4:9, 2:7] = 1, 1
    found = values(reference, prediction, (1, 2, 10))
    assert found["hd"] == found["hd95"] == 2
    assert found["assd"] == pytest.approx((5 * 2 + 2 * 1 + 4 * 0 + 2 * 0 + 3 * 2) / 16)
    assert found["dice"] == pytest.approx(15 / 25)
    # Were the two faces of the slice surface, all 25 pixels would be, and 15 of them at 0.
    assert found["nsd_voxel"] == pytest.approx(8 / 16)


@pytest.mark.parametrize("seed", range(6))
def test_as_brute_force_in_the_plane(seed: int) -> None:
    spacing_mm = (0.8, 1.7)
    reference, prediction = blobs(seed, (24, 19)), blobs(seed + 100, (24, 19))
    expected = brute_force(reference, prediction, spacing_mm, 2.0)
    for axis, thickness_mm in ((0, 9.0), (1, 0.1), (2, 1.0)):
        thick = (np.expand_dims(labels, axis) for labels in (reference, prediction))
        spacing = [*spacing_mm]
        spacing.insert(axis, thickness_mm)
        found = values(*thick, spacing, tolerance_mm=2.0)
        assert {name: found[name] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize("empty", ["nan", "worst", "one"])
@pytest.mark.parametrize("unit", ["mm", "voxel"])
def test_a_slice_is_worth_what_its_plane_is(empty: str, unit: str) -> None:
    reference, nothing = blobs(1, (24, 19)), np.zeros((24, 19), np.uint8)
    for one, other in ((reference, nothing), (nothing, nothing), (reference, blobs(2, (24, 19)))):
        flat = values(one, other, (0.8, 1.7), empty=empty, unit=unit)
        thick = values(one[:, None], other[:, None], (0.8, 5, 1.7), empty=empty, unit=unit)
        assert thick == pytest.approx(flat, nan_ok=True)


def test_its_volume_is_that_of_the_thick_slice() -> None:
    reference, prediction = np.zeros((2, 10, 10, 1), np.uint8)
    prediction[:, :5] = 1
    found = values(reference, prediction, (1, 2, 5), metrics=None)
    assert found["volume_difference_ml"] == pytest.approx(50 * 10 / 1000)


def test_a_metric_of_ones_own_sees_the_plane() -> None:
    seen = []

    def own(reference: np.ndarray, prediction: np.ndarray, *, spacing_mm: Sequence[float]) -> float:
        seen.append((reference.ndim, spacing_mm))
        return 0.0

    labels = blobs(1, (24, 19))[None]
    values(labels, labels, (5, 0.8, 1.7), metrics=[own])
    assert seen == [(2, (0.8, 1.7))]


def test_there_is_no_similarity_of_neighbouring_slices() -> None:
    labels = blobs(1, (24, 19))[None]
    with pytest.raises(UserError, match="slice_similarity needs volumes"):
        values(labels, labels, (1, 1, 1), metrics=["slice_similarity"])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_by_slice_it_is_one_slice_whatever_its_thickness(axis: int) -> None:
    reference, prediction = (np.expand_dims(blobs(seed, (24, 19)), axis) for seed in (1, 2))
    spacing = [2.0, 2.0, 2.0]
    spacing[axis] = 0.5
    rows = evaluate_slices(reference, prediction, case="c", labels=LABELS, spacing_mm=spacing)
    assert {row["case"] for row in rows} == {"c#000"}
    dice = next(row["value"] for row in rows if row["metric"] == "dice")
    assert dice == pytest.approx(values(reference, prediction, spacing)["dice"])
