"""Swin-Unet: its published sizes, the authors' network written out again, and images of another size."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from distilseg.errors import UserError
from distilseg.networks import NetworkSpec, Tapped, build, divisor, feature_shapes, parameters
from distilseg.networks.fixed_size import Expand, resized

SMALL = {"features": 6, "size": 64}


@pytest.mark.parametrize(
    ("modalities", "classes", "count"),
    [(3, 9, 27_168_900), (3, 7, 27_168_708), (1, 9, 27_168_900), (2, 9, 27_168_900 - 96 * 16)],
)
def test_published_parameters(modalities: int, classes: int, count: int) -> None:
    with torch.device("meta"):
        network = build(NetworkSpec("swin_unet", modalities, classes, (224, 224)))
    assert parameters(network) == count


def test_feature_shapes() -> None:
    """On the network's own grid, whatever the image's size."""
    with torch.device("meta"):
        network = build(NetworkSpec("swin_unet", 1, 7, (100, 80)))
    sizes = [(96, 56), (192, 28), (384, 14)]
    expected = {
        f"{side}.{level}": (1, width, size, size)
        for side in ("encoder", "decoder")
        for level, (width, size) in enumerate(sizes)
    }
    assert feature_shapes(network, (1, 1, 100, 80)) == expected | {"bottleneck": (1, 768, 7, 7)}


def test_it_is_the_authors_network() -> None:
    """`SwinTransformerSys` of github.com/HuCaoFighting/Swin-Unet, on tokens [B L C], with the same weights.

    At 224x224 pixels: several windows at strides 4, 8 and 16, shifted in every second block, and one at 32.
    """
    torch.manual_seed(0)
    network: Any = build(NetworkSpec("swin_unet", 3, 2, (224, 224), {"features": 6})).double().eval()
    for weight in network.parameters():
        nn.init.normal_(weight, std=0.3)
    image = torch.randn(1, 3, 224, 224, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(network(image), authors(network, image), rtol=1e-9, atol=1e-9)


def test_encoder_features_are_the_skips() -> None:
    """What the decoder is given beside the coarser map."""
    network: Any = build(NetworkSpec("swin_unet", 1, 2, (64, 64), SMALL)).eval()
    given: list[Tensor] = []
    handles = [fuse.register_forward_pre_hook(lambda _, args: given.append(args[0])) for fuse in network.fuse]
    image = torch.randn(1, 1, 64, 64)
    with torch.no_grad(), Tapped(network, ("encoder.*",)) as tapped:
        features = tapped(image).features
    for handle in handles:
        handle.remove()
    assert list(features) == ["encoder.0", "encoder.1", "encoder.2"]
    for (name, feature), both_BCs in zip(features.items(), reversed(given), strict=True):
        assert torch.equal(both_BCs[:, feature.shape[1] :], feature), name


def authors(network: Any, image: Tensor) -> Tensor:
    """The forward pass of the authors' code, in their order, from the weights of ours."""
    side = 56

    def layer(tokens: Tensor, stage: Any, heads: int, side: int) -> Tensor:
        for number, block in enumerate(stage.blocks):
            shift = 0 if number % 2 == 0 or side <= 7 else 3
            tokens = swin_block(tokens, block, heads, side, shift)
        return tokens

    x = network.embed(image).flatten(2).transpose(1, 2)
    x = norm(x, network.embed_norm.module)
    x_downsample = []
    for i in range(4):
        x_downsample.append(x)
        x = layer(x, network.encoder[i], 3 * 2**i, side >> i)
        if i < 3:
            merge = network.merge[i].module
            grid = x.view(1, side >> i, side >> i, -1)
            parts = [grid[:, a::2, b::2] for a, b in ((0, 0), (1, 0), (0, 1), (1, 1))]
            x = norm(torch.cat(parts, -1).view(1, -1, 4 * x.shape[-1]), merge.norm) @ merge.reduction.weight.T
    x = norm(x, network.bottleneck.module)
    x = expand(x, network.expand[2], 7, 2)
    for level in (2, 1, 0):
        fuse = network.fuse[level].module
        x = torch.cat([x, x_downsample[level]], -1) @ fuse.weight.T + fuse.bias
        x = layer(x, network.decoder[level], 3 * 2**level, side >> level)
        x = expand(x, network.expand[level - 1], side >> level, 2) if level else x
    x = expand(norm(x, network.norm.module), network.expand_last, side, 4)
    return (x @ network.head.weight[:, :, 0, 0].T).view(1, 224, 224, 2).permute(0, 3, 1, 2)


def norm(x: Tensor, of: Any) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * of.weight + of.bias


def expand(tokens: Tensor, of: Any, side: int, factor: int) -> Tensor:
    """rearrange("b h w (p1 p2 c) -> b (h p1) (w p2) c"), then the norm."""
    pixels = (tokens @ of.linear.weight.T).view(side, side, factor, factor, -1)
    finer = torch.empty(side * factor, side * factor, pixels.shape[-1], dtype=tokens.dtype)
    for p1 in range(factor):
        for p2 in range(factor):
            finer[p1::factor, p2::factor] = pixels[:, :, p1, p2]
    return norm(finer.view(1, -1, finer.shape[-1]), of.norm)


def swin_block(tokens: Tensor, block: Any, heads: int, side: int, shift: int) -> Tensor:
    """Attention in windows of 7x7 tokens, of a map rolled by `shift`; then the MLP."""
    channels = tokens.shape[-1]
    grid = torch.roll(norm(tokens, block.norm1).view(side, side, channels), (-shift, -shift), (0, 1))
    # Tokens of one window see each other if they were neighbours before the map was rolled.
    edges = torch.arange(side)
    strip = (edges >= side - 7).int() + (edges >= side - shift).int() if shift else torch.zeros(side).int()
    region = 3 * strip[:, None] + strip[None, :]
    out = torch.empty_like(grid)
    bias = position_bias(block.attn.relative_position_bias_table)
    for i in range(0, side, 7):
        for j in range(0, side, 7):
            window = grid[i : i + 7, j : j + 7].reshape(49, channels)
            qkv = window @ block.attn.qkv.weight.T + block.attn.qkv.bias
            q, k, v = qkv.view(49, 3, heads, channels // heads).permute(1, 2, 0, 3)
            attention = (q * (channels // heads) ** -0.5) @ k.transpose(1, 2) + bias
            own = region[i : i + 7, j : j + 7].flatten()
            attention = attention + torch.where(own[:, None] == own[None, :], 0.0, -100.0)
            mixed = (attention.softmax(-1) @ v).transpose(0, 1).reshape(49, channels)
            out[i : i + 7, j : j + 7] = (mixed @ block.attn.proj.weight.T + block.attn.proj.bias).view(
                7, 7, -1
            )
    x = tokens + torch.roll(out, (shift, shift), (0, 1)).view(1, -1, channels)
    hidden = norm(x, block.norm2) @ block.mlp.linear1.weight.T + block.mlp.linear1.bias
    hidden = 0.5 * hidden * (1 + torch.erf(hidden / 2**0.5))
    return x + hidden @ block.mlp.linear2.weight.T + block.mlp.linear2.bias


def position_bias(table: Tensor) -> Tensor:
    """[heads 49 49]: row (dy + 6) 13 + dx + 6 of the table for a token and another dy, dx before it."""
    rows = [
        [(yq - yk + 6) * 13 + xq - xk + 6 for yk in range(7) for xk in range(7)]
        for yq in range(7)
        for xq in range(7)
    ]
    return table[torch.tensor(rows)].permute(2, 0, 1)


def test_another_size_is_resized_and_restored() -> None:
    network = build(NetworkSpec("swin_unet", 1, 2, (40, 50), SMALL)).eval()
    image = torch.randn(1, 1, 40, 50)
    with torch.no_grad():
        expected = resized(network(resized(image, (64, 64)).expand(-1, 3, -1, -1)), (40, 50))
        assert torch.equal(network(image), expected)
    assert expected.shape == (1, 2, 40, 50)


def test_expanding_gives_a_pixel_to_its_children() -> None:
    """Output channel c of child (i, j) is row (2 i + j) C' + c of the linear map."""
    expand = Expand(4, 3, 2)
    pixels = torch.randn(1, 4, 2, 3)
    row = (2 * 1 + 0) * 3
    values = expand.linear.weight[row : row + 3] @ pixels[0, :, 1, 2]
    child = nn.functional.layer_norm(values, (3,))
    torch.testing.assert_close(expand(pixels)[0, :, 2 * 1 + 1, 2 * 2], child)


@pytest.mark.parametrize(
    ("patch", "options", "message"),
    [
        ((64, 64, 64), {}, "swin_unet cannot take a patch of 64x64x64 voxels: it is 2D"),
        ((64, 48), {"size": 0}, "every axis must be a multiple of 32x32"),
        ((64, 64), {"size": 100}, "give a multiple of 32, at least 64, or 0"),
        ((64, 64), {"features": 10}, "give a multiple of 3"),
    ],
)
def test_mistakes(patch: tuple[int, ...], options: dict[str, int], message: str) -> None:
    with pytest.raises(UserError) as caught:
        build(NetworkSpec("swin_unet", 1, 2, patch, options))
    assert message in str(caught.value)


def test_divisor() -> None:
    assert divisor(NetworkSpec("swin_unet", 1, 2, (50, 50))) == (1, 1)
    assert divisor(NetworkSpec("swin_unet", 1, 2, (64, 64), {"size": 0})) == (32, 32)
