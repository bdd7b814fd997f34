"""U-HeMIS: mean and variance over whichever modalities there are, at every level of a U-Net.

    fused_c = [ mean over m of x_mc,  variance over m of x_mc ]        m: the modalities of this case

Havaei et al., "HeMIS: Hetero-Modal Image Segmentation", MICCAI 2016, arXiv 1607.05194, as the U-Net of Dorent
et al., MICCAI 2019 (see `modality_encoders`). The second convolution of an encoder's block halves the
channels, so that mean and variance together have as many as the level is wide. The variance is that of the
population: 0 for one modality. With the default widths a modality's encoder has 111,464 convolution weights
and the decoder 118,368 before its head.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..functional.segmentation import in_full_precision
from .features import FeaturePoint, feature_modules, u_shaped
from .modality_encoders import Decoder, ModalityEncoders, check_even
from .patch import Strides, checked_strides, strided_divisor


def u_hemis(
    in_channels: int,
    classes: int,
    patch: Sequence[int],
    *,
    filters: Sequence[int] = (8, 16, 32, 64),
    strides: Strides | None = None,
    drop_modalities: bool = True,
) -> nn.Module:
    """Any subset of modalities: their maps' mean and variance in a U-Net (HeMIS)."""
    steps = checked_strides("u_hemis", patch, strides, len(filters))
    check_even("u_hemis", filters)
    return UHeMIS(in_channels, classes, list(filters[: len(steps)]), steps, drop_modalities)


u_hemis_divisor = strided_divisor(u_hemis)


class UHeMIS(nn.Module):
    """[B M *S] -> logits [B K *S]; a channel of NaN is a modality that is missing."""

    accepts_missing_modalities = True

    def __init__(
        self,
        modalities: int,
        classes: int,
        filters: Sequence[int],
        strides: Sequence[Sequence[int]],
        drop_modalities: bool,
    ) -> None:
        super().__init__()
        halves = [width // 2 for width in filters]
        self.encoders = ModalityEncoders(modalities, filters, halves, strides, drop_modalities)
        self.fused = nn.ModuleList(MeanAndVariance() for _ in filters)
        self.decoder = Decoder(filters, filters, classes, len(strides[0]))

    def forward(self, image: Tensor) -> Tensor:
        levels, present_BM = self.encoders(image)
        maps = [fuse(level, present_BM) for fuse, level in zip(self.fused, levels, strict=True)]
        logits: Tensor = self.decoder(maps)
        return logits


class MeanAndVariance(nn.Module):
    """[B M C *s] and which modalities count [B M] -> [B 2C *s]."""

    def forward(self, maps_BMCs: Tensor, present_BM: Tensor) -> Tensor:
        maps_BMCs = in_full_precision(maps_BMCs)
        present = present_BM.reshape(*present_BM.shape, *[1] * (maps_BMCs.ndim - 2))
        n = present.sum(1)
        mean_BCs = torch.where(present, maps_BMCs, 0.0).sum(1) / n
        variance_BCs = torch.where(present, maps_BMCs - mean_BCs[:, None], 0.0).square().sum(1) / n
        return torch.cat([mean_BCs, variance_BCs], 1)


@feature_modules.register(UHeMIS)
def _(network: UHeMIS) -> dict[str, FeaturePoint]:
    depth = len(network.fused) - 1
    return u_shaped(depth, encoder="fused", bottleneck=f"fused.{depth}", decoder="decoder.blocks")
