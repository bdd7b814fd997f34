"""nnU-Net's plain U-Net: convolutions with strides down, transposed convolutions up, no pooling.

Isensee et al., "nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation",
Nature Methods 2021; the class that nnU-Net v2 calls PlainConvUNet. Levels i = 0 ... n - 1, C_i features:

    encoder     level i: `convolutions` blocks of C_i channels, the first with the level's stride
    bottleneck  the coarsest of these
    decoder     transposed convolution, the skip beside it, `decoder_convolutions` blocks
    heads       1x1x1, at every level: the finest gives the logits, the others are `side.1` ... for deep
                supervision

A block is a convolution with bias, instance norm (epsilon 1e-5, affine) and LeakyReLU 0.01.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from .features import FeaturePoint, feature_modules
from .nnunet_blocks import (
    Blocks,
    Decoder,
    Sizes,
    Style,
    draw_weights,
    feature_points,
    levels_of,
    per_level,
)
from .patch import Strides, check_patch, product


def plain_conv_unet(
    in_channels: int,
    classes: int,
    patch: Sequence[int],
    *,
    features: Sequence[int] = (32, 64, 128, 256, 320, 320),
    strides: Strides | None = None,
    kernels: Strides | None = None,
    convolutions: Sequence[int] = (2,),
    decoder_convolutions: Sequence[int] = (2,),
    bias: bool = True,
    norm: str = "instance",
    epsilon: float = 1e-5,
    affine: bool = True,
    nonlinearity: str = "leaky_relu",
    slope: float = 0.01,
    norm_last: bool = False,
    dropout: float = 0.0,
) -> nn.Module:
    """nnU-Net's plain U-Net (PlainConvUNet), with heads for deep supervision.

    `features` are the channels per level, as many of them as there are strides. `convolutions` and
    `decoder_convolutions` are counts per level (of the decoder from the bottleneck up), or one for all.
    """
    name = "plain_conv_unet"
    steps, sizes = levels_of(name, patch, strides, features, kernels)
    check_patch(name, patch, product(steps))
    style = Style(len(patch), bias, norm, epsilon, affine, nonlinearity, slope, norm_last, dropout)
    return PlainConvUNet(
        in_channels,
        classes,
        list(features[: len(steps)]),
        sizes,
        steps,
        per_level(name, "convolutions", convolutions, len(steps)),
        per_level(name, "decoder_convolutions", decoder_convolutions, len(steps) - 1),
        style,
    )


def plain_conv_unet_divisor(
    patch: Sequence[int],
    *,
    features: Sequence[int] = (32, 64, 128, 256, 320, 320),
    strides: Strides | None = None,
    **others: object,
) -> tuple[int, ...]:
    return product(levels_of("plain_conv_unet", patch, strides, features, None)[0])


class PlainConvUNet(nn.Module):
    """[B M *S] -> logits [B K *S]; everything per level, finest first, the first stride all 1."""

    def __init__(
        self,
        in_channels: int,
        classes: int,
        features: Sequence[int],
        kernels: Sequence[Sizes],
        strides: Sequence[Sizes],
        convolutions: Sequence[int],
        decoder_convolutions: Sequence[int],
        style: Style,
    ) -> None:
        super().__init__()
        self.encoder = PlainEncoder(in_channels, features, kernels, strides, convolutions, style)
        self.decoder = Decoder(classes, features, kernels, strides, decoder_convolutions, style)
        draw_weights(self, style.slope)

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.decoder(self.encoder(image))
        return logits


class PlainEncoder(nn.Module):
    """[B M *S] -> a map [B C *s] per level, finest first."""

    def __init__(
        self,
        in_channels: int,
        features: Sequence[int],
        kernels: Sequence[Sizes],
        strides: Sequence[Sizes],
        convolutions: Sequence[int],
        style: Style,
    ) -> None:
        super().__init__()
        befores = [in_channels, *features[:-1]]
        # One module in a Sequential, because nnU-Net's weights are named so.
        self.stages = nn.Sequential(
            *(
                nn.Sequential(Blocks(count, before, after, kernel, stride, style))
                for count, before, after, kernel, stride in zip(
                    convolutions, befores, features, kernels, strides, strict=True
                )
            )
        )

    def forward(self, map_BCs: Tensor) -> list[Tensor]:
        maps = []
        for stage in self.stages:
            map_BCs = stage(map_BCs)
            maps.append(map_BCs)
        return maps


@feature_modules.register(PlainConvUNet)
def _(network: PlainConvUNet) -> dict[str, FeaturePoint]:
    return feature_points(len(network.encoder.stages))
