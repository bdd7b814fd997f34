"""Soft labels and their divergence: by hand, in NumPy, and what must hold for any input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distilseg.functional.divergence import (
    kl_divergence,
    log_mean,
    log_soft_labels,
    soft_label_divergence,
)


def logits(seed: int, shape: tuple[int, ...] = (2, 3, 4, 5)) -> torch.Tensor:
    return torch.tensor(2 * np.random.default_rng(seed).normal(size=shape))


def numpy_kl(student: np.ndarray, teacher: np.ndarray, T: float) -> float:
    """Spec section 2: mean over batch and voxels of Σ_c p_t (log p_t − log p_s), with softmax(z / T)."""
    p_s, p_t = (np.exp(z / T) / np.exp(z / T).sum(1, keepdims=True) for z in (student, teacher))
    return float((p_t * (np.log(p_t) - np.log(p_s))).sum(1).mean())


@pytest.mark.parametrize("T", [1.0, 2.0, 3.0, 4.0])
def test_equals_the_equation_in_numpy(T: float) -> None:
    student, teacher = logits(0), logits(1)
    ours = kl_divergence([log_soft_labels(student, T)], log_soft_labels(teacher, T))
    assert ours.item() == pytest.approx(numpy_kl(student.numpy(), teacher.numpy(), T), abs=1e-14)


def test_one_voxel_by_hand() -> None:
    # teacher (3/4, 1/4), student (1/2, 1/2)
    teacher, student = torch.tensor([[[0.75], [0.25]]]).log(), torch.tensor([[[0.5], [0.5]]]).log()
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert kl_divergence([student], teacher).item() == pytest.approx(expected, abs=1e-7)
    # The other way round is another number: the teacher is the reference.
    assert kl_divergence([teacher], student).item() == pytest.approx(0.5 * math.log(4 / 3), abs=1e-7)


def test_several_students_are_a_sum() -> None:
    students, teacher = [log_soft_labels(logits(seed)) for seed in range(3)], log_soft_labels(logits(9))
    alone = sum(kl_divergence([student], teacher) for student in students)
    torch.testing.assert_close(kl_divergence(students, teacher), alone)


def test_the_mean_runs_over_voxels_too() -> None:
    student, teacher = log_soft_labels(logits(0)), log_soft_labels(logits(1))
    twice = kl_divergence([torch.cat([student, student], -1)], torch.cat([teacher, teacher], -1))
    torch.testing.assert_close(twice, kl_divergence([student], teacher))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.5, 8))
def test_never_negative_and_zero_where_equal(seed: int, T: float) -> None:
    student, teacher = log_soft_labels(logits(seed), T), log_soft_labels(logits(seed + 1), T)
    assert kl_divergence([student], teacher) > 0
    assert kl_divergence([teacher], teacher) == 0


def test_without_the_background_the_foreground_is_renormalised() -> None:
    z = logits(0)
    soft = log_soft_labels(z, 3.0, include_background=False)
    assert soft.shape == (2, 2, 4, 5)
    torch.testing.assert_close(soft.exp().sum(1), torch.ones(2, 4, 5, dtype=torch.float64))
    torch.testing.assert_close(soft, (z[:, 1:] / 3).log_softmax(1))


def test_the_mean_of_distributions_is_one() -> None:
    parts = [log_soft_labels(logits(seed)) for seed in range(4)]
    expected = torch.stack([part.exp() for part in parts]).mean(0)
    torch.testing.assert_close(log_mean(parts).exp(), expected)


def test_gradients_reach_students_and_teacher() -> None:
    small = [logits(seed, (1, 3, 2, 2)).requires_grad_() for seed in range(3)]

    def loss(first: torch.Tensor, second: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        students = [log_soft_labels(first, 3.0), log_soft_labels(second, 3.0)]
        return kl_divergence(students, log_soft_labels(teacher, 3.0))

    assert torch.autograd.gradcheck(loss, small)


def test_float32_under_autocast() -> None:
    student, teacher = logits(0).bfloat16(), logits(1).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        loss = kl_divergence([log_soft_labels(student, 3.0)], log_soft_labels(teacher, 3.0))
    expected = kl_divergence([log_soft_labels(student.float(), 3.0)], log_soft_labels(teacher.float(), 3.0))
    assert loss.dtype == torch.float32
    assert torch.equal(loss, expected)


def test_extreme_logits_stay_finite() -> None:
    student, teacher = torch.tensor([[[1e4], [-1e4]]]), torch.tensor([[[-1e4], [1e4]]])
    assert kl_divergence([log_soft_labels(student)], log_soft_labels(teacher)).item() == pytest.approx(2e4)


@pytest.mark.parametrize("T", [1.0, 3.0])
@pytest.mark.parametrize("include_background", [True, False])
def test_from_logits_it_is_the_same_with_the_same_gradients(T: float, include_background: bool) -> None:
    def gradients(fused: bool) -> list[torch.Tensor]:
        teacher, *students = (logits(seed).requires_grad_() for seed in range(4))
        if fused:
            loss = soft_label_divergence(students, teacher, T, include_background=include_background)
        else:
            soft = [
                log_soft_labels(z, T, include_background=include_background) for z in (teacher, *students)
            ]
            loss = kl_divergence(soft[1:], soft[0])
        (2.5 * loss).backward()
        return [loss.detach(), *(z.grad for z in (teacher, *students) if z.grad is not None)]

    assert len(gradients(True)) == 5
    torch.testing.assert_close(gradients(True), gradients(False))


def test_from_logits_gradient_and_equation() -> None:
    teacher, student = logits(1, (1, 3, 2, 2)), logits(0, (1, 3, 2, 2))
    value = soft_label_divergence([student], teacher, 2.0)
    assert value.item() == pytest.approx(numpy_kl(student.numpy(), teacher.numpy(), 2.0), abs=1e-14)
    pair = [z.requires_grad_() for z in (student, teacher)]
    assert torch.autograd.gradcheck(lambda s, t: soft_label_divergence([s, s * 0.5], t, 2.0), pair)


def test_from_logits_a_detached_teacher_gets_nothing_and_a_second_backward_the_same() -> None:
    teacher, student = logits(1).requires_grad_(), logits(0).requires_grad_()
    loss = soft_label_divergence([student], teacher.detach(), 3.0)
    first, second = (torch.autograd.grad(loss, student, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)
    assert teacher.grad is None


def test_from_logits_float32_under_autocast_and_for_extreme_logits() -> None:
    student, teacher = logits(0).bfloat16(), logits(1).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        loss = soft_label_divergence([student], teacher, 3.0)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, soft_label_divergence([student.float()], teacher.float(), 3.0))
    z = torch.tensor([[[1e4], [-1e4]]])
    assert soft_label_divergence([z], -z).item() == pytest.approx(2e4)
