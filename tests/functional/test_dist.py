"""Centroids of classes and correlation distances: by hand, against NumPy, and where they are undefined."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distilseg.functional.dist import (
    class_centroids,
    class_sums,
    correlation_distance,
    flat_distance,
    inter_class,
    intra_class,
)

YES = torch.ones(1, 3, dtype=torch.bool)


def test_centroids_by_hand() -> None:
    feature = torch.tensor([[[[1.0, 3.0], [5.0, 7.0]], [[0.0, 2.0], [10.0, 4.0]]]])  # [1 2 2 2]
    label = torch.tensor([[[[0, 0], [0, 2]]]])
    centroids, present = class_centroids(feature, label, 3)
    assert centroids.tolist() == [[[3.0, 4.0], [0.0, 0.0], [7.0, 4.0]]]
    assert present.tolist() == [[True, False, True]]
    sums, pixels = class_sums(feature, label, 3)
    assert sums.tolist() == [[[9.0, 12.0], [0.0, 0.0], [7.0, 4.0]]]
    assert pixels.tolist() == [[3.0, 0.0, 1.0]]


def test_grids_are_brought_together_either_way() -> None:
    feature = torch.tensor([[[[0.0, 4.0]]]])
    label = torch.tensor([[[[0, 0, 1, 1]]]])  # features enlarged: 0, 1, 3, 4
    enlarged, _ = class_centroids(feature, label, 2)
    assert enlarged.tolist() == [[[0.5], [3.5]]]
    nearest, _ = class_centroids(feature, label, 2, resize="label")
    assert nearest.tolist() == [[[0.0], [4.0]]]


def test_a_feature_on_another_grid_is_not_summed() -> None:
    with pytest.raises(ValueError, match=r"a feature of \[1, 1, 1, 2\] and a label of \[1, 1, 1, 4\]"):
        class_sums(torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 4), 2)


def test_distances_by_hand() -> None:
    """d = 0 for proportional vectors, 2 for opposite ones, 1 - 1/2 for (1 2 3) and (1 3 2)."""
    teacher = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    student = torch.tensor([[[10.0, 20.0, 30.0], [3.0, 2.0, 1.0], [1.0, 3.0, 2.0]]])
    assert inter_class(student, teacher, YES).item() == pytest.approx((0 + 2 + 0.5) / 3, abs=1e-6)
    only = torch.tensor([[True, False, True]])
    assert inter_class(student, teacher, only).item() == pytest.approx(0.25, abs=1e-6)
    assert intra_class(student.mT, teacher.mT, YES).item() == pytest.approx((0 + 2 + 0.5) / 3, abs=1e-6)


def test_a_scale_and_an_offset_cost_nothing() -> None:
    matrix = torch.randn(4, 4, dtype=torch.float64)
    rows = torch.ones(1, 4, dtype=torch.bool)
    for distance in (inter_class, intra_class, flat_distance):
        assert abs(distance(matrix[None] * 3 - 7, matrix, rows).item()) < 1e-12
        assert distance(-matrix[None], matrix, rows).item() == pytest.approx(2)


def test_images_count_alike_however_many_classes_they_hold() -> None:
    teacher = torch.tensor([[1.0, 2.0, 3.0]] * 3)
    good, bad = [1.0, 2.0, 3.0], [3.0, 2.0, 1.0]
    student = torch.tensor([[good, bad, bad], [bad, bad, good], [bad, bad, bad]])
    rows = torch.tensor([[True, False, False], [True, True, True], [False, False, False]])
    # 0, (2 + 2 + 0) / 3, and an image without any class
    assert inter_class(student, teacher, rows).item() == pytest.approx((0 + 4 / 3) / 2, abs=1e-6)


def test_two_classes_have_no_intra_term() -> None:
    student = torch.randn(1, 3, 3, requires_grad=True)
    two = torch.tensor([[True, False, True]])
    value = intra_class(student, torch.randn(3, 3), two)
    value.backward()
    assert value.item() == 0
    assert student.grad is not None
    assert not student.grad.any()


@pytest.mark.parametrize("distance", [inter_class, intra_class, flat_distance])
@pytest.mark.parametrize("rows", [[True, True, True], [True, False, False], [False, False, False]])
def test_constant_vectors_have_a_bounded_gradient(distance: object, rows: list[bool]) -> None:
    teacher = torch.randn(3, 3)
    for value in (0.0, 5.0):
        student = torch.full((1, 3, 3), value, requires_grad=True)
        result = distance(student, teacher, torch.tensor([rows]))  # type: ignore[operator]
        result.backward()
        assert result.item() in (pytest.approx(0), pytest.approx(1))
        assert student.grad is not None
        assert student.grad.isfinite().all()
        assert student.grad.abs().max() <= 1e3  # 1 / sqrt(floor); an epsilon beside the norms gives 1e7


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(2, 6),
    st.lists(st.booleans(), min_size=2, max_size=6),
    st.floats(-4, 4),
)
def test_always_finite_between_0_and_2(seed: int, channels: int, rows: list[bool], power: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (
        torch.randn(2, len(rows), channels, generator=generator) * 10**power for _ in range(2)
    )
    student.requires_grad_()
    kept = torch.tensor([rows, rows[::-1]])
    for distance in (inter_class, intra_class, flat_distance):
        value = distance(student, teacher[0], kept)
        (gradient,) = torch.autograd.grad(value, student)
        assert -1e-5 <= value.item() <= 2 + 1e-5
        assert gradient.isfinite().all()
        assert not gradient[~kept].any()


def test_equals_pearson_in_numpy_below_and_above_the_floor() -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2, 9))
    kept = np.array([True] * 6 + [False] * 3)
    found = correlation_distance(*map(torch.tensor, (x, y, kept)))
    assert found.item() == pytest.approx(1 - np.corrcoef(x[:6], y[:6])[0, 1], rel=1e-12)
    small = correlation_distance(*map(torch.tensor, (x * 1e-6, y, kept)))
    damped = np.cov(x[:6] * 1e-6, y[:6], bias=True)[0, 1] / np.sqrt(1e-6 * y[:6].var())
    assert small.item() == pytest.approx(1 - damped, rel=1e-12)
