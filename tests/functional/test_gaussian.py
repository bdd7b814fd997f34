"""Products of Gaussians: by hand, against NumPy, and at the ends of the range."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from distilseg.functional.gaussian import divergence_from_standard_normal, product_of_gaussians


def of_one_voxel(*experts: tuple[float, float, bool]) -> tuple[float, float]:
    """Mean and variance of the product of (mean, variance, present)."""
    mean, variance = (torch.tensor([e[i] for e in experts]).reshape(1, -1, 1, 1) for i in (0, 1))
    present = torch.tensor([[e[2] for e in experts]])
    mean, log_variance = product_of_gaussians(mean, variance.log(), present)
    return mean.item(), log_variance.exp().item()


def test_by_hand() -> None:
    # precision 1 + 1 + 2 = 4, weighted mean 3 * 1 + 1 * 2 = 5
    assert of_one_voxel((3.0, 1.0, True), (1.0, 0.5, True)) == pytest.approx((1.25, 0.25))
    # the first is missing: precision 1 + 2
    assert of_one_voxel((3.0, 1.0, False), (1.0, 0.5, True)) == pytest.approx((2 / 3, 1 / 3))
    # nothing is there: the prior
    assert of_one_voxel((3.0, 1.0, False), (1.0, 0.5, False)) == (0.0, 1.0)
    # an expert that knows nothing adds nothing; one that is certain has its way
    assert of_one_voxel((3.0, math.exp(50), True)) == pytest.approx((0.0, 1.0))
    assert of_one_voxel((3.0, 1e-9, True)) == pytest.approx((3.0, 1e-9))


def in_numpy(
    mean: np.ndarray, log_variance: np.ndarray, present: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """One case after the other, one expert after the other: each product of two Gaussians in closed form."""
    means, log_variances = [], []
    for case in range(len(mean)):
        mu, var = np.zeros(mean.shape[2:]), np.ones(mean.shape[2:])
        for expert in np.flatnonzero(present[case]):
            other_mu, other_var = mean[case, expert], np.exp(log_variance[case, expert])
            mu = (mu * other_var + other_mu * var) / (var + other_var)
            var = var * other_var / (var + other_var)
        means.append(mu)
        log_variances.append(np.log(var))
    return np.stack(means), np.stack(log_variances)


@pytest.mark.parametrize("space", [(5, 4), (3, 4, 2)])
def test_equals_the_experts_multiplied_one_by_one(space: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    mean, log_variance = rng.normal(size=(2, 3, 4, 5, *space))
    present = np.array([[1, 0, 1, 1], [0, 1, 0, 0], [1, 1, 1, 1]], bool)
    ours = product_of_gaussians(*map(torch.tensor, (mean, log_variance, present)))
    for value, reference in zip(ours, in_numpy(mean, log_variance, present), strict=True):
        np.testing.assert_allclose(value.numpy(), reference, rtol=1e-12, atol=1e-12)


def test_gradients_are_finite_at_the_ends_and_absent_from_what_is_missing() -> None:
    mean = torch.tensor([1.0, 2.0, torch.nan]).reshape(1, 3, 1, 1).requires_grad_()
    log_variance = torch.tensor([-50.0, 50.0, torch.nan]).reshape(1, 3, 1, 1).requires_grad_()
    product = product_of_gaussians(mean, log_variance, torch.tensor([[True, True, False]]))
    assert all(value.isfinite().all() for value in product)
    gradients = torch.autograd.grad((product[0] + product[1]).sum(), (mean, log_variance))
    for gradient in gradients:
        assert gradient.isfinite().all()
        assert gradient[0, 2] == 0


def test_half_precision_is_computed_in_float32() -> None:
    mean, log_variance = torch.randn(2, 2, 3, 4, 4).bfloat16(), torch.full((2, 2, 3, 4, 4), -20.0).bfloat16()
    product = product_of_gaussians(mean, log_variance, torch.ones(2, 2, dtype=torch.bool))
    assert all(value.dtype == torch.float32 and value.isfinite().all() for value in product)


def test_divergence() -> None:
    assert divergence_from_standard_normal(torch.zeros(2, 3), torch.zeros(2, 3)) == 0
    # ½ (4 + 9 − 1 − log 4)
    one = divergence_from_standard_normal(torch.tensor([3.0]), torch.tensor([4.0]).log())
    assert one.item() == pytest.approx(6 - math.log(2))
    mean, log_variance = torch.randn(2, 3, 4, dtype=torch.float64), torch.randn(2, 3, 4, dtype=torch.float64)
    expected = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)).mean()
    torch.testing.assert_close(divergence_from_standard_normal(mean, log_variance), expected)
