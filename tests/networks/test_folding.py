"""Folded batch norms: the same outputs with fewer operations, and nothing else touched."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from distilseg.networks import NetworkSpec, Tapped, build
from distilseg.networks.folding import folded


def trained_norms(network: nn.Module) -> nn.Module:
    """Norms as if they had been trained: far from the identity."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean, 0.3, 0.5)
            nn.init.uniform_(module.running_var, 0.3, 3)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.5)
    return network.eval()


@pytest.mark.parametrize(
    ("name", "patch", "options"),
    [
        ("student_tiny", (16, 24, 16), {}),
        ("student_base", (32, 24), {}),
        ("thickened", (32, 48, 6), {"backbone": "light"}),
        ("deeplab_v3", (64, 48), {}),
        ("deeplab_v3_plus", (64, 48), {}),
    ],
)
def test_the_outputs_are_equal(name: str, patch: tuple[int, ...], options: dict[str, Any]) -> None:
    network = trained_norms(build(NetworkSpec(name, 2, 3, patch, options))).double()
    image = torch.randn(2, 2, *patch, dtype=torch.float64)
    twin = folded(network)
    with torch.no_grad():
        torch.testing.assert_close(twin(image), network(image), rtol=1e-9, atol=1e-9)
    kinds = [type(module) for module in twin.modules()]
    if name.startswith("student"):
        assert not {nn.BatchNorm2d, nn.BatchNorm3d} & set(kinds)
        assert nn.BatchNorm2d in map(type, network.modules()) or nn.BatchNorm3d in map(
            type, network.modules()
        )


def test_features_are_where_they_were() -> None:
    network = trained_norms(build(NetworkSpec("student_tiny", 1, 2, (16, 16, 16)))).double()
    image = torch.randn(1, 1, 16, 16, 16, dtype=torch.float64)
    with torch.no_grad(), Tapped(network, ("*",)) as ours, Tapped(folded(network), ("*",)) as theirs:
        expected, features = ours(image).features, theirs(image).features
    assert expected.keys() == features.keys()
    for name, feature in expected.items():
        torch.testing.assert_close(features[name], feature, rtol=1e-9, atol=1e-9)


def test_a_norm_before_a_convolution_stays() -> None:
    network = trained_norms(
        nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4))
    )
    assert [type(module) for module in folded(network)] == [type(module) for module in network]  # type: ignore[arg-type,union-attr]
