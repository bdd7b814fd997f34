"""Log-probabilities of a few classes and sums of all, against PyTorch's own softmax, values and gradients."""

from __future__ import annotations

import pytest
import torch

from distilseg.functional import likely
from distilseg.functional.likely import likely_and_sums


@pytest.mark.parametrize("block_values", [1, 7 * 20, 2**18])
@pytest.mark.parametrize("space", [(9,), (5, 7), (4, 5, 6)])
def test_as_autograd_has_it(
    space: tuple[int, ...], block_values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(likely, "_BLOCK_VALUES", block_values)
    torch.manual_seed(0)
    z = (4 * torch.randn(2, 7, *space, dtype=torch.float64)).requires_grad_()
    asked = torch.rand(2, 7, *space).argsort(1)[:, :3]
    a, b = torch.randn(2, 3, *space, dtype=torch.float64), torch.randn(2, 7, dtype=torch.float64)
    log_q, sums = likely_and_sums(z, asked)
    expected = z.log_softmax(1)
    torch.testing.assert_close(log_q, expected.gather(1, asked))
    torch.testing.assert_close(sums, expected.exp().flatten(2).sum(2))
    (found,) = torch.autograd.grad((log_q * a).sum() + (sums * b).sum(), z)
    loss = (expected.gather(1, asked) * a).sum() + (expected.exp().flatten(2).sum(2) * b).sum()
    (wanted,) = torch.autograd.grad(loss, z)
    torch.testing.assert_close(found, wanted)


def test_a_class_without_any_probability_has_a_finite_logarithm_and_gradient() -> None:
    z = torch.tensor([[0.0, -300.0, 300.0]])[..., None].requires_grad_()
    log_q, sums = likely_and_sums(z, torch.tensor([[[1], [2]]]))
    assert log_q.flatten().tolist() == [-600, 0]
    assert sums.tolist() == [[0, 0, 1]]
    (gradient,) = torch.autograd.grad(log_q.sum() + sums[0, 0], z)
    assert gradient.flatten().tolist() == [0, 1, -1]
