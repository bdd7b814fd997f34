"""nnU-Net's U-Net with a residual encoder, which its "ResEnc" plans name.

Isensee et al., "nnU-Net Revisited: A Call for Rigorous Validation in 3D Medical Image Segmentation", MICCAI
2024; the class that nnU-Net v2 calls ResidualEncoderUNet. Levels i = 0 ... n - 1, C_i features:

    stem        one block
    encoder     level i: `blocks` residual blocks of C_i channels, the first with the level's stride
    bottleneck  the coarsest of these
    decoder, heads, block: as in the plain U-Net (`plain_conv_unet`)

    residual block   nonlinearity(x' + change x)
    change           a block with the stride, then one without nonlinearity; with a bottleneck: a block 1x1x1
                     to fewer channels, one with the stride, one 1x1x1 without nonlinearity
    x'               x averaged over the stride, then brought to C_i by a 1x1x1 convolution without bias and
                     a norm; each only where there is something to do
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from .features import FeaturePoint, feature_modules
from .nnunet_blocks import (
    Block,
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


def residual_encoder_unet(
    in_channels: int,
    classes: int,
    patch: Sequence[int],
    *,
    features: Sequence[int] = (32, 64, 128, 256, 320, 320),
    strides: Strides | None = None,
    kernels: Strides | None = None,
    blocks: Sequence[int] = (1, 3, 4, 6, 6, 6),
    decoder_convolutions: Sequence[int] = (1,),
    stem: int | None = None,
    bottleneck: Sequence[int] | None = None,
    bias: bool = True,
    norm: str = "instance",
    epsilon: float = 1e-5,
    affine: bool = True,
    nonlinearity: str = "leaky_relu",
    slope: float = 0.01,
    dropout: float = 0.0,
) -> nn.Module:
    """nnU-Net's U-Net with a residual encoder (ResidualEncoderUNet), with heads for deep supervision.

    `features` are the channels per level, as many of them as there are strides; `blocks` the residual blocks
    per level, or one number for all. `stem`: channels of the stem, those of level 0 where None. `bottleneck`:
    channels within residual blocks with a bottleneck, per level or one for all; None: blocks without.
    """
    name = "residual_encoder_unet"
    steps, sizes = levels_of(name, patch, strides, features, kernels)
    check_patch(name, patch, product(steps))
    style = Style(len(patch), bias, norm, epsilon, affine, nonlinearity, slope, dropout=dropout)
    narrow = None if bottleneck is None else per_level(name, "bottleneck", bottleneck, len(steps))
    return ResidualEncoderUNet(
        in_channels,
        classes,
        list(features[: len(steps)]),
        sizes,
        steps,
        per_level(name, "blocks", blocks, len(steps)),
        per_level(name, "decoder_convolutions", decoder_convolutions, len(steps) - 1),
        stem or features[0],
        narrow,
        style,
    )


def residual_encoder_unet_divisor(
    patch: Sequence[int],
    *,
    features: Sequence[int] = (32, 64, 128, 256, 320, 320),
    strides: Strides | None = None,
    **others: object,
) -> tuple[int, ...]:
    return product(levels_of("residual_encoder_unet", patch, strides, features, None)[0])


class ResidualEncoderUNet(nn.Module):
    """[B M *S] -> logits [B K *S]; everything per level, finest first, the first stride all 1."""

    def __init__(
        self,
        in_channels: int,
        classes: int,
        features: Sequence[int],
        kernels: Sequence[Sizes],
        strides: Sequence[Sizes],
        blocks: Sequence[int],
        decoder_convolutions: Sequence[int],
        stem: int,
        bottleneck: Sequence[int] | None,
        style: Style,
    ) -> None:
        super().__init__()
        self.encoder = ResidualEncoder(
            in_channels, features, kernels, strides, blocks, stem, bottleneck, style
        )
        self.decoder = Decoder(classes, features, kernels, strides, decoder_convolutions, style)
        draw_weights(self, style.slope)
        for module in self.modules():
            if isinstance(module, Residual):
                module.begin_as_identity()

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.decoder(self.encoder(image))
        return logits


class ResidualEncoder(nn.Module):
    """[B M *S] -> a map [B C *s] per level, finest first."""

    def __init__(
        self,
        in_channels: int,
        features: Sequence[int],
        kernels: Sequence[Sizes],
        strides: Sequence[Sizes],
        blocks: Sequence[int],
        stem: int,
        bottleneck: Sequence[int] | None,
        style: Style,
    ) -> None:
        super().__init__()
        self.stem = Blocks(1, in_channels, stem, kernels[0], (1,) * style.axes, style)
        befores = [stem, *features[:-1]]
        narrows = [None] * len(features) if bottleneck is None else bottleneck
        self.stages = nn.Sequential(
            *(
                Residuals(count, before, after, kernel, stride, narrow, style)
                for count, before, after, kernel, stride, narrow in zip(
                    blocks, befores, features, kernels, strides, narrows, strict=True
                )
            )
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        map_BCs, maps = self.stem(image), []
        for stage in self.stages:
            map_BCs = stage(map_BCs)
            maps.append(map_BCs)
        return maps


class Residuals(nn.Module):
    """`count` residual blocks one after another, the first with the stride."""

    def __init__(
        self,
        count: int,
        before: int,
        after: int,
        kernel: Sizes,
        stride: Sizes,
        narrow: int | None,
        style: Style,
    ) -> None:
        super().__init__()
        one = (1,) * style.axes
        self.blocks = nn.Sequential(
            *(
                Residual(after if n else before, after, kernel, one if n else stride, narrow, style)
                for n in range(count)
            )
        )

    def forward(self, map_BCs: Tensor) -> Tensor:
        out: Tensor = self.blocks(map_BCs)
        return out


class Residual(nn.Module):
    """[B C *s] -> [B C' *s / stride]; `narrow`: channels of the bottleneck within, if it has one."""

    def __init__(
        self, before: int, after: int, kernel: Sizes, stride: Sizes, narrow: int | None, style: Style
    ) -> None:
        super().__init__()
        one = (1,) * style.axes
        if narrow is None:
            self.conv1 = Block(before, after, kernel, stride, style)
            self.conv2 = Block(after, after, kernel, one, style, nonlinear=False, dropout=False)
            self.conv3 = None
        else:
            self.conv1 = Block(before, narrow, one, one, style, dropout=False)
            self.conv2 = Block(narrow, narrow, kernel, stride, style)
            self.conv3 = Block(narrow, after, one, one, style, nonlinear=False, dropout=False)
        skip: list[nn.Module] = []
        if max(stride) > 1:
            averaged: Callable[..., nn.Module] = nn.AvgPool2d if style.axes == 2 else nn.AvgPool3d
            skip.append(averaged(stride, stride))
        if before != after:
            skip.append(Block(before, after, one, one, style, nonlinear=False, dropout=False, bias=False))
        self.skip = nn.Sequential(*skip)
        self.nonlin = style.activated()

    def forward(self, map_BCs: Tensor) -> Tensor:
        change = self.conv2(self.conv1(map_BCs))
        if self.conv3 is not None:
            change = self.conv3(change)
        out: Tensor = change + self.skip(map_BCs)
        return out if self.nonlin is None else self.nonlin(out)

    def begin_as_identity(self) -> None:
        """The norm before the sum begins at 0."""
        last = self.conv2 if self.conv3 is None else self.conv3
        weight = getattr(last.norm, "weight", None)  # there is none without a norm, or without affine
        if weight is not None:
            nn.init.zeros_(weight)


@feature_modules.register(ResidualEncoderUNet)
def _(network: ResidualEncoderUNet) -> dict[str, FeaturePoint]:
    return feature_points(len(network.encoder.stages))
