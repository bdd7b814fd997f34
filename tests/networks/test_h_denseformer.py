"""H-DenseFormer: its published sizes, the size of its features, and what a dense layer computes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from distilseg.errors import UserError
from distilseg.networks import NetworkSpec, Tapped, build, feature_shapes, parameters
from distilseg.networks.h_denseformer import DenseBlock, DenseLayer

VOLUME, SLICE = (144, 144, 144), (384, 384)


def shapes_only(name: str, modalities: int, patch: tuple[int, ...], **options: int) -> nn.Module:
    with torch.device("meta"):
        return build(NetworkSpec(name, modalities, 2, patch, options))


@pytest.mark.parametrize(
    ("name", "patch", "options", "count"),
    [  # `architectures.md`, section 2.2: two modalities in 3D, three in 2D
        ("h_denseformer", VOLUME, {}, 11_561_288),
        ("h_denseformer", VOLUME, {"filters": 16}, 3_734_312),
        ("h_denseformer_light", VOLUME, {}, 1_573_016),
        ("h_denseformer", SLICE, {}, 5_197_032),
        ("h_denseformer_light", SLICE, {}, 1_312_224),
    ],
)
def test_published_parameters(name: str, patch: tuple[int, ...], options: dict[str, int], count: int) -> None:
    assert parameters(shapes_only(name, 2 if patch is VOLUME else 3, patch, **options)) == count


@pytest.mark.parametrize(
    ("name", "modalities", "patch", "filters"),
    [("h_denseformer", 2, VOLUME, 32), ("h_denseformer_light", 3, SLICE, 8)],
)
def test_feature_shapes(name: str, modalities: int, patch: tuple[int, ...], filters: int) -> None:
    """The bottleneck is at stride 16, 4 n channels per modality; the decoder's last at full resolution, n."""

    def at(level: int, channels: int) -> tuple[int, ...]:
        return (1, channels, *(size >> level for size in patch))

    expected = {f"encoder.{level}": at(level, filters << level) for level in range(4)}
    expected |= {"bottleneck": at(4, 4 * filters * modalities)}
    expected |= {f"decoder.{level}": at(level, filters << level) for level in range(3)}
    expected |= {f"side.{level}": at(level, 2) for level in (1, 2, 3)}
    assert feature_shapes(shapes_only(name, modalities, patch), (1, modalities, *patch)) == expected


def test_a_dense_layer_in_plain_numbers() -> None:
    """x = W seen; x += attention(norm x); x += MLP(norm x); stored = MLP(norm x). Heads one by one."""
    layer: Any = DenseLayer(48, dropout=0.5).double().eval()
    for weight in layer.parameters():
        nn.init.normal_(weight, std=0.3)
    seen = torch.randn(2, 5, 48, dtype=torch.float64)

    def norm(x: Tensor, of: nn.LayerNorm) -> Tensor:
        spread = x.var(-1, correction=0, keepdim=True) + of.eps
        return (x - x.mean(-1, keepdim=True)) / spread.sqrt() * of.weight + of.bias

    def mlp(x: Tensor) -> Tensor:
        first, last = layer.mlp[0], layer.mlp[3]
        hidden = x @ first.weight.T + first.bias
        hidden = 0.5 * hidden * (1 + torch.erf(hidden / 2**0.5))
        return hidden @ last.weight.T + last.bias

    x = seen @ layer.project.weight.T + layer.project.bias
    query, key, value = (norm(x, layer.attention_norm) @ layer.attention.to_qkv.weight.T).split(32, -1)
    heads = [
        torch.softmax(query[..., h : h + 4] @ key[..., h : h + 4].transpose(1, 2) / 2, -1)
        @ value[..., h : h + 4]
        for h in range(0, 32, 4)
    ]
    out = layer.attention.out[0]
    x = x + torch.cat(heads, -1) @ out.weight.T + out.bias
    x = x + mlp(norm(x, layer.mlp_norm))
    torch.testing.assert_close(layer(seen), mlp(norm(x, layer.mlp_norm)))


def test_every_layer_of_a_block_is_seen_by_all_that_follow() -> None:
    block: Any = DenseBlock(16, dropout=0.0)
    assert [layer.project.in_features for layer in block.layers] == [16, 48, 80, 112]
    assert block.out[0].in_features == 16 + 4 * 32
    tokens = torch.randn(1, 3, 16)
    stored: list[Tensor] = []
    for layer in block.layers:
        stored.append(layer(torch.cat([tokens, *stored], 2)))
    torch.testing.assert_close(block(tokens), block.out(torch.cat([tokens, *stored], 2)))


def test_each_modality_has_a_transformer_of_its_own() -> None:
    network = build(NetworkSpec("h_denseformer_light", 2, 2, (32, 32), {"filters": 2, "depth": 4})).eval()
    image = torch.randn(1, 2, 32, 32)
    other = image.clone()
    other[:, 1] = torch.randn(1, 32, 32)
    with torch.no_grad(), Tapped(network, ["bottleneck"]) as tapped:
        one, two = (tapped(x)["bottleneck"] for x in (image, other))
    assert torch.equal(one[:, :8], two[:, :8])
    assert not torch.isclose(one[:, 8:], two[:, 8:]).all()


def test_a_patch_of_another_size_is_named() -> None:
    network = build(NetworkSpec("h_denseformer_light", 1, 2, (32, 32), {"filters": 2, "depth": 4}))
    with pytest.raises(ValueError, match="takes patches of 32x32 voxels, here are 48x48"):
        network(torch.zeros(1, 1, 48, 48))


def test_layers_come_in_fours() -> None:
    with pytest.raises(UserError, match="a multiple of 4"):
        build(NetworkSpec("h_denseformer", 1, 2, (32, 32), {"depth": 6}))
