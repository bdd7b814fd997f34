"""Switchable normalisation against its equations in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from distilseg.errors import UserError
from distilseg.networks.switchable_norm import SwitchableNorm


def mixture(numbers: Any) -> np.ndarray:
    powers = np.exp(numbers.detach().numpy())
    return powers / powers.sum()


def by_the_book(
    x: np.ndarray, norm: SwitchableNorm, batch: tuple[np.ndarray, np.ndarray] | None
) -> np.ndarray:
    """Luo et al. 2019, equations 3 to 5, element by element; `batch` replaces the batch's statistics."""
    w, v = mixture(norm.mean_mixture), mixture(norm.variance_mixture)
    weight, bias = norm.weight.detach().numpy(), norm.bias.detach().numpy()
    y = np.empty_like(x)
    for b in range(x.shape[0]):
        for c in range(x.shape[1]):
            of_batch = (x[:, c].mean(), x[:, c].var()) if batch is None else (batch[0][c], batch[1][c])
            mean = w @ [x[b, c].mean(), x[b].mean(), of_batch[0]]
            variance = v @ [x[b, c].var(), x[b].var(), of_batch[1]]
            y[b, c] = (x[b, c] - mean) / np.sqrt(variance + 1e-5) * weight[c] + bias[c]
    return y


def drawn(channels: int) -> SwitchableNorm:
    norm = SwitchableNorm(channels).double()
    for weight in norm.parameters():
        nn.init.normal_(weight)
    return norm


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 4, 3, 5), (2, 4, 2, 3, 5), (1, 4, 3, 5)])
def test_the_equations(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    norm, x = drawn(4), torch.randn(shape, dtype=torch.float64) * 2 + 3
    y = norm(x)
    np.testing.assert_allclose(y.detach().numpy(), by_the_book(x.numpy(), norm, None), atol=1e-12)


def test_running_averages_take_the_batchs_place() -> None:
    torch.manual_seed(1)
    norm = drawn(3)
    mean, variance = np.zeros(3), np.ones(3)
    for _ in range(4):
        x = torch.randn(2, 3, 4, 5, dtype=torch.float64) * 2 + 1
        norm(x)
        mean = 0.9 * mean + 0.1 * x.numpy().mean((0, 2, 3))
        variance = 0.9 * variance + 0.1 * x.numpy().var((0, 2, 3))
    norm.eval()
    expected = by_the_book(x.numpy(), norm, (mean, variance))
    np.testing.assert_allclose(norm(x).detach().numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(norm(x[:1]).detach().numpy(), expected[:1], atol=1e-12)
    np.testing.assert_allclose(norm.running_mean.numpy(), mean, atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 4, 3, 5), (1, 4, 2, 2)])
def test_the_authors_variance(shape: tuple[int, ...]) -> None:
    """`SwitchNorm` of github.com/switchablenorms/Switchable-Normalization, line by line; its momentum 0.9."""
    torch.manual_seed(2)
    norm = SwitchableNorm(4, "sample").double()
    for weight in norm.parameters():
        nn.init.normal_(weight)
    running_mean, running_var = np.zeros((1, 4, 1)), np.zeros((1, 4, 1))
    for training in (True, True, False):
        x = torch.randn(shape, dtype=torch.float64) * 2 + 1
        flat = x.numpy().reshape(shape[0], 4, -1)
        mean_in, var_in = flat.mean(-1, keepdims=True), flat.var(-1, keepdims=True, ddof=1)
        mean_ln = mean_in.mean(1, keepdims=True)
        temp = var_in + mean_in**2
        var_ln = temp.mean(1, keepdims=True) - mean_ln**2
        if training:
            mean_bn = mean_in.mean(0, keepdims=True)
            var_bn = temp.mean(0, keepdims=True) - mean_bn**2
            running_mean = 0.9 * running_mean + 0.1 * mean_bn
            running_var = 0.9 * running_var + 0.1 * var_bn
        else:
            mean_bn, var_bn = running_mean, running_var
        w, v = mixture(norm.mean_mixture), mixture(norm.variance_mixture)
        mean = w[0] * mean_in + w[1] * mean_ln + w[2] * mean_bn
        var = v[0] * var_in + v[1] * var_ln + v[2] * var_bn
        weight, bias = (p.detach().numpy()[:, None] for p in (norm.weight, norm.bias))
        expected = ((flat - mean) / np.sqrt(var + 1e-5) * weight + bias).reshape(shape)
        np.testing.assert_allclose(norm.train(training)(x).detach().numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(norm.running_variance.numpy(), running_var[0, :, 0], atol=1e-12)


def test_an_unknown_variance() -> None:
    with pytest.raises(UserError, match="unknown variance of a switchable norm 'biased'"):
        SwitchableNorm(2, "biased")  # type: ignore[arg-type]


def test_gradients() -> None:
    norm, x = drawn(2), torch.randn(2, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(norm, (x,))


def test_half_precision_is_normalised_in_full() -> None:
    norm, x = SwitchableNorm(4).eval(), torch.randn(2, 4, 8, 8) + 20
    assert norm(x.bfloat16()).dtype == torch.bfloat16
    torch.testing.assert_close(norm(x.bfloat16()), norm(x.bfloat16().float()).bfloat16())
