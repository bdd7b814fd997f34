"""thop's rules: worked by hand, and Teach-Former's table of networks to its printed digits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from distilseg.errors import UserError
from distilseg.networks import NetworkSpec, build, multiply_accumulates, parameters
from distilseg.networks.count_thop import count_as_thop
from distilseg.networks.overview import network_row

VOLUME, SLICE = (144, 144, 144), (384, 384)
# `teach_former.md`, section 1: millions of parameters and "GFLOPs" as thop gives them.
TABLE: list[tuple[str, tuple[int, ...], dict[str, Any], float, float]] = [
    ("h_denseformer", VOLUME, {}, 11.3747, 960.385),
    ("swin_unetr_truncated", VOLUME, {}, 5.3870, 280.909),
    ("unetr", VOLUME, {}, 95.7641, 282.188),
    ("h_denseformer_light", VOLUME, {}, 1.5264, 62.728),
    ("swin_unetr_light", VOLUME, {}, 1.3510, 74.676),  # the paper prints 75.68
    ("ux_net", VOLUME, {}, 5.1188, 41.510),
    ("h_denseformer", SLICE, {}, 4.9758, 32.336),
    ("swin_unetr_truncated", SLICE, {}, 11.0421, 37.941),
    ("unetr", SLICE, {}, 87.5123, 59.415),
    ("h_denseformer_light", SLICE, {}, 1.2569, 3.318),
    ("swin_unetr_light", SLICE, {}, 2.7672, 9.641),
    ("ux_net", SLICE, {"features": [24, 48, 96, 192]}, 4.7156, 20.275),
]


@pytest.mark.parametrize(("name", "patch", "options", "millions", "giga"), TABLE)
def test_teach_formers_table(
    name: str, patch: tuple[int, ...], options: dict[str, Any], millions: float, giga: float
) -> None:
    modalities = 2 if patch is VOLUME else 3
    spec = NetworkSpec(name, modalities, 2, patch, options)
    if name.startswith("swin"):  # it reads numbers from tensors while it is built, so not on the meta device
        network = build(spec)
    else:
        with torch.device("meta"):
            network = build(spec)
    count = count_as_thop(network, (1, modalities, *patch))
    assert f"{count.parameters / 1e6:.4f}" == f"{millions:.4f}"
    assert f"{count.multiply_accumulates / 1e9:.3f}" == f"{giga:.3f}"


@pytest.mark.parametrize(
    ("layer", "macs"),
    [  # an image of 4 channels and 6^2 pixels
        (nn.Conv2d(4, 8, 3, padding=1, groups=2), 8 * 36 * 2 * 9),
        (nn.Conv2d(4, 8, 2, stride=2), 8 * 9 * 4 * 4),
        (nn.ConvTranspose2d(4, 3, 2, stride=2), 3 * 144 * 4 * 4),  # four times its work
        (nn.Linear(6, 5), 4 * 6 * 5 * 6),
        (nn.InstanceNorm2d(4), 2 * 144),
        (nn.InstanceNorm2d(4, affine=True), 4 * 144),
        (nn.BatchNorm2d(4), 4 * 144),
        (nn.LayerNorm(6), 4 * 144),
        (nn.LayerNorm(6, elementwise_affine=False), 2 * 144),
        (nn.PReLU(), 144),
        (nn.Softmax(dim=-1), 24 * (3 * 6 - 1)),
        (nn.AvgPool2d(2), 4 * 9),
        (nn.AdaptiveAvgPool2d(2), 4 * 4 * (9 + 1)),
        (nn.Upsample(scale_factor=2.0, mode="nearest"), 4 * 144),
        (nn.Upsample(scale_factor=2.0, mode="bilinear"), 11 * 4 * 144),
        (nn.Upsample(scale_factor=2.0, mode="bicubic"), 259 * 4 * 144),
        (nn.MaxPool2d(2), 0),
        (nn.GELU(), 0),
    ],
)
def test_rules_by_hand(layer: nn.Module, macs: int) -> None:
    weights = parameters(layer)
    assert count_as_thop(nn.Sequential(layer), (1, 4, 6, 6)) == (weights, macs)
    assert count_as_thop(nn.Sequential(layer), (3, 4, 6, 6)) == (weights, 3 * macs)


class Attention(nn.Module):
    """A projection run twice, a position table, a norm of a class of its own and one that is never run."""

    class OwnNorm(nn.LayerNorm): ...

    def __init__(self) -> None:
        super().__init__()
        self.project, self.norm, self.idle = nn.Linear(4, 4), self.OwnNorm(4), nn.LayerNorm(4)
        self.position = nn.Parameter(torch.zeros(1, 9, 4))

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = self.norm(self.project(tokens + self.position))
        weighted: Tensor = self.project((tokens @ tokens.transpose(1, 2)).softmax(-1) @ tokens)
        return weighted


def test_what_thop_does_not_see() -> None:
    network = Attention()
    twice = 2 * 9 * 4 * 4
    assert count_as_thop(network, (1, 9, 4)) == (4 * 4 + 4, twice)
    assert multiply_accumulates(network, (1, 9, 4)) == twice + 2 * 9 * 9 * 4
    assert parameters(network) == 4 * 4 + 4 + 2 * (4 + 4) + 9 * 4


def test_counting_leaves_the_network_alone() -> None:
    network = build(NetworkSpec("vnet", 1, 2, (32, 32))).train()
    count_as_thop(network, (1, 1, 32, 32))
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())


def test_both_counts_stand_in_one_row() -> None:
    spec = NetworkSpec("ux_net", 2, 2, (32, 32), {"features": [4, 4, 8, 8], "hidden": 8})
    row, network = network_row(spec, count="thop"), build(spec)
    assert row.parameters == parameters(network)
    assert row.gmacs == multiply_accumulates(network, (1, 2, 32, 32)) / 1e9
    assert row.thop == count_as_thop(network, (1, 2, 32, 32))
    assert network_row(spec).thop is None
    with pytest.raises(UserError, match="unknown way to count 'fvcore'"):
        network_row(spec, count="fvcore")
