"""MISSU: thop's counts of its two readings, and fusion in training only."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distilseg.errors import UserError
from distilseg.networks import NetworkSpec, build, feature_shapes
from distilseg.networks.count_thop import count_as_thop
from distilseg.networks.features import Tapped
from distilseg.networks.missu import Fusion
from distilseg.networks.transbts import MapDropout

VOLUME = (144, 144, 144)
LARGE: dict[str, Any] = {"filters": [16, 32, 64, 128], "hidden": 512, "mlp": 1024}
SMALL: dict[str, Any] = {"filters": [4, 8, 8, 8], "hidden": 16, "mlp": 24, "layers": 2, "heads": 4}


def shapes_only(modalities: int, classes: int, patch: tuple[int, ...], options: dict[str, Any]) -> nn.Module:
    with torch.device("meta"):
        return build(NetworkSpec("missu", modalities, classes, patch, options))


@pytest.mark.parametrize(("options", "millions", "giga"), [(LARGE, 18.03, 299.4), ({}, 4.51, 75.7)])
def test_the_two_readings_as_thop_counts_them(options: dict[str, Any], millions: float, giga: float) -> None:
    """`architectures.md`, section 2.10. Teach-Former's table has 4.24 and 154.38, which neither gives."""
    count = count_as_thop(shapes_only(2, 2, VOLUME, options), (1, 2, *VOLUME))
    assert round(count.parameters / 1e6, 2) == millions
    assert round(count.multiply_accumulates / 1e9, 1) == giga


@pytest.mark.parametrize("patch", [(32, 16, 16), (32, 16)])
def test_feature_shapes(patch: tuple[int, ...]) -> None:
    network = shapes_only(2, 3, patch, {"hidden": 16, "mlp": 24})
    expected = {
        f"{side}.{i}": (1, 8 << i, *(size >> i for size in patch))
        for side in ("encoder", "decoder")
        for i in range(3)
    }
    expected["bottleneck"] = (1, 16, *(size // 8 for size in patch))
    assert feature_shapes(network, (1, 2, *patch)) == expected


def without_chance(network: nn.Module, training: bool) -> nn.Module:
    """In training mode but for dropout and batch norm, so that two modes can be compared."""
    network.train(training)
    for module in network.modules():
        if isinstance(module, (nn.Dropout, MapDropout, nn.BatchNorm2d, nn.BatchNorm3d)):
            module.eval()
    return network


@pytest.mark.parametrize(
    ("fusion", "in_training", "in_use"),
    [("training", True, False), ("always", True, True), ("never", False, False)],
)
def test_when_scales_are_fused(fusion: str, in_training: bool, in_use: bool) -> None:
    torch.manual_seed(0)
    network = build(NetworkSpec("missu", 1, 2, (16, 16), {**SMALL, "fusion": fusion}))
    image = torch.randn(1, 1, 16, 16)
    for training, fused in ((True, in_training), (False, in_use)):
        inside: list[Tensor] = []
        handle = network.get_submodule("encoder.0").register_forward_hook(
            lambda module, args, output, inside=inside: inside.append(output)
        )
        with torch.no_grad(), Tapped(without_chance(network, training), ("encoder.0",)) as tapped:
            outputs = tapped(image)
        handle.remove()
        assert (not torch.equal(outputs["encoder.0"], inside[0])) == fused


def test_fusion_is_computed_where_it_is_on_and_costs_nothing_where_not() -> None:
    counts = {
        fusion: count_as_thop(shapes_only(1, 2, (16, 16), {"fusion": fusion}), (1, 1, 16, 16))
        for fusion in ("training", "always", "never")
    }
    assert counts["training"] == counts["never"]
    added = sum(3 * (9 * c * c + c) + 3 * c * c + c for c in (8, 16, 32))
    assert counts["always"].parameters - counts["never"].parameters == added


def test_fusion_by_hand() -> None:
    torch.manual_seed(0)
    block, skip = Fusion(2, 3, "always"), torch.randn(1, 2, 7, 8, 9)
    scales = []
    for rate, atrous in zip((1, 2, 3), block.atrous, strict=True):
        assert isinstance(atrous, nn.Conv3d)
        dense = torch.zeros(2, 2, *(2 * rate + 1,) * 3)  # the same kernel, its holes written out as zeros
        dense[:, :, ::rate, ::rate, ::rate] = atrous.weight
        scales.append(F.conv3d(skip, dense, atrous.bias, padding=rate))
    mixed = torch.einsum("oc,bcijk->boijk", block.mix.weight[..., 0, 0, 0], torch.cat(scales, 1))
    expected = skip + mixed + block.mix.bias[:, None, None, None]  # type: ignore[index]
    torch.testing.assert_close(block(skip), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fusion": "sometimes"}, "unknown fusion of missu 'sometimes'"),
        ({"filters": [8, 16, 32]}, "missu: 3 filter counts; give 4, one per level"),
        (
            {"hidden": 100},
            "missu: 4 layers, 8 heads, hidden 100 and mlp 512; give at least 1 each, and heads",
        ),
        ({"layers": 0}, "missu: 0 layers"),
    ],
)
def test_mistakes(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        build(NetworkSpec("missu", 1, 2, (16, 16), options))
    assert message in str(caught.value)


def test_a_patch_it_cannot_take() -> None:
    with pytest.raises(UserError, match=r"patch of 20x16 .* multiple of 8x8.*24x16"):
        build(NetworkSpec("missu", 1, 2, (20, 16)))
