"""KD-Net's U-Net: the counts that its definition gives, and which skips are kept."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from distilseg.errors import UserError
from distilseg.networks import NetworkSpec, build, parameters

WIDE = {"filters": [32, 64, 128, 256, 512]}


@pytest.mark.parametrize(
    ("modalities", "options", "count"),
    [  # `kd_net.md`, section 2, four classes: student and teacher with 4 and 0 skips, then the wide student
        (1, {}, 5_887_028),
        (1, {"skips": 0}, 5_299_508),
        (4, {}, 5_888_324),
        (4, {"skips": 0}, 5_300_804),
        (1, WIDE, 23_538_276),
    ],
)
def test_parameters(modalities: int, options: dict[str, Any], count: int) -> None:
    with torch.device("meta"):
        assert parameters(build(NetworkSpec("kd_net", modalities, 4, (64, 64, 64), options))) == count


def test_the_deepest_skips_are_kept() -> None:
    """What a decoder block of each level is given, in channels."""
    for skips, expected in {
        4: [48, 96, 192, 384],
        2: [32, 64, 192, 384],
        1: [32, 64, 128, 384],
        0: [32, 64, 128, 256],
    }.items():
        network = build(NetworkSpec("kd_net", 1, 2, (32, 32, 32), {"skips": skips}))
        assert [block[0].in_channels for block in network.decoder] == expected  # type: ignore[union-attr]


def test_without_skips_the_image_reaches_the_logits_through_the_bottleneck_only() -> None:
    """With the bottleneck held still, nothing of the image is left without skips, and something with one."""
    for skips, passes in ((0, False), (1, True)):
        network = build(NetworkSpec("kd_net", 1, 2, (32, 32, 32), {"skips": skips})).eval()
        network.encoder[-1].register_forward_hook(lambda module, args, output: torch.ones_like(output))
        with torch.no_grad():
            a, b = (network(torch.randn(1, 1, 32, 32, 32)) for _ in range(2))
        assert torch.equal(a, b) is not passes


def test_a_number_of_skips_below_0_is_refused() -> None:
    with pytest.raises(UserError, match="-1 skip connections"):
        build(NetworkSpec("kd_net", 1, 2, (32, 32, 32), {"skips": -1}))
