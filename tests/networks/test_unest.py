"""UNesT: its published sizes, the size of its features, and what its blocks, layers and tables compute."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from distilseg.errors import UserError
from distilseg.networks import NetworkSpec, build, divisor, feature_shapes, parameters
from distilseg.networks.count_thop import count_as_thop
from distilseg.networks.unest import Layer, Level, UNesT
from distilseg.networks.unest_published import TABLE, our_name

from .zoo_unest import zoo_unest

CUBE = (96, 96, 96)


def shapes_only(size: str, patch: tuple[int, ...] = CUBE) -> UNesT:
    with torch.device("meta"):
        network = build(NetworkSpec("unest", 1, 7, patch, {"size": size}))
    assert isinstance(network, UNesT)
    return network


@pytest.mark.parametrize(
    ("size", "count"), [("small", 22_400_120), ("base", 87_201_000), ("large", 279_457_112)]
)
def test_published_parameters(size: str, count: int) -> None:
    """`architectures.md`, section 2.4: one channel, seven classes."""
    assert parameters(shapes_only(size)) == count


def test_the_default_is_the_base_network() -> None:
    with torch.device("meta"):
        assert parameters(build(NetworkSpec("unest", 1, 7, CUBE))) == 87_201_000


def test_counts_of_thop() -> None:
    """The same section: what thop prints for the base network, which leaves the position tables out."""
    count = count_as_thop(shapes_only("base"), (1, 1, *CUBE))
    assert f"{count.parameters / 1e6:.2f}" == "84.88"
    assert f"{count.multiply_accumulates / 1e9:.1f}" == "258.2"


@pytest.mark.parametrize("patch", [CUBE, (32, 96, 64)])
def test_feature_shapes(patch: tuple[int, ...]) -> None:
    channels = [32, 64, 128, 256, 512]
    expected = {
        f"{side}.{level}": (1, width, *(size >> level for size in patch))
        for side in ("encoder", "decoder")
        for level, width in enumerate(channels)
    }
    expected |= {"bottleneck": (1, 1024, *(size >> 5 for size in patch))}
    assert feature_shapes(shapes_only("base", patch), (1, 1, *patch)) == expected


def test_a_block_holds_neighbours_and_comes_back() -> None:
    """Voxel (i, j, k) is in block (i // 2, j // 3, k // 1) of 4x4x4, at (i % 2, j % 3, k % 1)."""
    level = Level(1, 1, 4, (2, 3, 1), [])
    map_BCs = torch.arange(2 * 8 * 12 * 4.0).reshape(2, 1, 8, 12, 4)
    cut = level.cut(map_BCs)
    assert cut.shape == (2, 64, 6, 1)
    for i, j, k in ((0, 0, 0), (1, 2, 0), (2, 0, 3), (7, 11, 3), (5, 4, 1)):
        block = (i // 2) * 16 + (j // 3) * 4 + k
        assert cut[1, block, (i % 2) * 3 + j % 3, 0] == map_BCs[1, 0, i, j, k]
    assert torch.equal(level.together(cut), map_BCs)


def test_blocks_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    level = Level(8, 2, 2, (2, 2, 2), [0.0, 0.0]).eval()
    one = torch.randn(1, 8, 4, 4, 4)
    other = one.clone()
    other[..., 0, 1, 3] += torch.randn(8)  # a constant would not pass the layer norm
    with torch.no_grad():
        differs = (level(one) != level(other)).any(1)[0]
    # All of the block that holds the voxel, and nothing else.
    assert differs.nonzero().tolist() == [[i, j, k] for i in (0, 1) for j in (0, 1) for k in (2, 3)]


def test_each_block_has_positions_of_its_own() -> None:
    level = Level(4, 1, 2, (1, 2, 3), [])
    torch.testing.assert_close(
        level(torch.zeros(1, 4, 2, 4, 6))[0].flatten(1).T.sort(0).values,
        level.position.flatten(0, 1).sort(0).values,
    )
    assert level.position.shape == (8, 6, 4)
    assert level.position.detach().abs().max() > 0


def test_a_layer_in_plain_numbers() -> None:
    """x += attention(norm x); x += MLP(norm x). Blocks and heads one by one, in float64."""
    torch.manual_seed(0)
    layer: Any = Layer(12, 3, 0.0).double().eval()
    for weight in layer.parameters():
        nn.init.normal_(weight, std=0.3)
    tokens = torch.randn(2, 3, 5, 12, dtype=torch.float64)

    def norm(x: Tensor, of: nn.LayerNorm) -> Tensor:
        spread = x.var(-1, correction=0, keepdim=True) + 1e-6
        return (x - x.mean(-1, keepdim=True)) / spread.sqrt() * of.weight + of.bias

    def linear(x: Tensor, of: nn.Linear) -> Tensor:
        return x @ of.weight.T + of.bias

    expected = tokens.clone()
    for case in range(2):
        for block in range(3):
            x = tokens[case, block]
            query, key, value = linear(norm(x, layer.attention_norm), layer.to_qkv).chunk(3, -1)
            heads = [
                torch.softmax(query[:, h : h + 4] @ key[:, h : h + 4].T / 2, -1) @ value[:, h : h + 4]
                for h in (0, 4, 8)
            ]
            # The authors' (attention @ v).permute(0, 2, 3, 4, 1): heads vary fastest among the channels.
            x = x + linear(torch.stack(heads, -1).flatten(1), layer.out)
            hidden = linear(norm(x, layer.mlp_norm), layer.mlp[0])
            hidden = 0.5 * hidden * (1 + torch.erf(hidden / 2**0.5))
            expected[case, block] = x + linear(hidden, layer.mlp[2])
    torch.testing.assert_close(layer(tokens), expected)


def test_stochastic_depth_grows_from_layer_to_layer_and_acts_in_training_alone() -> None:
    network: Any = shapes_only("small")
    rates = [layer.drop_path.drop_prob for level in network.levels for layer in level.layers]
    assert rates == pytest.approx([0.5 * layer / 11 for layer in range(12)])

    torch.manual_seed(0)
    layer = Layer(8, 2, 0.5)
    tokens = torch.randn(64, 1, 4, 8)
    changed = (layer(tokens) != tokens).flatten(1).any(1)
    assert 0.5 < changed.float().mean() < 0.95  # either of two changes is left out half of the time
    assert (layer.eval()(tokens) != tokens).flatten(1).any(1).all()


def test_training_reaches_every_weight() -> None:
    torch.manual_seed(0)
    network = build(NetworkSpec("unest", 2, 2, (32, 32, 64), {"size": "small", "drop_path": 0.0}))
    logits = network(torch.randn(1, 2, 32, 32, 64))
    (logits * torch.randn_like(logits)).sum().backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []


def test_a_patch_of_another_size_is_named() -> None:
    with pytest.raises(ValueError, match="takes patches of 96x96x96 voxels, here are 64x64x64"):
        shapes_only("small")(torch.zeros(1, 1, 64, 64, 64, device="meta"))


@pytest.mark.parametrize(
    ("patch", "options", "message"),
    [
        ((64, 64), {}, "unest cannot take a patch of 64x64 voxels: it is 3D; give three sizes"),
        ((96, 96, 80), {}, "a multiple of 32x32x32; the smallest patch at least as large that works is 96x"),
        ((32, 32, 32), {}, "bottleneck of one voxel"),
        (CUBE, {"size": "tiny"}, "unknown size of unest 'tiny'"),
        (CUBE, {"drop_path": 1.0}, "give a number from 0 to below 1"),
    ],
)
def test_mistakes(patch: tuple[int, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        build(NetworkSpec("unest", 1, 2, patch, options))
    assert message in str(caught.value)


def test_published_weights_are_its_own() -> None:
    """With them it answers as the network of MONAI's model zoo, put together independently."""
    torch.manual_seed(0)
    widths, heads, depths = (16, 32, 64), (1, 2, 4), (1, 1, 2)
    theirs = zoo_unest(3, widths, heads, depths).eval()
    for weight in theirs.parameters():
        nn.init.normal_(weight, std=0.2)
    named = {our_name(name): value for name, value in theirs.state_dict().items()}
    ours = UNesT(1, 3, CUBE, widths, heads, depths, 0.5).eval()
    ours.load_state_dict(
        {name: value[0] if TABLE.fullmatch(name) else value for name, value in named.items()}
    )
    image = torch.randn(1, 1, *CUBE)
    with torch.inference_mode():
        torch.testing.assert_close(ours(image), theirs(image), rtol=1e-4, atol=1e-4)


def test_divisor() -> None:
    assert divisor(NetworkSpec("unest", 1, 2, CUBE)) == (32, 32, 32)
