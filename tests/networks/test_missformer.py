"""MISSFormer: its published sizes, the features' sizes, images of another size."""

from __future__ import annotations

import pytest
import torch

from distilseg.errors import UserError
from distilseg.networks import NetworkSpec, build, divisor, feature_shapes, parameters
from distilseg.networks.count_thop import count_as_thop
from distilseg.networks.fixed_size import resized

SLICE = (1, 3, 224, 224)


@pytest.mark.parametrize(("classes", "count"), [(9, 42_462_537), (7, 42_462_407)])
def test_published_parameters(classes: int, count: int) -> None:
    with torch.device("meta"):
        network = build(NetworkSpec("missformer", 3, classes, SLICE[2:]))
    assert parameters(network) == count


def test_published_counts() -> None:
    """The authors compute the first linear map of every `mix` twice; here once."""
    with torch.device("meta"):
        network = build(NetworkSpec("missformer", 3, 9, SLICE[2:], {"unused_layers": False}))
    count = count_as_thop(network, SLICE)
    assert count.parameters == parameters(network) == 35_452_745
    levels = zip((56, 28, 14, 7), (64, 128, 320, 512), (8, 8, 8, 6), strict=True)
    again = sum(size**2 * width * 4 * width * times for size, width, times in levels)
    assert f"{(count.multiply_accumulates + again) / 1e9:.3f}" == "7.277"


def test_feature_shapes() -> None:
    with torch.device("meta"):
        network = build(NetworkSpec("missformer", 1, 7, (100, 80)))
    sizes = [(64, 56), (128, 28), (320, 14)]
    expected = {
        f"{side}.{level}": (1, width, size, size)
        for side in ("encoder", "decoder")
        for level, (width, size) in enumerate(sizes)
    }
    assert feature_shapes(network, (1, 1, 100, 80)) == expected | {"bottleneck": (1, 512, 7, 7)}


def test_another_size_is_resized_and_restored() -> None:
    network = build(NetworkSpec("missformer", 1, 2, (40, 50), {"features": 4, "size": 64})).eval()
    image = torch.randn(1, 1, 40, 50)
    with torch.no_grad():
        expected = resized(network(resized(image, (64, 64)).expand(-1, 3, -1, -1)), (40, 50))
        assert torch.equal(network(image), expected)


def test_mistakes_and_divisor() -> None:
    with pytest.raises(UserError, match="it is 2D"):
        build(NetworkSpec("missformer", 1, 2, (64, 64, 64)))
    assert divisor(NetworkSpec("missformer", 1, 2, (50, 50))) == (1, 1)
