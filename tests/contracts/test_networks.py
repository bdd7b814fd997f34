"""Every network keeps one contract: features by name, measured sizes, gradients, a description."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from distilseg.networks import NetworkSpec, names
from distilseg.testing import check_network

SMALL: dict[str, dict[str, Any]] = {
    "ahnet": {},
    "attention_unet": {"filters": [4, 8, 8, 8, 8]},
    "basic_unet": {"filters": [4, 4, 8, 8, 8, 4]},
    "cotr": {"filters": [4, 6, 12], "mlp": 24, "layers": 2, "heads": 3, "points": 2},
    "deeplab_v3": {"auxiliary": True},
    "deeplab_v3_plus": {},
    "dynunet": {"filters": [4, 8, 8, 8, 8]},
    "h_denseformer": {"filters": 2, "depth": 4},
    "h_denseformer_light": {"filters": 2, "depth": 4},
    "kd_net": {"filters": [4, 8, 8, 8]},
    "mdvit": {"features": [8, 8, 16, 16], "peer": True},
    "missformer": {"features": 4, "size": 0},
    "missu": {"filters": [4, 8, 8, 8], "hidden": 16, "mlp": 24, "layers": 1, "heads": 4},
    "plain_conv_unet": {"features": [4, 8, 8, 8]},
    "residual_encoder_unet": {"features": [4, 8, 8, 8], "blocks": [1, 2, 2, 2]},
    "segresnet": {},
    "student_base": {},
    "student_small": {},
    "student_tiny": {},
    "swin_unet": {"features": 6, "size": 0},
    "swin_unetr": {"feature_size": 12, "merging": "2022"},
    "swin_unetr_light": {"feature_size": 12, "unused_stage": False},
    "swin_unetr_truncated": {"feature_size": 12, "unused_stage": False},
    "thickened": {"backbone": "light"},
    "transbts": {"filters": [4, 8, 8, 8], "hidden": 16, "mlp": 24, "layers": 1, "heads": 4},
    "u_hemis": {"filters": [4, 8, 8, 8]},
    "u_hved": {"filters": [4, 8, 8, 8]},
    "unet": {"filters": [4, 8, 8, 8, 8]},
    "unest": {"size": "small"},
    "unetr": {"feature_size": 4, "hidden": 24, "heads": 4, "mlp": 48},
    "ux_net": {"features": [4, 4, 8, 8], "hidden": 8, "depths": [1, 1, 1, 1]},
    "vnet": {},
}
DIVIDED_BY_32 = {"ahnet", "mdvit", "missformer", "swin_unet", "swin_unetr", "unest"}
ONLY_2D = {"deeplab_v3", "deeplab_v3_plus", "mdvit", "missformer", "swin_unet"}
ONLY_3D = {"cotr", "unest"}


@pytest.mark.parametrize(
    ("name", "dims"),
    [(name, dims) for name in names() for dims in (2, 3) if name not in (ONLY_3D if dims == 2 else ONLY_2D)],
)
def test_contract(name: str, dims: int) -> None:
    patch = (64, 32, 32)[:dims] if name in DIVIDED_BY_32 else (32,) * dims
    patch = (32, 48, 6)[:dims] if name == "thickened" else patch
    check_network(NetworkSpec(name, 2, 3, patch, SMALL[name]))


def test_contract_with_anisotropic_strides() -> None:
    check_network(NetworkSpec("dynunet", 1, 2, (32, 32, 8), {"filters": [4, 4, 4, 4], "norm": "batch"}))


BROKEN = """
import torch
from torch import nn
from distilseg.networks import FeaturePoint, feature_modules

class Net(nn.Module):
    def __init__(self, in_channels, classes, promise):
        super().__init__()
        self.promise = promise
        self.first, self.last = nn.Conv2d(in_channels, 4, 3, padding=1), nn.Conv2d(4, classes, 1)
        self.pool = nn.AvgPool2d(2)

    def forward(self, image):
        feature = self.first(image.detach() if self.promise == "gradient" else image)
        if self.promise == "in place":
            feature = feature.relu_()
        if self.promise == "same twice":
            feature = feature + torch.rand(())
            return self.last(self.pool(feature).repeat_interleave(2, 2).repeat_interleave(2, 3))
        self.pool(feature)
        logits = self.last(feature)
        return logits[..., 1:] if self.promise == "shape" else logits

@feature_modules.register(Net)
def _(network):
    table = {"encoder.0": FeaturePoint("first")}
    return table | {"decoder.0": FeaturePoint("pool")} if network.promise == "level" else table

def net(in_channels, classes, patch, *, promise=""):
    return Net(in_channels, classes, promise)
"""


@pytest.mark.parametrize(
    ("promise", "words"),
    [
        ("in place", "changed in place"),
        ("gradient", "does not depend on the image"),
        ("level", "its decoder level"),
        ("shape", r"expected \[B K \*S\]"),
        ("same twice", "tapping changes the logits"),
    ],
)
def test_the_contract_has_teeth(promise: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text(BROKEN)
    check_network(NetworkSpec(f"{file}:net", 1, 2, (8, 8)))
    with pytest.raises(AssertionError, match=words):
        check_network(NetworkSpec(f"{file}:net", 1, 2, (8, 8), {"promise": promise}))
