"""DeepLabV3: its published sizes, what its pyramid computes, and what the auxiliary head costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

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
from distilseg.networks.deeplab_v3 import DeepLabV3, Pyramid

SLICE = (1, 3, 224, 256)


def shapes_only(*, auxiliary: bool, modalities: int = 3, classes: int = 7) -> DeepLabV3:
    with torch.device("meta"):
        network = build(NetworkSpec("deeplab_v3", modalities, classes, SLICE[2:], {"auxiliary": auxiliary}))
    assert isinstance(network, DeepLabV3)
    return network


def test_published_parameters() -> None:
    """`architectures.md`, section 2.7: three channels, seven classes."""
    assert parameters(shapes_only(auxiliary=False)) == 39_635_271
    assert parameters(shapes_only(auxiliary=True)) == 41_996_878


def test_feature_shapes() -> None:
    expected = {
        "encoder.1": (1, 64, 112, 128),
        "encoder.2": (1, 256, 56, 64),
        "encoder.3": (1, 1024, 28, 32),
        "bottleneck": (1, 2048, 28, 32),
        "decoder.3": (1, 256, 28, 32),
        "side.0": (1, 7, 224, 256),
    }
    assert feature_shapes(shapes_only(auxiliary=True), SLICE) == expected


def test_a_prediction_never_computes_the_auxiliary_head() -> None:
    network, with_head = shapes_only(auxiliary=False), shapes_only(auxiliary=True)
    assert feature_modules(with_head).keys() - feature_modules(network) == {"side.0"}
    cost = multiply_accumulates(network, SLICE)
    assert multiply_accumulates(with_head, SLICE) == cost
    voxels = 28 * 32
    more = multiply_accumulates(Tapped(with_head, ("side.0",)), SLICE) - cost
    assert more == voxels * (1024 * 256 * 9 + 256 * 7)


def test_the_auxiliary_head_trains_the_trunk_up_to_layer3() -> None:
    torch.manual_seed(0)
    network = build(NetworkSpec("deeplab_v3", 1, 2, (32, 32), {"auxiliary": True}))
    Tapped(network, ("side.0",))(torch.randn(2, 1, 32, 32))["side.0"].square().mean().backward()
    reached = {name.split(".")[0] for name, weight in network.named_parameters() if weight.grad is not None}
    assert reached == {"trunk", "auxiliary"}
    untouched = {name for name, w in network.named_parameters() if w.grad is None and "trunk" in name}
    assert untouched
    assert all(name.startswith("trunk.layer4.") for name in untouched)


def test_the_pyramid_in_plain_numbers() -> None:
    """Each branch by itself on a map whose border the widest rate reaches; norms as fresh ones compute."""
    torch.manual_seed(0)
    pyramid: Any = Pyramid(5, 4, (1, 2, 3)).double().eval()
    map_BCs = torch.randn(2, 5, 7, 6, dtype=torch.float64)

    def normed(x: Tensor) -> Tensor:
        scaled: Tensor = x / (1 + 1e-5) ** 0.5
        return scaled.clamp(min=0)

    expected = [normed(torch.einsum("bchw,dc->bdhw", map_BCs, pyramid.branches[0][0].weight[..., 0, 0]))]
    for branch, rate in zip(pyramid.branches[1:], (1, 2, 3), strict=True):
        padded = nn.functional.pad(map_BCs, (rate,) * 4)
        summed = torch.zeros(2, 4, 7, 6, dtype=torch.float64)
        for i in range(3):
            for j in range(3):
                shifted = padded[..., i * rate : i * rate + 7, j * rate : j * rate + 6]
                summed += torch.einsum("bchw,dc->bdhw", shifted, branch[0].weight[..., i, j])
        expected.append(normed(summed))
    mean_BC = map_BCs.sum((2, 3)) / 42
    of_image = normed(mean_BC @ pyramid.of_image.weight[..., 0, 0].T)
    expected.append(of_image[..., None, None].expand(2, 4, 7, 6))
    projected = torch.einsum("bchw,dc->bdhw", torch.cat(expected, 1), pyramid.project[0][0].weight[..., 0, 0])
    torch.testing.assert_close(pyramid(map_BCs), normed(projected))


def test_the_rates() -> None:
    branches: Any = shapes_only(auxiliary=False).pyramid.branches
    assert [branch[0].dilation[0] for branch in branches] == [1, 12, 24, 36]
    assert [branch[0].kernel_size[0] for branch in branches] == [1, 3, 3, 3]


def test_weights_of_imagenet_fill_the_trunk(tmp_path: Path) -> None:
    torch.manual_seed(0)
    learned = build(NetworkSpec("deeplab_v3", 3, 2, (32, 32)))
    assert isinstance(learned, DeepLabV3)
    entries = {name.removeprefix("stem."): t.clone() for name, t in learned.trunk.state_dict().items()}
    file = tmp_path / "resnet50.pth"
    torch.save(entries, file)
    network = build(NetworkSpec("deeplab_v3", 1, 2, (32, 32), {"imagenet": str(file)}))
    assert isinstance(network, DeepLabV3)
    assert torch.equal(network.trunk.state_dict()["layer4.2.conv3.weight"], entries["layer4.2.conv3.weight"])
    assert torch.equal(network.trunk.state_dict()["stem.conv1.weight"], 3 * entries["conv1.weight"][:, :1])


def test_a_batch_of_one_cannot_be_learned_from() -> None:
    network = build(NetworkSpec("deeplab_v3", 1, 2, (32, 32)))
    with pytest.raises(UserError, match="a batch of one image"):
        network(torch.zeros(1, 1, 32, 32))


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ((64, 64, 64), "deeplab_v3 cannot take a patch of 64x64x64 voxels: it is 2D"),
        ((60, 64), "must be a multiple of 8x8; the smallest patch at least as large that works is 64x64"),
        ((8, 8), "bottleneck of one voxel"),
    ],
)
def test_mistakes(patch: tuple[int, ...], message: str) -> None:
    with pytest.raises(UserError) as caught:
        build(NetworkSpec("deeplab_v3", 1, 2, patch))
    assert message in str(caught.value)


def test_divisor() -> None:
    assert divisor(NetworkSpec("deeplab_v3", 1, 2, (64, 64))) == (8, 8)
