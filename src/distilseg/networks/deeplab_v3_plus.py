"""DeepLabV3+: a ResNet-50 at stride 16, its deepest map seen at several widths, and a decoder. 2D only.

Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation", ECCV 2018,
arXiv 1802.02611; the network that thickened 2D networks begin with, which leave the pyramid out.

    trunk       ResNet-50; layer4 dilates instead of shrinking (`deeplab`)
    pyramid     of layer4's map: ASPP of 256 channels, its dilated convolutions separable (`atrous_pyramid`)
    decoder     separable 3x3 convolution, enlarged to stride 4; layer1's map through a 1x1 convolution to 48
                channels; both concatenated, separable 3x3 convolutions to 256 channels
    head        1x1 convolution to the classes, enlarged to the image

A convolution has a batch norm and a ReLU after it, a separable one after its second part alone, the head's
none. Enlarged is bilinearly, corner pixel on corner pixel. Modules inside the trunk have torchvision's names.

The defaults are the network as it is mostly used, of segmentation_models_pytorch: 26,679,127 parameters for 3
channels and 7 classes. The paper at stride 16 has `rates=(6, 12, 18)`, and `refinements=2` convolutions after
the concatenation in place of 1; it has none between pyramid and decoder.

`encoder.i` is the last map of stride 2^i short of the bottleneck; `decoder.2`, of stride 4, is what the
classifier sees.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import UserError, unknown
from .atrous_pyramid import Pyramid
from .deeplab import convolved, resnet50, trunk_features
from .features import FeaturePoint, feature_modules
from .imagenet import load_imagenet
from .patch import check_2d, check_patch

RATES = (12, 24, 36)  # dilation
WIDTH, FINE_WIDTH = 256, 48


def deeplab_v3_plus(
    in_channels: int,
    classes: int,
    patch: Sequence[int],
    *,
    output_stride: int = 16,
    rates: Sequence[int] = (12, 24, 36),
    refinements: int = 1,
    imagenet: str = "",
) -> nn.Module:
    """ResNet-50, dilated separable convolutions of three rates and a decoder, 2D only (Chen et al. 2018).

    `output_stride` is 16 or 8; `refinements` counts the decoder's convolutions; `imagenet` is a file with the
    weights of torchvision's resnet50.
    """
    check_patch("deeplab_v3_plus", patch, deeplab_v3_plus_divisor(patch, output_stride=output_stride))
    if refinements < 1:
        raise UserError(f"deeplab_v3_plus: {refinements} refinements", "give at least 1; the paper has 2")
    network = DeepLabV3Plus(in_channels, classes, output_stride, rates, refinements)
    if imagenet:
        load_imagenet(network.trunk, imagenet)
    return network


def deeplab_v3_plus_divisor(
    patch: Sequence[int], *, output_stride: int = 16, **others: object
) -> tuple[int, ...]:
    check_2d("deeplab_v3_plus", patch)
    if output_stride not in (8, 16):
        raise unknown("output_stride of deeplab_v3_plus", output_stride, (8, 16))
    return (output_stride,) * 2


class DeepLabV3Plus(nn.Module):
    """[B M *S] -> logits [B K *S]."""

    def __init__(
        self, in_channels: int, classes: int, output_stride: int, rates: Sequence[int], refinements: int
    ) -> None:
        super().__init__()
        self.trunk = resnet50(in_channels, output_stride)
        self.decoder = PyramidDecoder(self.trunk.widths[-1], self.trunk.widths[1], rates, refinements)
        self.classifier = nn.Conv2d(WIDTH, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        fine_BCs = self.trunk.fine(image)
        map_BCs = self.decoder(self.trunk.deep(fine_BCs), fine_BCs)
        return _enlarged(self.classifier(map_BCs), image)


class PyramidDecoder(nn.Module):
    """The deepest map [B C' *s'] and a map at stride 4 [B C *s] -> [B 256 *s]."""

    def __init__(self, deepest: int, fine: int, rates: Sequence[int] = RATES, refinements: int = 1) -> None:
        super().__init__()
        self.deep = nn.Sequential(
            Pyramid(deepest, WIDTH, rates, separable=True), convolved(WIDTH, WIDTH, 3, separable=True)
        )
        self.fine = convolved(fine, FINE_WIDTH, 1)
        widths = [WIDTH + FINE_WIDTH] + [WIDTH] * (refinements - 1)
        self.merge = nn.Sequential(*(convolved(width, WIDTH, 3, separable=True) for width in widths))

    def forward(self, deep_BCs: Tensor, fine_BCs: Tensor) -> Tensor:
        enlarged_BCs = _enlarged(self.deep(deep_BCs), fine_BCs)
        merged: Tensor = self.merge(torch.cat([enlarged_BCs, self.fine(fine_BCs)], 1))
        return merged


def _enlarged(map_BCs: Tensor, to: Tensor) -> Tensor:
    return nn.functional.interpolate(map_BCs, to.shape[2:], mode="bilinear", align_corners=True)


@feature_modules.register(DeepLabV3Plus)
def _(network: DeepLabV3Plus) -> dict[str, FeaturePoint]:
    trunk = {name: FeaturePoint(f"trunk.{module}") for name, module in trunk_features(network.trunk).items()}
    return {**trunk, "decoder.2": FeaturePoint("decoder")}
