"""The residual trunk: its size, another library's numbers, and what dilation leaves as it was."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets.resnet import resnet50 as of_monai
from torch import nn

from distilseg.networks import parameters
from distilseg.networks.deeplab import BasicBlock, Block, Bottleneck, Decoder, Trunk, resnet50


def test_parameters() -> None:
    with torch.device("meta"):
        assert parameters(resnet50(3, 16)) == 23_508_032
        # 2048 and 256 to 256 and 48, two 3x3 convolutions, a scale and a shift of each norm
        convolutions = 2048 * 256 + 256 * 48 + 304 * 256 * 9 + 256 * 256 * 9
        assert parameters(Decoder(2048, 256, 256, 48)) == convolutions + 2 * (3 * 256 + 48)


def test_it_is_monais_resnet50() -> None:
    torch.manual_seed(0)
    theirs = of_monai(spatial_dims=2, n_input_channels=3, conv1_t_stride=2, feed_forward=False)
    for name, weight in theirs.named_parameters():
        if name.endswith("downsample.0.bias"):  # a bias before a norm, which ours is without
            nn.init.zeros_(weight)
    ours = resnet50(3, 32)
    ours.load_state_dict(
        {
            ("stem." if name.startswith(("conv1", "bn1")) else "") + name: tensor
            for name, tensor in theirs.state_dict().items()
            if not name.endswith("downsample.0.bias")
        }
    )
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        map_BCs = ours.eval().deep(ours.fine(image))
        expected = theirs.eval().avgpool(map_BCs).flatten(1)
        torch.testing.assert_close(theirs(image), expected)
    assert map_BCs.shape == (1, 2048, 2, 3)


@pytest.mark.parametrize(
    ("stride", "strides", "dilations"),
    [
        (32, [2, 4, 8, 16, 32], [[1, 1], [1, 1]]),
        (16, [2, 4, 8, 16, 16], [[1, 1], [1, 2]]),
        (8, [2, 4, 8, 8, 8], [[1, 2], [2, 4]]),
    ],
)
def test_output_stride(stride: int, strides: list[int], dilations: list[list[int]]) -> None:
    trunk = Trunk(3, 7, (4, 4, 8, 12, 16), (1, 1, 2, 2), BasicBlock, stride)
    assert trunk.strides == strides
    fine = trunk.fine(torch.zeros(2, 3, 64, 96))
    assert fine.shape == (2, 4, 16, 24)
    assert trunk.deep(fine).shape == (2, 16, 64 // stride, 96 // stride)
    found = [
        [trunk.get_submodule(f"layer{stage}.{block}.conv1").dilation[0] for block in (0, 1)]
        for stage in (3, 4)
    ]
    assert found == dilations


def test_without_pooling_layer1_shrinks() -> None:
    trunk = Trunk(3, 7, (4, 8, 8), (2, 1), BasicBlock, 8, pool=False)
    assert trunk.stem(torch.zeros(2, 3, 32, 48)).shape == (2, 4, 16, 24)
    assert trunk.pool(torch.zeros(2, 4, 16, 24)).shape == (2, 4, 16, 24)
    assert trunk.fine(torch.zeros(2, 3, 32, 48)).shape == (2, 8, 8, 12)
    assert trunk.strides == [2, 4, 8]


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_a_dilated_stage_computes_what_the_shrinking_one_does(block: Block) -> None:
    """Every second pixel of the dilated map is the shrunk map's, as the kernels reach the same pixels."""
    torch.manual_seed(0)
    shrinking, dilated = (Trunk(3, 3, (4, 4, 8), (1, 2), block, stride).eval() for stride in (8, 4))
    dilated.load_state_dict(shrinking.state_dict())
    fine = torch.randn(1, 4, 16, 24)
    with torch.no_grad():
        torch.testing.assert_close(dilated.deep(fine)[:, :, ::2, ::2], shrinking.deep(fine))
