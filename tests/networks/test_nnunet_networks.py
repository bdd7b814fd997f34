"""nnU-Net's two networks: the counts that their definitions give, their levels, styles and refusals."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch

from distilseg.errors import UserError
from distilseg.networks import NetworkSpec, build, feature_shapes, parameters
from distilseg.networks.build import divisor

PATCH = (64, 64, 64)
STRIDES = {"strides": [1, 2, 2, 2, 2, 2]}


def _block(before: int, after: int, voxels: int) -> int:
    """Weights of a convolution of `voxels`, its bias, and an affine norm."""
    return before * after * voxels + after + 2 * after


def test_parameters_of_the_plain_network() -> None:
    widths = [32, 64, 128, 256, 320, 320]
    befores = [1, *widths[:-1]]
    encoder = sum(_block(b, w, 27) + _block(w, w, 27) for b, w in zip(befores, widths, strict=True))
    up = sum(8 * fine * coarse + fine for fine, coarse in pairwise(widths))
    decoder = sum(_block(2 * w, w, 27) + _block(w, w, 27) + 3 * (w + 1) for w in widths[:-1])
    with torch.device("meta"):
        network = build(NetworkSpec("plain_conv_unet", 1, 3, PATCH, STRIDES))
    assert parameters(network) == encoder + up + decoder


def test_parameters_of_the_residual_network() -> None:
    widths, blocks = [32, 64, 128, 256, 320, 320], [1, 3, 4, 6, 6, 6]
    encoder, before = _block(1, 32, 27), 32
    for width, count in zip(widths, blocks, strict=True):
        encoder += _block(before, width, 27) + (2 * count - 1) * _block(width, width, 27)
        encoder += before * width + 2 * width if before != width else 0
        before = width
    up = sum(8 * fine * coarse + fine for fine, coarse in pairwise(widths))
    decoder = sum(_block(2 * w, w, 27) + 3 * (w + 1) for w in widths[:-1])
    with torch.device("meta"):
        network = build(NetworkSpec("residual_encoder_unet", 1, 3, PATCH, STRIDES))
    assert parameters(network) == encoder + up + decoder


@pytest.mark.parametrize("name", ["plain_conv_unet", "residual_encoder_unet"])
def test_levels(name: str) -> None:
    spec = NetworkSpec(name, 1, 3, (8, 16, 16), {"features": [4, 6, 8], "strides": [1, [1, 2, 2], 2]})
    shapes = feature_shapes(build(spec), (1, 1, 8, 16, 16))
    assert shapes == {
        "encoder.0": (1, 4, 8, 16, 16),
        "encoder.1": (1, 6, 8, 8, 8),
        "bottleneck": (1, 8, 4, 4, 4),
        "decoder.1": (1, 6, 8, 8, 8),
        "decoder.0": (1, 4, 8, 16, 16),
        "side.1": (1, 3, 8, 8, 8),
    }
    assert divisor(spec) == (2, 4, 4)


@pytest.mark.parametrize("name", ["plain_conv_unet", "residual_encoder_unet"])
@pytest.mark.parametrize(
    "options",
    [{"norm": "batch"}, {"norm": "none"}, {"nonlinearity": "gelu"}, {"dropout": 0.2, "bias": False}],
)
def test_other_styles_learn(name: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = build(
        NetworkSpec(name, 1, 2, (8, 8), {"features": [4, 8], "strides": [1, 2], **options})
    ).train()
    network(torch.randn(2, 1, 8, 8)).square().mean().backward()
    used = [weight.grad for n, weight in network.named_parameters() if "seg_layers" not in n]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in used)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"norm": "layer"}, "unknown norm 'layer'; .*known: instance, batch, none"),
        ({"nonlinearity": "relux"}, "unknown nonlinearity 'relux'; did you mean 'relu'"),
        ({"kernels": [2, 2, 2]}, r"kernels \[2, 2, 2\] do not fit 3 levels of 3 axes; give an odd number"),
        ({"convolutions": [1, 2]}, r"2 convolutions for 3 levels; give one number for all"),
        ({"strides": [2, 2, 2]}, r"the first level's stride is \(2, 2, 2\)"),
    ],
)
def test_refusals(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        build(NetworkSpec("plain_conv_unet", 1, 2, (16, 16, 16), {"features": [4, 4, 4], **options}))
