"""DeepLabV3: its published sizes, its features, and what the auxiliary head costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

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
from distilseg.networks.deeplab_v3 import DeepLabV3

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
