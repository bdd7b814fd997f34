"""DeepLabV3+: its counted size, what follows the trunk in plain numbers, its features and its options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from distilseg.errors import UserError
from distilseg.networks import NetworkSpec, build, divisor, feature_shapes, parameters
from distilseg.networks.deeplab_v3_plus import DeepLabV3Plus

SLICE = (1, 3, 224, 256)


def shapes_only(**options: Any) -> DeepLabV3Plus:
    with torch.device("meta"):
        network = build(NetworkSpec("deeplab_v3_plus", 3, 7, SLICE[2:], options))
    assert isinstance(network, DeepLabV3Plus)
    return network


def test_published_parameters() -> None:
    """`segmentation_models_pytorch.DeepLabV3Plus("resnet50", classes=7)`, and a refinement more."""
    assert parameters(shapes_only()) == 26_679_127
    assert parameters(shapes_only(refinements=2)) == 26_679_127 + 256 * 9 + 256 * 256 + 2 * 256
    assert parameters(shapes_only(output_stride=8, rates=[6, 12, 18])) == 26_679_127


def test_feature_shapes() -> None:
    expected = {
        "encoder.1": (1, 64, 112, 128),
        "encoder.2": (1, 256, 56, 64),
        "encoder.3": (1, 512, 28, 32),
        "encoder.4": (1, 1024, 14, 16),
        "bottleneck": (1, 2048, 14, 16),
        "decoder.2": (1, 256, 56, 64),
    }
    assert feature_shapes(shapes_only(), SLICE) == expected
    del expected["encoder.4"]
    expected |= {"encoder.3": (1, 1024, 28, 32), "bottleneck": (1, 2048, 28, 32)}
    assert feature_shapes(shapes_only(output_stride=8), SLICE) == expected


def test_what_follows_the_trunk_in_plain_numbers() -> None:
    """As segmentation_models_pytorch orders it; its trunk is that of `test_deeplab.py`."""
    torch.manual_seed(0)
    network: Any = build(NetworkSpec("deeplab_v3_plus", 1, 2, (64, 48), {"rates": [1, 2, 3]}))
    for module in network.double().eval().decoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0.1, 0.3)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
    image = torch.randn(2, 1, 64, 48, dtype=torch.float64)
    decoder = network.decoder
    with torch.no_grad():
        fine_BCs = network.trunk.fine(image)
        pyramid_BCs = decoder.deep[0](network.trunk.deep(fine_BCs))  # `test_atrous_pyramid.py`
        assert pyramid_BCs.shape == (2, 256, 4, 3)
        enlarged = by_corners(separable(pyramid_BCs, decoder.deep[1]), (16, 12))
        skip = torch.einsum("bchw,dc->bdhw", fine_BCs, decoder.fine[0].weight[..., 0, 0])
        both = torch.cat([enlarged, normed(skip, decoder.fine[1])], 1)
        merged = separable(both, decoder.merge[0])
        logits = torch.einsum("bchw,kc->bkhw", merged, network.classifier.weight[..., 0, 0])
        expected = by_corners(logits + network.classifier.bias[:, None, None], (64, 48))
        torch.testing.assert_close(network(image), expected)


def separable(map_BCs: Tensor, layers: Any) -> Tensor:
    """Each channel with its own 3x3 kernel, then all of a pixel's channels; norm and ReLU."""
    height, width = map_BCs.shape[2:]
    padded = nn.functional.pad(map_BCs, (1,) * 4)
    alone = sum(
        layers[0].weight[:, 0, i, j, None, None] * padded[..., i : i + height, j : j + width]
        for i in range(3)
        for j in range(3)
    )
    return normed(torch.einsum("bchw,dc->bdhw", alone, layers[1].weight[..., 0, 0]), layers[2])


def normed(map_BCs: Tensor, norm: Any) -> Tensor:
    shifted = map_BCs - norm.running_mean[:, None, None]
    scaled = shifted / (norm.running_var + 1e-5).sqrt()[:, None, None]
    return (scaled * norm.weight[:, None, None] + norm.bias[:, None, None]).clamp(min=0)


def by_corners(map_BCs: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear; the first pixel stands on the first and the last on the last."""
    rows, columns = (weights(n, m) for n, m in zip(map_BCs.shape[2:], size, strict=True))
    return torch.einsum("Hh,bchw,Ww->bcHW", rows, map_BCs, columns)


def weights(before: int, after: int) -> Tensor:
    place = torch.arange(after, dtype=torch.float64) * (before - 1) / (after - 1)
    distance = (place[:, None] - torch.arange(before, dtype=torch.float64)).abs()
    return (1 - distance).clamp(min=0)


def test_the_rates() -> None:
    for network, rates in ((shapes_only(), [12, 24, 36]), (shapes_only(rates=[6, 12, 18]), [6, 12, 18])):
        branches: Any = network.decoder.deep[0].branches  # type: ignore[union-attr]
        assert [branch[0].dilation[0] for branch in branches[1:]] == rates
        assert [branch[0].groups for branch in branches] == [1, 2048, 2048, 2048]


def test_training_reaches_every_weight() -> None:
    torch.manual_seed(0)
    network = build(NetworkSpec("deeplab_v3_plus", 1, 2, (32, 32), {"refinements": 2}))
    network(torch.randn(2, 1, 32, 32)).square().mean().backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []


def test_weights_of_imagenet_fill_the_trunk(tmp_path: Path) -> None:
    torch.manual_seed(0)
    learned: Any = build(NetworkSpec("deeplab_v3_plus", 3, 2, (32, 32)))
    entries = {name.removeprefix("stem."): t.clone() for name, t in learned.trunk.state_dict().items()}
    file = tmp_path / "resnet50.pth"
    torch.save(entries, file)
    network: Any = build(NetworkSpec("deeplab_v3_plus", 1, 2, (32, 32), {"imagenet": str(file)}))
    assert torch.equal(network.trunk.state_dict()["layer4.2.conv3.weight"], entries["layer4.2.conv3.weight"])


@pytest.mark.parametrize(
    ("patch", "options", "message"),
    [
        ((64, 64, 64), {}, "deeplab_v3_plus cannot take a patch of 64x64x64 voxels: it is 2D"),
        ((60, 64), {}, "must be a multiple of 16x16; the smallest patch at least as large that works is 64x"),
        ((16, 16), {}, "bottleneck of one voxel"),
        ((64, 64), {"output_stride": 32}, "unknown output_stride of deeplab_v3_plus '32'"),
        ((64, 64), {"refinements": 0}, "deeplab_v3_plus: 0 refinements; give at least 1"),
    ],
)
def test_mistakes(patch: tuple[int, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        build(NetworkSpec("deeplab_v3_plus", 1, 2, patch, options))
    assert message in str(caught.value)


def test_divisor() -> None:
    assert divisor(NetworkSpec("deeplab_v3_plus", 1, 2, (64, 64))) == (16, 16)
    assert divisor(NetworkSpec("deeplab_v3_plus", 1, 2, (64, 64), {"output_stride": 8})) == (8, 8)
