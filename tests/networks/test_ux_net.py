"""UX-Net: its published sizes, the size of its features, and what a block mixes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from distilseg.errors import UserError
from distilseg.networks import NetworkSpec, build, feature_shapes, parameters
from distilseg.networks.ux_net import ChannelNorm, UXBlock

STUDENT_2D = {"features": [24, 48, 96, 192]}


def shapes_only(modalities: int, classes: int, patch: tuple[int, ...], options: dict[str, Any]) -> nn.Module:
    with torch.device("meta"):
        return build(NetworkSpec("ux_net", modalities, classes, patch, options))


@pytest.mark.parametrize(
    ("modalities", "classes", "patch", "options", "count"),
    [  # `architectures.md`, section 2.3: the network's own paper, then Teach-Former's students
        (1, 13, (96, 96, 96), {"features": [48, 96, 192, 384], "hidden": 768}, 53_006_461),
        (2, 2, (144, 144, 144), {}, 5_119_568),
        (3, 2, (384, 384), STUDENT_2D, 4_718_882),
    ],
)
def test_published_parameters(
    modalities: int, classes: int, patch: tuple[int, ...], options: dict[str, Any], count: int
) -> None:
    assert parameters(shapes_only(modalities, classes, patch, options)) == count


def test_feature_shapes_of_the_students() -> None:
    """Teach-Former's taps: the bottleneck at stride 16, the last decoder feature at full resolution."""
    for modalities, patch, options, widths in (
        (2, (144, 144, 144), {}, (6, 12, 24, 48)),
        (3, (384, 384), STUDENT_2D, (24, 48, 96, 192)),
    ):
        network = shapes_only(modalities, 2, patch, options)
        expected = {
            f"{side}.{i}": (1, width, *(size >> i for size in patch))
            for side in ("encoder", "decoder")
            for i, width in enumerate(widths)
        }
        expected["bottleneck"] = (1, 384, *(size // 16 for size in patch))
        assert feature_shapes(network, (1, modalities, *patch)) == expected


def test_the_norm_is_over_the_channels_of_a_voxel() -> None:
    map_BCs = 3 + 5 * torch.randn(2, 7, 3, 4)
    centred = map_BCs - map_BCs.mean(1, keepdim=True)
    expected = centred / (centred.square().mean(1, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(ChannelNorm(7)(map_BCs), expected)


def test_a_block_mixes_channels_in_its_norm_only() -> None:
    block, map_BCs = UXBlock(3, 3), torch.randn(1, 3, 4, 4, 4)
    other = map_BCs.clone()
    other[:, 1] += torch.randn(4, 4, 4)

    def changed() -> list[bool]:
        """Which channels of the block's change differ between the two maps."""
        with torch.no_grad():
            difference = (block(map_BCs) - map_BCs) - (block(other) - other)
        return [bool(channel.abs().max() > 1e-4) for channel in difference[0]]

    assert changed() == [False, False, False]  # a fresh block is all but the identity
    nn.init.ones_(block.gamma)
    assert changed() == [True, True, True]
    block.norm = nn.Identity()  # type: ignore[assignment]
    assert changed() == [False, True, False]


def test_every_stage_needs_a_depth() -> None:
    with pytest.raises(UserError, match="4 feature counts and 3 depths"):
        build(NetworkSpec("ux_net", 1, 2, (32, 32), {"depths": [2, 2, 2]}))
