"""Thickened 2D networks: slices come out where they went in, along any axis; sizes and counts by hand."""

from __future__ import annotations

import re
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from distilseg.errors import UserError
from distilseg.networks import NetworkSpec, Tapped, build, divisor, feature_shapes, parameters
from distilseg.networks.slice_attention import SliceAttention
from distilseg.networks.thickened import Thickened


def made(
    patch: tuple[int, ...], *, modalities: int = 1, classes: int = 2, seed: int = 0, **options: Any
) -> Thickened:
    torch.manual_seed(seed)
    spec = NetworkSpec("thickened", modalities, classes, patch, {"backbone": "light", **options})
    network = build(spec).eval()
    assert isinstance(network, Thickened)
    return network


def count(slices: int = 12, modalities: int = 1, classes: int = 1, **options: Any) -> int:
    with torch.device("meta"):
        spec = NetworkSpec("thickened", modalities, classes, (64, 64, slices), options)
        return parameters(build(spec))


class SlicesThemselves(nn.Module):
    """In place of the trunk: a group's map is its slices at stride 4, and the deepest map is not used."""

    def fine(self, image: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(image, 4)

    def deep(self, map_BCs: Tensor) -> Tensor:
        return map_BCs


class AllSlices(nn.Module):
    """In place of the decoder: U is three channels of nothing, then all k slices."""

    def forward(self, deep_BCs: Tensor, fine_BCs: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(fine_BCs[:, :3]), fine_BCs], 1)


def chosen(rows: int, columns: int, ones: dict[int, float]) -> nn.Conv2d:
    """A 1x1 convolution whose output channel i is `ones[i]` times input channel i % columns."""
    layer = nn.Conv2d(columns, rows, 1)
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    with torch.no_grad():
        for i, one in ones.items():
            layer.weight[i, i % columns] = one
    return layer


def with_plain_parts(network: Thickened) -> Thickened:
    """All that is learned is set so that a group finds its slices in U by attention alone.

    Q are the group's slices, K and V are U. Slices that overlap nowhere match themselves alone, so A is
    one-hot; Z's first three channels, where U is 0, are the group's slices. Class 1 is minus class 0.
    """
    channels = 3 + network.slices
    head = SliceAttention(channels, 3, "group", "softmax_scaled")
    head.query = chosen(channels, 3, dict.fromkeys(range(3), 1000.0))
    head.key = head.value = chosen(channels, channels, dict.fromkeys(range(channels), 1.0))
    with torch.no_grad():
        head.out.weight.copy_(torch.eye(channels)[..., None, None])
    head.norm = nn.Identity()  # type: ignore[assignment]
    network.trunk, network.decoder = SlicesThemselves(), AllSlices()  # type: ignore[assignment]
    network.fusion, network.head = nn.Identity(), head
    network.classifier = chosen(6, channels, {0: 1.0, 1: 1.0, 2: 1.0})
    with torch.no_grad():
        network.classifier.weight[3:6] = -network.classifier.weight[:3]
    return network


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slice_i_of_the_answer_is_slice_i_of_the_image(axis: int) -> None:
    """Slice i is bright, i + 1, in tile i of sixteen: so must its logits be, and nowhere else."""
    slices, tile = 12, 16
    patch = (64, 64, slices) if axis == 2 else (64, slices, 64) if axis == 1 else (slices, 64, 64)
    image = torch.zeros(2, 1, 64, 64, slices)
    for i in range(slices):
        row, column = divmod(i, 4)
        image[:, 0, row * tile : (row + 1) * tile, column * tile : (column + 1) * tile, i] = i + 1
    image[1] *= 2
    network = with_plain_parts(made(patch))
    with torch.no_grad():
        logits = network(image.movedim(-1, axis + 2)).movedim(axis + 2, -1)
    centres = slice(tile // 2, None, tile)
    expected = image[:, :, centres, centres]
    torch.testing.assert_close(logits[:, :, centres, centres], torch.cat([expected, -expected], 1))


def test_a_groups_channels_are_the_modalities_each_with_its_slices() -> None:
    network = made((32, 48, 6), modalities=2)
    slab_Mk = torch.arange(12.0).reshape(2, 6)  # modality m, slice i: 6 m + i
    image = slab_Mk[None, :, None, None].expand(1, 2, 32, 48, 6)
    folded = network.fold(image)
    assert folded.shape == (2, 6, 32, 48)
    assert folded[:, :, 0, 0].tolist() == [[0, 1, 2, 6, 7, 8], [3, 4, 5, 9, 10, 11]]
    plain = made((32, 48, 6), modalities=2, multiplexing=False, head="none")
    assert plain.fold(image)[:, :, 0, 0].tolist() == [list(range(12))]


@pytest.mark.parametrize("options", [{"head": "none"}, {"head": "none", "multiplexing": False}])
def test_without_a_head_the_classifiers_channels_keep_the_order(options: dict[str, Any]) -> None:
    """U says nothing, the classifier's bias alone: channel n is group, class, slice of the group in turn."""
    network = made((32, 48, 6), classes=2, **options)
    nn.init.zeros_(network.classifier.weight)
    bias = network.classifier.bias
    assert bias is not None
    with torch.no_grad():
        bias.copy_(torch.arange(12.0))
        logits = network(torch.randn(2, 1, 32, 48, 6))
    by_hand = [[0, 1, 2, 6, 7, 8], [3, 4, 5, 9, 10, 11]]
    if network.groups == 1:
        by_hand = [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    assert logits[1, :, 5, 7].tolist() == by_hand


@pytest.mark.parametrize("axes", list(permutations(range(3))))
def test_every_axis_gives_the_permuted_answer(axes: tuple[int, ...]) -> None:
    if axes.index(0) > axes.index(1):
        axes = tuple({0: 1, 1: 0, 2: 2}[a] for a in axes)  # rows stay before columns
    plain = (32, 48, 6)
    image = torch.randn(2, 2, *plain)
    expected = made(plain, modalities=2)(image)
    turned = [0, 1, *(a + 2 for a in axes)]
    network = made(tuple(plain[a] for a in axes), modalities=2)
    assert network.axis == axes.index(2)
    torch.testing.assert_close(network(image.permute(turned)), expected.permute(turned))


def test_the_slab_axis() -> None:
    assert made((48, 48, 48)).axis == 2
    assert made((48, 48, 48), axis=0).axis == 0
    assert made((32, 6, 48)).axis == 1
    network = made((16, 32, 48), axis=2)
    assert network(torch.zeros(1, 1, 16, 32, 48)).shape == (1, 2, 16, 32, 48)
    with pytest.raises(ValueError, match=r"slabs of 48 slices along axis 2, here are 16x32x24 voxels"):
        network(torch.zeros(1, 1, 16, 32, 24))
    assert network(torch.zeros(1, 1, 64, 32, 48)).shape == (1, 2, 64, 32, 48)  # slices of any size


@pytest.mark.parametrize("head", ["ssa", "none", "concat", "dot"])
def test_a_single_group(head: str) -> None:
    network = made((32, 48, 3), head=head)
    image = torch.randn(2, 1, 32, 48, 3)
    assert network.groups == 1
    assert network(image).shape == (2, 2, 32, 48, 3)
    assert torch.equal(network(image), network(image))


@pytest.mark.parametrize(
    "options",
    [
        {"head": "concat"},
        {"head": "dot"},
        {"head": "none"},
        {"head": "none", "multiplexing": False},
        {"query": "fused", "normalize": "dot"},
        {"normalize": "softmax"},
        {"fusion_kernel": 3, "low_level": "mean"},
        {"group": 2, "output_stride": 8},
        {"group": 1, "output_stride": 32},
    ],
)
def test_every_option_learns_and_predicts(options: dict[str, Any]) -> None:
    network = made((32, 64, 6), modalities=2, classes=3, **options).train()
    image = torch.randn(2, 2, 32, 64, 6)
    network(image).square().mean().backward()
    still = [name for name, weight in network.named_parameters() if weight.grad is None]
    assert not still
    network.eval()
    one, two = network(image), network(image)
    assert one.shape == (2, 3, 32, 64, 6)
    assert torch.equal(one, two)
    torch.testing.assert_close(network(image[1:]), one[1:])  # a case does not see the others


def test_the_backbone_with_its_pyramid(tmp_path: Path) -> None:
    """All of it learns, from two slabs or more; the trunk is resnet50, and takes that one's weights."""
    network = made((32, 48, 6), backbone="deeplab_v3_plus").train()
    image = torch.randn(2, 1, 32, 48, 6)
    network(image).square().mean().backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []
    with pytest.raises(UserError, match="a batch of one image"):
        network(image[:1])
    assert network.eval()(image[:1]).shape == (1, 2, 32, 48, 6)
    entries = {name.removeprefix("stem."): w.clone() for name, w in network.trunk.state_dict().items()}
    torch.save(entries, tmp_path / "resnet50.pth")
    other = made(
        (32, 48, 6), seed=1, backbone="deeplab_v3_plus", imagenet=str(tmp_path / "resnet50.pth")
    ).trunk
    assert torch.equal(other.state_dict()["layer3.0.conv2.weight"], entries["layer3.0.conv2.weight"])


def test_the_variance_of_its_norm() -> None:
    spec = {"backbone": "student_tiny", "norm_variance": "sample"}
    network: Any = build(NetworkSpec("thickened", 1, 2, (32, 48, 6), spec))
    assert network.head.norm.of_sample
    assert not made((32, 48, 6)).head.norm.of_sample  # type: ignore[union-attr]
    with pytest.raises(UserError, match="unknown norm_variance of thickened 'biased'"):
        made((32, 48, 6), norm_variance="biased")


def test_a_few_steps_teach_it_which_slice_is_which() -> None:
    """Every slice is bright or dark by chance, and that is its label: from another slice it is a guess."""
    torch.manual_seed(0)
    network = made((32, 32, 6), classes=1).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(1)

    def draw() -> Tensor:
        sides = torch.randint(0, 2, (8, 1, 1, 1, 6), generator=generator) * 2.0 - 1
        return sides.expand(8, 1, 32, 32, 6) + 0.1 * torch.randn(8, 1, 32, 32, 6, generator=generator)

    for _ in range(60):
        image = draw()
        optimizer.zero_grad()
        nn.functional.softplus(-image.sign() * network(image)).mean().backward()
        optimizer.step()
    image = draw()
    right = ((network(image) > 0) == (image.mean((2, 3), keepdim=True) > 0)).double().mean((0, 1, 2, 3))
    assert right.min() > 0.9, f"right per slice: {right.tolist()}"


def test_parameters_by_hand() -> None:
    trunk, decoder = 23_508_032, 2048 * 256 + 256 * 48 + 304 * 2304 + 256 * 2304 + 2 * (3 * 256 + 48)
    fusion = 1024 * 512 + 512 * 256 + 2 * (512 + 256)  # twelve slices are four groups of 256 channels
    attention = 3 * (256 * 256 + 256) + 256 * 256 + 2 * 256 + 6
    assert count(multiplexing=False, head="none") == trunk + 9 * 64 * 49 + decoder + 257 * 12
    assert count(head="none") == trunk + fusion + decoder + 257 * 12
    assert count() == trunk + fusion + decoder + attention + 257 * 3
    assert count(backbone="light") == 2_925_513
    students = [count(backbone=f"student_{size}") for size in ("tiny", "small", "base")]
    assert students == [184_505, 564_185, 1_118_425]
    pyramid_and_decoder = 26_679_127 - trunk - 257 * 7  # of the network DeepLabV3+, its classifier apart
    assert count(backbone="deeplab_v3_plus") == trunk + fusion + pyramid_and_decoder + attention + 257 * 3
    assert count(fusion_kernel=3) - count() == 8 * (1024 * 512 + 512 * 256)
    assert count(head="concat") - count(head="dot") == 512 * 256 + 256
    assert count(head="dot") - count(head="none") == 256 * 256 + 256 - 257 * 9
    assert count(modalities=2, classes=4) - count() == 3 * 64 * 49 + 257 * 9
    assert count(slices=3) - count() == 256 * 128 + 128 * 256 + 2 * (128 + 256) - fusion


def test_feature_shapes() -> None:
    """What is made for each group has their number along the slab axis, what is made for all has one."""

    def at(channels: int, level: int, slices: int) -> tuple[int, ...]:
        return (2, channels, slices, 64 >> level, 96 >> level)

    network = made((12, 64, 96))
    expected = {
        "encoder.1": at(32, 1, 4),
        "encoder.2": at(32, 2, 4),
        "encoder.3": at(64, 3, 1),
        "encoder.4": at(128, 4, 1),
        "bottleneck": at(256, 4, 1),
        "decoder.2": at(64, 2, 4),
        "fused.2": at(64, 2, 1),
    }
    assert feature_shapes(network, (2, 1, 12, 64, 96)) == expected
    assert feature_shapes(made((12, 64, 96), head="none"), (2, 1, 12, 64, 96)) == expected
    shapes = feature_shapes(made((12, 64, 96), head="none", multiplexing=False), (2, 1, 12, 64, 96))
    assert {shape[2] for shape in shapes.values()} == {1}
    shapes = feature_shapes(made((12, 64, 96), output_stride=8), (2, 1, 12, 64, 96))
    assert shapes["encoder.3"] == at(128, 3, 1)
    assert shapes["bottleneck"] == at(256, 3, 1)


def test_a_groups_feature_is_its_own() -> None:
    """Another last slice changes the last of the groups' maps and no other, along whichever axis."""
    network = made((32, 9, 48))
    image = torch.randn(2, 1, 32, 9, 48)
    other = image.clone()
    other[:, :, :, 8] += 1
    with torch.no_grad(), Tapped(network, ["encoder.2", "decoder.2"]) as tapped:
        one, two = tapped(image), tapped(other)
    assert torch.equal(one["encoder.2"][..., :2, :], two["encoder.2"][..., :2, :])
    assert not torch.isclose(one["encoder.2"][..., 2, :], two["encoder.2"][..., 2, :]).all()
    assert not torch.equal(one["decoder.2"][..., :2, :], two["decoder.2"][..., :2, :])


def test_divisor() -> None:
    assert divisor(NetworkSpec("thickened", 1, 2, (64, 12, 64))) == (16, 3, 16)
    spec = NetworkSpec("thickened", 1, 2, (64, 64, 64), {"axis": 0, "group": 4, "output_stride": 32})
    assert divisor(spec) == (4, 32, 32)


@pytest.mark.parametrize(
    ("patch", "options", "message"),
    [
        ((64, 60, 10), {}, "axis 2 must hold a multiple of 3 slices, the others of 16 voxels; the smallest"),
        ((64, 60, 10), {}, "that works is 64x64x12"),
        ((12, 16, 16), {}, "bottleneck of one pixel, too few to normalise over; the smallest patch"),
        ((12, 16, 10), {"axis": 0}, "that works is 12x32x16"),
        ((64, 64, 6), {"axis": 3}, "slab axis 3; give 0, 1 or 2"),
        ((64, 64, 6), {"axis": True}, "slab axis True; give 0, 1 or 2"),
        ((64, 64, 6), {"group": 0}, "groups of 0 slices"),
        ((64, 64, 6), {"output_stride": 4}, "unknown output_stride of thickened '4'"),
        ((64, 64, 6), {"backbone": "resnet"}, "did you mean 'resnet50'?"),
        ((64, 64, 6), {"fusion_kernel": 2}, "unknown fusion_kernel of thickened '2'"),
        ((64, 64, 6), {"head": "sssa"}, "unknown head of thickened 'sssa'; did you mean 'ssa'?"),
        ((64, 64, 6), {"query": "u"}, "unknown query of thickened"),
        ((64, 64, 6), {"normalize": "l2"}, "unknown normalize of thickened"),
        ((64, 64, 6), {"low_level": "first"}, "unknown low_level of thickened"),
        ((64, 64, 6), {"multiplexing": False}, "without multiplexing give head=none"),
        ((64, 64, 6), {"backbone": "light", "imagenet": "x.pth"}, "weights of ImageNet are for resnet50"),
    ],
)
def test_mistakes(patch: tuple[int, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        build(NetworkSpec("thickened", 1, 2, patch, options))
    assert message in str(caught.value)


@pytest.mark.parametrize("head", ["ssa", "none"])
def test_a_single_slice_is_a_slab_of_one(head: str) -> None:
    """In 2D the network is that of one slice, one group, bit for bit; its features have two axes."""
    options = {"backbone": "light", "head": head}
    flat = build(NetworkSpec("thickened", 2, 3, (32, 48), options)).eval()
    slab = build(NetworkSpec("thickened", 2, 3, (32, 48, 1), {**options, "axis": 2, "group": 1})).eval()
    slab.load_state_dict({name.removeprefix("network."): value for name, value in flat.state_dict().items()})
    image = torch.randn(2, 2, 32, 48)
    with torch.no_grad():
        assert torch.equal(flat(image), slab(image[..., None])[..., 0])
    assert divisor(NetworkSpec("thickened", 2, 3, (32, 48))) == (16, 16)
    shapes = feature_shapes(flat, (1, 2, 32, 48))
    assert shapes["encoder.2"] == (1, 32, 8, 12)


@pytest.mark.parametrize("patch", [(64, 64, 64), (64, 66, 80), (30, 30, 30), (16, 5, 16)])
def test_a_patch_that_is_advised_is_taken(patch: tuple[int, ...]) -> None:
    """With the axis named where the shortest of the advised patch would be another."""
    with pytest.raises(UserError) as caught:
        build(NetworkSpec("thickened", 1, 2, patch, {"backbone": "light"}))
    said = re.search(r"that works is ([\dx]+)(?: with axis=(\d))?$", caught.value.fix)
    assert said is not None
    advised = tuple(map(int, said[1].split("x")))
    axis = {"axis": int(said[2])} if said[2] else {}
    network = build(NetworkSpec("thickened", 1, 2, advised, {"backbone": "light", **axis}))
    assert network(torch.zeros(1, 1, *advised)).shape == (1, 2, *advised)
