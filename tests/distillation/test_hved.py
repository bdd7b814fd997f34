"""U-HVED's objective: its terms by hand and against NumPy, with images that were not all acquired."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from distilseg.distillation import HVED
from distilseg.distillation.hved import squared_error
from distilseg.errors import UserError
from distilseg.functional.segmentation import dice_cross_entropy
from distilseg.networks import NetworkSpec, build, feature_shapes
from distilseg.networks.features import Tapped
from distilseg.testing import _check_learning, _check_terms, _check_weights
from distilseg.types import Batch, Outputs

PATCH, M, K = (16, 16, 16), 3, 3


def network() -> nn.Module:
    torch.manual_seed(0)
    return build(NetworkSpec("u_hved", M, K, PATCH, {"filters": [4, 6, 8]}))


SHAPES = feature_shapes(network(), (2, M, *PATCH))


def batch(missing: bool = False) -> Batch:
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(2, M, *PATCH, generator=generator)
    label = (image[:, :1] > 0.5).to(torch.uint8) + (image[:, :1] > 1).to(torch.uint8)
    if missing:
        image[0, 2], image[1, :2] = torch.nan, torch.nan
    return Batch(image, label)


def outputs(given: Batch, method: HVED) -> dict[str, Outputs]:
    with Tapped(network(), method.roles["student"].taps) as tapped:
        return {"student": tapped(given.image)}


def test_the_contract_of_methods() -> None:
    """As `check_method`, whose network has neither Gaussians nor reconstructions."""
    method, given = HVED(SHAPES), batch()
    of_network = outputs(given, method)
    _check_terms(method, of_network, given)
    _check_weights(method, lambda weights: HVED(SHAPES, weights=weights), of_network, given)
    _check_learning(method, {"student": network()}, given)
    nothing = replace(given, image=torch.full_like(given.image, torch.nan))
    assert method(of_network, nothing).total.isnan()  # nothing to reconstruct is an error, not 0


def test_the_terms_in_numpy() -> None:
    method, given = HVED(SHAPES), batch(missing=True)
    of_network = outputs(given, method)
    terms = method(of_network, given).terms
    student = {
        name: value.detach().double().numpy() for name, value in of_network["student"].features.items()
    }
    image = given.image.double().numpy()

    errors = [(student["reconstruction"][b, m] - image[b, m]) ** 2 for b, m in ((0, 0), (0, 1), (1, 2))]
    kl = []
    for level in range(3):
        mean, log_variance = np.split(student[f"posterior.{level}"], 2, axis=1)
        kl.append(np.mean(0.5 * (np.exp(log_variance) + mean**2 - 1 - log_variance)))
    assert terms["reconstruction"].item() == pytest.approx(np.mean(errors), rel=1e-5)
    assert terms["kl"].item() == pytest.approx(np.mean(kl), rel=1e-5)
    assert terms["seg"] == dice_cross_entropy(of_network["student"].logits, given.label)


def test_the_published_weights() -> None:
    method, given = HVED(SHAPES), batch()
    losses = method(outputs(given, method), given)
    by_hand = losses.terms["seg"] + 0.1 * losses.terms["reconstruction"] + 0.1 * losses.terms["kl"]
    torch.testing.assert_close(losses.total, by_hand)


def test_squared_error_by_hand() -> None:
    image = torch.tensor([[1.0, torch.nan], [2.0, 5.0]]).reshape(2, 2, 1, 1)
    decoded = torch.tensor([[3.0, 9.0], [2.0, 4.0]]).reshape(2, 2, 1, 1).requires_grad_()
    error = squared_error(decoded, image)
    assert error.item() == pytest.approx((4 + 0 + 1) / 3)
    (gradient,) = torch.autograd.grad(error, decoded)
    torch.testing.assert_close(gradient, torch.tensor([4 / 3, 0, 0, -2 / 3]).reshape(2, 2, 1, 1))


def test_it_learns_from_cases_that_lack_modalities() -> None:
    method, given, student = HVED(SHAPES), batch(missing=True), network()
    optimizer = torch.optim.Adam(student.parameters(), lr=3e-3)
    totals = []
    for _ in range(12):
        optimizer.zero_grad()
        with Tapped(student, method.roles["student"].taps) as tapped:
            losses = method({"student": tapped(given.image)}, given)
        losses.total.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in student.parameters())
        optimizer.step()
        totals.append(losses.total.item())
    assert max(totals[-3:]) < min(totals[:3])


def test_terms_that_are_off_are_not_tapped() -> None:
    assert HVED(SHAPES, weights={"kl": 0}).roles["student"].taps == ("reconstruction",)
    gaussians = ("posterior.0", "posterior.1", "posterior.2")
    assert HVED(SHAPES, weights={"reconstruction": 0}).roles["student"].taps == gaussians
    assert HVED({}, weights={"kl": 0, "reconstruction": 0}).roles["student"].taps == ()


def test_another_network_is_refused() -> None:
    with pytest.raises(UserError, match="offers no feature reconstruction, which the term 'reconstruction'"):
        HVED({"encoder.0": (1, 4, 16, 16)})
    with pytest.raises(UserError, match=r"offers no feature posterior\.0, which the term 'kl' needs"):
        HVED({"reconstruction": (1, 2, 16, 16)})
