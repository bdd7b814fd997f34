"""Swin-Unet: its published sizes, the features' sizes, and images of another size."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from distilseg.errors import UserError
from distilseg.networks import NetworkSpec, build, divisor, feature_shapes, parameters
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
