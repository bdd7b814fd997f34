"""Where MONAI's networks keep their features.

A level's encoder feature is what its skip connection carries, its decoder feature what its up-block
returns; the bottleneck is the coarsest map. MONAI's UNet and AHNet have no `encoder.0`: they halve the image
in their first convolution. In Swin UNETR the skip at stride 16 is a raw transformer state and not offered.
"""

from __future__ import annotations

from typing import Any

from monai.networks.layers import SkipConnection
from monai.networks.nets import (
    UNETR,
    AHNet,
    AttentionUnet,
    BasicUNet,
    DynUNet,
    SegResNet,
    SwinUNETR,
    UNet,
    VNet,
)
from torch import Tensor, nn

from ..features import FeaturePoint as P
from ..features import feature_modules


@feature_modules.register(DynUNet)
def _(network: DynUNet) -> dict[str, P]:
    depth = len(network.downsamples) + 1  # level of the bottleneck
    return {
        "encoder.0": P("input_block"),
        **{f"encoder.{i}": P(f"downsamples.{i - 1}") for i in range(1, depth)},
        "bottleneck": P("bottleneck"),
        **{f"decoder.{depth - 1 - i}": P(f"upsamples.{i}") for i in range(depth)},
    }


@feature_modules.register(UNet)
def _(network: UNet) -> dict[str, P]:
    # Each block is Sequential(down, SkipConnection(next block or bottom), up); `down` halves first and `up`
    # doubles first, so block i carries level i + 1 across its skip and returns level i.
    encoder: dict[str, P] = {}
    decoder: dict[str, P] = {}
    level, path, block = 0, "model", network.model
    while isinstance(block, nn.Sequential) and isinstance(block[1], SkipConnection):
        encoder[f"encoder.{level + 1}"] = P(f"{path}.0")
        decoder[f"decoder.{level}"] = P(f"{path}.2")
        level, path, block = level + 1, f"{path}.1.submodule", block[1].submodule
    # The last up-block of all ends in the logits; its transposed convolution is the feature before them.
    if network.num_res_units > 0:
        decoder["decoder.0"] = P("model.2.0")
    else:
        del decoder["decoder.0"]
    return {**encoder, "bottleneck": P(path), **dict(reversed(decoder.items()))}


@feature_modules.register(BasicUNet)
def _(network: BasicUNet) -> dict[str, P]:
    return {
        "encoder.0": P("conv_0"),
        **{f"encoder.{i}": P(f"down_{i}") for i in (1, 2, 3)},
        "bottleneck": P("down_4"),
        **{f"decoder.{i - 1}": P(f"upcat_{i}") for i in (4, 3, 2, 1)},
    }


@feature_modules.register(AttentionUnet)
def _(network: AttentionUnet) -> dict[str, P]:
    # Level i's attention layer holds Sequential(level i + 1's convolutions, level i + 1's attention layer);
    # the deepest holds the bottleneck's convolutions alone.
    encoder, decoder = {"encoder.0": P("model.0")}, {"decoder.0": P("model.1")}
    level, path, inner = 1, "model.1.submodule", network.model[1].submodule
    while isinstance(inner, nn.Sequential):
        encoder[f"encoder.{level}"] = P(f"{path}.0")
        decoder[f"decoder.{level}"] = P(f"{path}.1")
        level, path, inner = level + 1, f"{path}.1.submodule", inner[1].submodule
    return {**encoder, "bottleneck": P(path), **dict(reversed(decoder.items()))}


@feature_modules.register(SegResNet)
def _(network: SegResNet) -> dict[str, P]:
    depth = len(network.down_layers) - 1
    return {
        **{f"encoder.{i}": P(f"down_layers.{i}") for i in range(depth)},
        "bottleneck": P(f"down_layers.{depth}"),
        **{f"decoder.{depth - 1 - i}": P(f"up_layers.{i}") for i in range(depth)},
    }


@feature_modules.register(VNet)
def _(network: VNet) -> dict[str, P]:
    return {
        "encoder.0": P("in_tr"),
        **{f"encoder.{i}": P(f"down_tr{16 << i}") for i in (1, 2, 3)},
        "bottleneck": P("down_tr256"),
        **{f"decoder.{i}": P(f"up_tr{32 << i}") for i in (3, 2, 1, 0)},
    }


@feature_modules.register(SwinUNETR)
def _(network: SwinUNETR) -> dict[str, P]:
    return {
        **{f"encoder.{i}": P(f"encoder{i + 1}") for i in range(4)},
        "bottleneck": P("encoder10"),
        **{f"decoder.{i - 1}": P(f"decoder{i}") for i in (5, 4, 3, 2, 1)},
    }


@feature_modules.register(UNETR)
def _(network: UNETR) -> dict[str, P]:
    return {
        **{f"encoder.{i}": P(f"encoder{i + 1}") for i in range(4)},
        "bottleneck": P("vit", _tokens_to_map),
        **{f"decoder.{i - 2}": P(f"decoder{i}") for i in (5, 4, 3, 2)},
    }


def _tokens_to_map(output: Any, image: Tensor) -> Tensor:
    """ViT tokens [B N C] -> [B C *s]; the grid is the image divided by the transformer's 16-voxel patch."""
    tokens: Tensor = output[0]
    batch, _, channels = tokens.shape
    return tokens.transpose(1, 2).reshape(batch, channels, *(size // 16 for size in image.shape[2:]))


@feature_modules.register(AHNet)
def _(network: AHNet) -> dict[str, P]:
    return {
        "encoder.1": P("relu"),
        **{f"encoder.{i + 1}": P(f"layer{i}") for i in (1, 2, 3)},
        "bottleneck": P("layer4"),
        **{f"decoder.{4 - i}": P(f"dense{i}") for i in (0, 1)},
        "decoder.2": P("dense3"),
        "decoder.1": P("dense4"),
    }
