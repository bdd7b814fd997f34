"""MDViT: its published sizes, the features' sizes, what its attention computes, and what the peer costs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from distilseg.errors import UserError
from distilseg.networks import (
    NetworkSpec,
    Tapped,
    build,
    divisor,
    feature_modules,
    feature_shapes,
    multiply_accumulates,
    parameters,
)
from distilseg.networks.count_thop import count_as_thop
from distilseg.networks.factorised_attention import HEADS, FactorisedAttention, Stage, Windows
from distilseg.networks.mdvit import MDViT

SLICE = (1, 3, 384, 384)
SMALL = {"features": [8, 8, 16, 16]}


def shapes_only(classes: int, *, peer: bool) -> MDViT:
    with torch.device("meta"):
        network = build(NetworkSpec("mdvit", 3, classes, SLICE[2:], {"peer": peer}))
    assert isinstance(network, MDViT)
    return network


@pytest.mark.parametrize(("classes", "millions", "giga"), [(1, 30.3029, 24.861), (2, 30.3035, 24.946)])
def test_published_counts(classes: int, millions: float, giga: float) -> None:
    """`architectures.md`, section 2.11: the network and one peer, as thop prints them.

    The authors' modules hold a stage's shared convolutions under three names, its own and its two blocks'.
    thop sets its hooks at each name and adds each name up: three times the parameters, nine times the work.
    """
    network = shapes_only(classes, peer=True)
    count = count_as_thop(Tapped(network, ("side.0",)), SLICE)
    assert count.parameters == parameters(network)
    stages = [stage for stage in network.modules() if isinstance(stage, Stage)]
    shared_parameters = sum(
        parameters(shared) for stage in stages for shared in (stage.position, stage.windows)
    )
    voxels = [SLICE[2] // 4 >> level for level in range(4)]
    products = 3**2 * 8 + (2 * 3**2 + 3 * 5**2 + 3 * 7**2)  # per voxel and eight channels, one call
    shared_work = sum(
        2 * 2 * products * size**2 * width // 8
        for size, width in zip(voxels, (64, 128, 320, 512), strict=True)
    )
    assert f"{(count.parameters + 2 * shared_parameters) / 1e6:.4f}" == f"{millions:.4f}"
    assert f"{(count.multiply_accumulates + 8 * shared_work) / 1e9:.3f}" == f"{giga:.3f}"


def test_the_authors_four_peers() -> None:
    network = shapes_only(1, peer=True)
    assert network.peer is not None
    assert parameters(network) + 3 * parameters(network.peer) == 34_964_133


def test_the_default_has_no_peer() -> None:
    network, with_peer = shapes_only(2, peer=False), shapes_only(2, peer=True)
    assert with_peer.peer is not None
    assert parameters(network) == parameters(with_peer) - parameters(with_peer.peer) == 28_525_282
    assert feature_modules(with_peer).keys() - feature_modules(network) == {"side.0"}
    # A prediction never computes it.
    assert multiply_accumulates(network, SLICE) == multiply_accumulates(with_peer, SLICE)
    assert multiply_accumulates(network, SLICE) < multiply_accumulates(Tapped(with_peer, ("side.0",)), SLICE)


def test_feature_shapes() -> None:
    sizes = [(64, 96), (128, 48), (320, 24), (512, 12)]
    expected = {
        f"{side}.{level}": (1, width, size, size)
        for side in ("encoder", "decoder")
        for level, (width, size) in enumerate(sizes)
    }
    expected |= {"bottleneck": (1, 1024, 12, 12), "side.0": (1, 2, 384, 384)}
    assert feature_shapes(shapes_only(2, peer=True), SLICE) == expected


def test_the_peer_trains_the_encoder_and_the_decoder() -> None:
    network = build(NetworkSpec("mdvit", 1, 2, (64, 64), {**SMALL, "peer": True}))
    Tapped(network, ("side.0",))(torch.randn(2, 1, 64, 64))["side.0"].square().mean().backward()
    without = {name for name, weight in network.named_parameters() if weight.grad is None}
    assert without == {"head.weight", "head.bias"}


def test_attention_is_what_the_equations_say() -> None:
    """Head by head, in float64."""
    attention, windows = FactorisedAttention(24).double(), Windows(24).double()
    tokens_NC = torch.randn(20, 24, dtype=torch.float64)
    query, key, value = (
        (tokens_NC @ weight.T + bias).reshape(20, HEADS, 3)
        for weight, bias in zip(attention.to_qkv.weight.chunk(3), attention.to_qkv.bias.chunk(3), strict=True)
    )
    first, _, last = attention.domain
    hidden = (first.weight[:, 0] + first.bias).clamp(min=0)
    weights_HD = (last.weight @ hidden + last.bias).reshape(HEADS, 3).exp()
    weights_HD = weights_HD / weights_HD.sum(0)
    heads = []
    for head in range(HEADS):
        convolution, within = _window_of(windows, head)
        share_ND = key[:, head].exp() / key[:, head].exp().sum(0)
        summary_DE = torch.stack([(share_ND[:, [d]] * value[:, head]).sum(0) for d in range(3)])
        around_ND = torch.stack(
            [
                nn.functional.conv2d(
                    value[:, head, d].reshape(1, 1, 4, 5),
                    convolution.weight[[3 * within + d]],
                    convolution.bias[[3 * within + d]],
                    padding="same",
                ).flatten()
                for d in range(3)
            ],
            1,
        )
        mixed_ND = query[:, head] @ summary_DE / 3**0.5 + query[:, head] * around_ND
        heads.append(weights_HD[head] * mixed_ND)
    expected_NC = torch.cat(heads, 1) @ attention.out.weight.T + attention.out.bias
    torch.testing.assert_close(attention(tokens_NC[None], torch.Size((4, 5)), windows)[0], expected_NC)


def _window_of(windows: Windows, head: int) -> tuple[nn.Module, int]:
    """The convolution of a head, and the head's number among those that it has."""
    number = next(i for i, first in enumerate((2, 5, 8)) if head < first)
    return windows.convolutions[number], head - (0, 2, 5)[number]


def test_the_windows_of_the_heads() -> None:
    """A point spreads over 3, 5 or 7 voxels, by the head of its channel."""
    windows = Windows(16)
    point = torch.zeros(1, 16, 9, 9)
    point[..., 4, 4] = 1
    for convolution in windows.convolutions:
        assert isinstance(convolution, nn.Conv2d)
        nn.init.ones_(convolution.weight)
        nn.init.zeros_(convolution.bias)
    spread = windows(point)[0].sum((1, 2)).tolist()
    assert spread == [9] * 4 + [25] * 6 + [49] * 6


def test_a_stages_blocks_share_the_convolutions() -> None:
    stage = Stage(8, 4)
    by_hand = torch.randn(1, 8, 5, 6)
    expected = by_hand
    for block in stage.blocks:
        expected = block(stage.position(expected) + expected, stage.windows)
    torch.testing.assert_close(stage(by_hand), expected)
    assert sum(isinstance(module, nn.Conv2d) for module in stage.modules()) == 4


def test_initial_weights() -> None:
    torch.manual_seed(0)
    network = build(NetworkSpec("mdvit", 3, 2, (64, 64), {"features": [64, 64, 64, 64]}))
    assert isinstance(network, MDViT)
    depthwise, linear = network.encoder[0].windows.convolutions[1], network.encoder[0].blocks[0].mlp[0]
    assert depthwise.weight.std().item() == pytest.approx((2 / 25) ** 0.5, rel=0.1)
    assert linear.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert not depthwise.bias.any()
    assert not linear.bias.any()


@pytest.mark.parametrize(
    ("patch", "options", "message"),
    [
        ((64, 64, 64), {}, "mdvit cannot take a patch of 64x64x64 voxels: it is 2D"),
        (
            (48, 64),
            {},
            "every axis must be a multiple of 32x32; the smallest patch at least as large that works",
        ),
        ((32, 32), {}, "bottleneck of one voxel"),
        ((64, 64), {"features": [8, 8, 16]}, "give 4 of them, multiples of 8"),
        ((64, 64), {"features": [8, 8, 16, 20]}, "give 4 of them, multiples of 8"),
    ],
)
def test_mistakes(patch: tuple[int, ...], options: dict[str, list[int]], message: str) -> None:
    with pytest.raises(UserError) as caught:
        build(NetworkSpec("mdvit", 1, 2, patch, options))
    assert message in str(caught.value)


def test_divisor() -> None:
    assert divisor(NetworkSpec("mdvit", 1, 2, (64, 64))) == (32, 32)
