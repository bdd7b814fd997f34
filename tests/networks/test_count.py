"""Parameters and multiply–accumulates: the published counts, and counts made by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from distilseg.distillation.dual_self_distillation import DualSelfDistillation
from distilseg.networks import NetworkSpec, build, feature_shapes, multiply_accumulates, parameters

FULL = {"filters": [32, 64, 128, 256, 320]}
MERGING = {"merging": "2022"}

# `dual_self_distillation.md`, section 3: the authors' classes, without and with their heads.
PUBLISHED: list[tuple[str, int, int, int, dict[str, Any], int, int]] = [
    ("unetr", 1, 8, 96, {"feature_size": 32}, 101_787_016, 101_804_360),
    ("unetr", 1, 8, 96, {}, 92_783_944, 92_797_576),
    ("unetr", 1, 3, 32, {}, 92_624_115, 92_628_372),
    ("unetr", 4, 4, 128, {}, 102_449_732, 102_455_636),
    ("unetr", 4, 4, 128, {"feature_size": 64}, 143_142_404, 143_153_876),
    ("dynunet", 1, 8, 96, FULL, 16_663_688, 16_672_280),
    # The paper prints 5.695 M with heads, which no reading of its code gives; its code gives this number.
    ("dynunet", 1, 8, 96, {}, 5_686_856, 5_693_016),
    ("dynunet", 1, 3, 32, {}, 5_686_771, 5_688_586),
    ("vnet", 1, 3, 32, {}, 45_601_906, 45_605_410),
    ("swin_unetr", 4, 4, 128, MERGING, 4_079_386, 4_080_722),
]
SHARED_HEADS = {"dynunet", "swin_unetr"}  # as in the authors' code


@pytest.mark.parametrize(
    ("name", "modalities", "classes", "size", "options", "plain", "with_heads"), PUBLISHED
)
def test_published_parameters(
    name: str, modalities: int, classes: int, size: int, options: dict, plain: int, with_heads: int
) -> None:
    patch = (size,) * 3
    spec = NetworkSpec(name, modalities, classes, patch, options)
    if name == "swin_unetr":  # it reads numbers from tensors while it is built, so not on the meta device
        network = build(spec)
    else:
        with torch.device("meta"):
            network = build(spec)
    assert parameters(network) - never_used(network) == plain

    with torch.device("meta"):
        method = DualSelfDistillation(
            feature_shapes(network, (1, modalities, *patch)),
            classes,
            patch,
            shared_heads=name in SHARED_HEADS,
        )
    heads = sum(weight.numel() for weight in method.parameters())
    assert plain + heads + head_never_used(name, classes) == with_heads


def never_used(network: nn.Module) -> int:
    """MONAI since 1.3 gives each ViT layer a norm for cross-attention that UNETR never runs: 12 x 2 x 768."""
    unused = [weight for name, weight in network.named_parameters() if "cross_attn" in name]
    count = sum(weight.numel() for weight in unused)
    assert count in (0, 18_432)
    return count


def head_never_used(name: str, classes: int) -> int:
    """The authors' VNet owns a ninth head, on the finest decoder feature (32 channels), never run."""
    if name != "vnet":
        return 0
    return (32 * classes + classes) + (classes * classes + classes)


@pytest.mark.parametrize(
    ("name", "modalities", "classes", "patch", "options", "count"),
    [  # `architectures.md`, sections 0 and 1
        ("unet", 4, 4, (64, 64, 64), {}, 4_811_129),
        ("attention_unet", 4, 4, (64, 64, 64), {}, 5_910_460),
        ("basic_unet", 1, 2, (64, 64, 64), {}, 5_749_410),
        ("basic_unet", 1, 2, (64, 64, 64), {"filters": [32, 64, 128, 256, 512, 32]}, 22_625_314),
        ("vnet", 1, 2, (64, 64, 64), {}, 45_597_898),
        ("ahnet", 1, 2, (128, 128, 128), {"pyramid": 0}, 38_128_920),
        ("dynunet", 1, 8, (96, 96, 96), {"affine": True}, 5_690_792),
        ("unetr", 3, 2, (384, 384), {}, 87_973_122),
        ("unetr", 2, 2, (144, 144, 144), {}, 96_342_434),
        ("swin_unetr", 1, 8, (96, 96, 96), {"feature_size": 36}, 35_072_774),
    ],
)
def test_other_recorded_parameters(
    name: str, modalities: int, classes: int, patch: tuple[int, ...], options: dict, count: int
) -> None:
    spec = NetworkSpec(name, modalities, classes, patch, options)
    if name == "swin_unetr":
        network = build(spec)
    else:
        with torch.device("meta"):
            network = build(spec)
    assert parameters(network) == count


def test_frozen_parameters_do_not_count() -> None:
    network = nn.Linear(3, 5)
    network.bias.requires_grad_(False)
    assert parameters(network) == 15


def test_multiply_accumulates_by_hand() -> None:
    network = nn.Sequential(
        nn.Conv3d(2, 4, 3, padding=1),  # 8^3 voxels x 4 channels x 2 x 27
        nn.InstanceNorm3d(4),
        nn.LeakyReLU(),
        nn.Conv3d(4, 8, 2, stride=2, groups=2),  # 4^3 x 8 x 2 x 8
        nn.ConvTranspose3d(8, 3, 2, stride=2),  # 4^3 x 8 x 3 x 8: each input voxel meets the kernel once
    )
    expected = 8**3 * 4 * 2 * 27 + 4**3 * 8 * 2 * 8 + 4**3 * 8 * 3 * 8
    assert multiply_accumulates(network, (1, 2, 8, 8, 8)) == expected
    assert multiply_accumulates(network, (3, 2, 8, 8, 8)) == 3 * expected


def test_attention_counts() -> None:
    """A transformer layer on n tokens of width d with an MLP of m: 4 n d² + 2 n² d (attention) + 2 n d m."""
    hidden, mlp = 24, 48
    options = {"feature_size": 4, "hidden": hidden, "heads": 4, "mlp": mlp}

    def macs(size: int, width: int) -> int:
        network = build(NetworkSpec("unetr", 1, 2, (size, size), options | {"mlp": width}))
        return multiply_accumulates(network, (1, 1, size, size))

    tokens = (64 // 16) ** 2
    assert macs(64, 2 * mlp) - macs(64, mlp) == 12 * 2 * tokens * hidden * mlp
    # Everything but attention grows with the number of tokens; attention with its square.
    quadratic = 12 * 2 * hidden
    assert macs(128, mlp) - 4 * macs(64, mlp) == quadratic * ((4 * tokens) ** 2 - 4 * tokens**2)


def test_counting_leaves_the_network_alone() -> None:
    network = build(NetworkSpec("vnet", 1, 2, (32, 32))).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    multiply_accumulates(network, (1, 1, 32, 32))
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
