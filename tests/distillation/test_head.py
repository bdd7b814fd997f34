"""Heads: equal to the layers they stand for, exact in parameters, honest about what they do."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from distilseg.distillation.head import Head, doublings
from distilseg.functional.upsampling import NestedOrder


def features(space: tuple[int, ...]) -> torch.Tensor:
    return torch.randn(2, 5, *space, dtype=torch.float64)


@pytest.mark.parametrize("space", [(16, 16, 16), (8, 8, 8), (2, 2, 2), (16, 16), (4, 4)])
@pytest.mark.parametrize("extra", [0, 1])
def test_shared_x2_is_one_layer_applied_n_times(space: tuple[int, ...], extra: int) -> None:
    patch = (16,) * len(space)
    times = doublings(space, patch)
    assert times is not None
    depth = min(times + extra, 4)
    head, x = Head(5, 3, space, patch, "shared_x2", depth).double(), features(space)
    expected = head.project(x)
    for _ in range(max(times, 1)):
        expected = head.enlarge(expected)
    assert expected.shape == (2, 3, *patch)
    torch.testing.assert_close(head(x), NestedOrder(patch, depth)(expected))


def test_stride_one_has_kernel_one() -> None:
    assert Head(5, 3, (8, 8, 8), (8, 8, 8)).enlarge.weight.shape == (3, 3, 1, 1, 1)


@pytest.mark.parametrize("space", [(2, 4, 8), (4, 4, 4), (8, 8, 8)])
def test_single_deconv_has_the_kernel_of_its_stride(space: tuple[int, ...]) -> None:
    head, x = Head(5, 3, space, (8, 8, 8), "single_deconv").double(), features(space)
    assert head.enlarge.weight.shape[2:] == tuple(8 // size for size in space)
    torch.testing.assert_close(head(x), head.enlarge(head.project(x)).flatten(2))


@pytest.mark.parametrize("space", [(3, 5), (2, 3, 4)])
def test_trilinear_learns_the_projection_only(space: tuple[int, ...]) -> None:
    patch, mode = (8,) * len(space), "bilinear" if len(space) == 2 else "trilinear"
    head, x = Head(5, 3, space, patch, "trilinear").double(), features(space)
    assert sum(p.numel() for p in head.parameters()) == 5 * 3 + 3
    torch.testing.assert_close(
        head(x), F.interpolate(head.project(x), patch, mode=mode, align_corners=False).flatten(2)
    )


@pytest.mark.parametrize(
    ("space", "patch", "upsampling"),
    [
        ((4, 4, 4), (16, 16, 16), "shared_x2"),
        ((8, 4, 4), (16, 16, 16), "single_deconv"),  # anisotropic
        ((16, 8, 8), (16, 16, 16), "single_deconv"),  # one axis is not halved
        ((4, 4, 4), (12, 12, 12), "single_deconv"),  # no power of two
        ((5, 5, 5), (12, 12, 12), "trilinear"),  # no multiple
    ],
)
def test_what_shared_x2_cannot_reach(space: tuple[int, ...], patch: tuple[int, ...], upsampling: str) -> None:
    head = Head(5, 3, space, patch, "shared_x2").double()
    assert head.upsampling == upsampling
    assert repr(upsampling) in repr(head)
    assert head(features(space)).shape == (2, 3, torch.tensor(patch).prod())


@pytest.mark.parametrize(
    ("space", "patch", "expected"),
    [
        ((4, 4), (16, 16), 2),
        ((16,), (16,), 0),
        ((3, 3), (12, 12), 2),
        ((4, 8), (16, 16), None),
        ((5,), (12,), None),
    ],
)
def test_doublings(space: tuple[int, ...], patch: tuple[int, ...], expected: int | None) -> None:
    assert doublings(space, patch) == expected


# Spec section 3: parameters of all heads together = "with heads" minus "plain".
@pytest.mark.parametrize(
    ("taps", "classes", "parameters"),
    [
        # UNETR f16, 1→8: enc f 2f 4f 8f @1 2 4 8, dec 768@16, 8f@8, 4f@4, 2f@2
        (
            [(16, 1), (32, 2), (64, 4), (128, 8), (768, 16), (128, 8), (64, 4), (32, 2)],
            8,
            92_797_576 - 92_783_944,
        ),
        # UNETR f32, 1→8
        (
            [(32, 1), (64, 2), (128, 4), (256, 8), (768, 16), (256, 8), (128, 4), (64, 2)],
            8,
            101_804_360 - 101_787_016,
        ),
        # nnU-Net, five shared heads
        ([(16, 1), (32, 2), (64, 4), (128, 8), (256, 16)], 8, 5_693_016 - 5_686_856),
        ([(16, 1), (32, 2), (64, 4), (128, 8), (256, 16)], 3, 5_688_586 - 5_686_771),
        ([(32, 1), (64, 2), (128, 4), (256, 8), (320, 16)], 8, 16_672_280 - 16_663_688),
        # VNet: eight, and the unused ninth (32 channels @1) that only the authors' code builds
        (
            [(16, 1), (32, 2), (64, 4), (128, 8), (256, 16), (256, 8), (128, 4), (64, 2), (32, 1)],
            3,
            45_605_410 - 45_601_906,
        ),
        # Swin UNETR f12, 4→4, five shared
        ([(12, 1), (12, 2), (24, 4), (48, 8), (96, 16)], 4, 4_080_722 - 4_079_386),
    ],
)
def test_parameters_of_the_papers_networks(
    taps: list[tuple[int, int]], classes: int, parameters: int
) -> None:
    heads = nn.ModuleList(Head(C, classes, (96 // s,) * 3, (96,) * 3) for C, s in taps)
    assert sum(p.numel() for p in heads.parameters()) == parameters
