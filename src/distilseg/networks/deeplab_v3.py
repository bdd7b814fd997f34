"""DeepLabV3: a ResNet-50 that stays at stride 8, and its deepest map seen at several widths at once. 2D only.

Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017, arXiv 1706.05587; one of
the students of unpaired 3D to 2D prototype distillation.

    trunk       ResNet-50; layer3 and layer4 dilate instead of shrinking (`deeplab`)
    pyramid     of layer4's map: ASPP of 256 channels, dilated by 12, 24 and 36 (`atrous_pyramid`)
    head        3x3 convolution, 1x1 to the classes, enlarged to the image, bilinearly
    auxiliary   of layer3's map: 3x3 convolution to 256 channels, dropout, 1x1 to the classes, enlarged

All convolutions but the two last have a batch norm and a ReLU after them. `auxiliary=True` adds the last line
as the feature `side.0`, logits of the image's size, computed where someone taps it: a prediction never does.
Where nothing trains it, leave it out. Modules inside the trunk have torchvision's names.

`encoder.i` is the last map of stride 2^i short of the bottleneck; `decoder.3`, of stride 8, is what the
classifier sees. Parameters for 3 channels and 7 classes: 39,635,271, with the auxiliary head 41,996,878.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from .atrous_pyramid import Pyramid
from .deeplab import convolved, resnet50, trunk_features
from .features import FeaturePoint, feature_modules
from .imagenet import load_imagenet
from .patch import check_2d, check_patch

STRIDE = 8
RATES = (12, 24, 36)
WIDTH = 256


def deeplab_v3(
    in_channels: int,
    classes: int,
    patch: Sequence[int],
    *,
    auxiliary: bool = False,
    imagenet: str = "",
) -> nn.Module:
    """ResNet-50 at stride 8 and dilated convolutions of three rates, 2D only (Chen et al. 2017).

    `auxiliary` adds a second head; `imagenet` is a file with the weights of torchvision's resnet50.
    """
    check_patch("deeplab_v3", patch, deeplab_v3_divisor(patch))
    network = DeepLabV3(in_channels, classes, auxiliary)
    if imagenet:
        load_imagenet(network.trunk, imagenet)
    return network


def deeplab_v3_divisor(patch: Sequence[int], **others: object) -> tuple[int, ...]:
    check_2d("deeplab_v3", patch)
    return (STRIDE,) * 2


class DeepLabV3(nn.Module):
    """[B M *S] -> logits [B K *S]."""

    def __init__(self, in_channels: int, classes: int, auxiliary: bool) -> None:
        super().__init__()
        self.trunk = resnet50(in_channels, STRIDE)
        *_, before_deepest, deepest = self.trunk.widths
        self.pyramid = Pyramid(deepest, WIDTH, RATES)
        self.last = convolved(WIDTH, WIDTH, 3)
        self.classifier = nn.Conv2d(WIDTH, classes, 1)
        self.auxiliary = (
            nn.Sequential(convolved(before_deepest, WIDTH, 3), nn.Dropout(0.1), nn.Conv2d(WIDTH, classes, 1))
            if auxiliary
            else None
        )

    def forward(self, image: Tensor) -> Tensor:
        deepest_BCs = self.trunk.deep(self.trunk.fine(image))
        return _enlarged(self.classifier(self.last(self.pyramid(deepest_BCs))), image)

    def of_auxiliary(self, map_BCs: Tensor, image: Tensor) -> Tensor:
        """layer3's map -> the auxiliary head's logits [B K *S]."""
        assert self.auxiliary is not None
        return _enlarged(self.auxiliary(map_BCs), image)


def _enlarged(logits: Tensor, image: Tensor) -> Tensor:
    return nn.functional.interpolate(logits, image.shape[2:], mode="bilinear", align_corners=False)


@feature_modules.register(DeepLabV3)
def _(network: DeepLabV3) -> dict[str, FeaturePoint]:
    side = {} if network.auxiliary is None else {"side.0": FeaturePoint("trunk.layer3", network.of_auxiliary)}
    trunk = {name: FeaturePoint(f"trunk.{module}") for name, module in trunk_features(network.trunk).items()}
    return {**trunk, "decoder.3": FeaturePoint("last"), **side}
