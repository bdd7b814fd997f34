"""The distance between attention maps: its written-out gradient, and blocks that nobody notices."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from distilseg.functional import attention
from distilseg.functional.attention import DEAD, ROOT, attention_distance, channel_weights, with_channels


def plainly(student: Tensor, teacher: Tensor) -> Tensor:
    """The equation by autograd alone, for equal channels."""
    s, t = student.flatten(1), teacher.flatten(1)
    s, t = (f / (f.abs().sum(1, keepdim=True) + DEAD) for f in (s, t))
    return ((s - t).square().sum(1) + ROOT).sqrt().mean()


@pytest.mark.parametrize("channels", [(3, 3), (3, 7), (7, 3)])
@pytest.mark.parametrize("block", [1, 50, 10**6])
def test_value_and_gradient_are_those_of_autograd(
    channels: tuple[int, int], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "BLOCK", block)
    student = torch.randn(2, channels[0], 4, 3, 5, dtype=torch.float64).requires_grad_()
    teacher = torch.randn(2, channels[1], 4, 3, 5, dtype=torch.float64)
    ours = attention_distance(student, teacher)
    (gradient,) = torch.autograd.grad(3 * ours, student)
    expected = plainly(with_channels(student, channels[1]), teacher)
    (expected_gradient,) = torch.autograd.grad(3 * expected, student)
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-9, atol=1e-14)


def test_where_the_student_is_zero_it_has_no_direction() -> None:
    """ReLU leaves many exact zeros; the gradient of |0| is 0, as autograd has it."""
    student = torch.randn(1, 2, 30, dtype=torch.float64).relu().requires_grad_()
    teacher = torch.rand(1, 2, 30, dtype=torch.float64)
    (ours,) = torch.autograd.grad(attention_distance(student, teacher), student)
    (expected,) = torch.autograd.grad(plainly(student, teacher), student)
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-14)


def test_a_teacher_in_half_precision_is_read_as_it_is() -> None:
    student, teacher = torch.randn(1, 4, 6, 6), torch.randn(1, 8, 6, 6).half()
    assert torch.equal(attention_distance(student, teacher), attention_distance(student, teacher.float()))


def test_the_teacher_gets_no_gradient() -> None:
    teacher = torch.randn(1, 4, 6, requires_grad=True)
    attention_distance(torch.randn(1, 4, 6, requires_grad=True), teacher).backward()
    assert teacher.grad is None


def test_channels_are_interpolated_linearly() -> None:
    """Two channels to four, extents aligned: 1/4 between neighbours, ends repeated."""
    weights = channel_weights(2, 4, torch.zeros(1))
    assert weights is not None
    assert weights.tolist() == [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]
    assert channel_weights(3, 3, torch.zeros(1)) is None
