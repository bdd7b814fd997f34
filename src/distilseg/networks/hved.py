"""U-HVED: each modality gives a Gaussian at every level; the product of those that are there is decoded.

    q(z | modalities)  ∝  N(0, 1) Π_m N(μ_m, σ_m²)       z: a sample in training, the mean otherwise
    logits = decoder(z of all levels),      image_m = decoder_m(z of all levels)

Dorent et al., MICCAI 2019 (see `modality_encoders`). The first half of a block's channels are means, the
other half log σ², clipped to ±50. With the default widths a modality's encoder has 221,192 convolution
weights, and each decoder (one for the logits, one for each image) 72,576 before its head. The authors' code
adds 1e-7 to variances; here the product is exact (`functional.gaussian`). For segmentation that code decodes
a sample also when it predicts; here, as in its completion of images, the mean.

Beyond the usual features it offers `posterior.i`, the product's means and log σ² one after the other
[B 2C *s], and `reconstruction` [B M *S]. Images are decoded only where someone taps them: a prediction costs
one decoder.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..functional.gaussian import product_of_gaussians
from .features import FeaturePoint, feature_modules, u_shaped
from .modality_encoders import Decoder, ModalityEncoders, check_even
from .patch import Strides, checked_strides, strided_divisor

CLIP = 50.0  # of log σ²


def u_hved(
    in_channels: int,
    classes: int,
    patch: Sequence[int],
    *,
    filters: Sequence[int] = (8, 16, 32, 64),
    strides: Strides | None = None,
    drop_modalities: bool = True,
) -> nn.Module:
    """Any subset of modalities: their Gaussians' product in a variational U-Net."""
    steps = checked_strides("u_hved", patch, strides, len(filters))
    check_even("u_hved", filters)
    return UHVED(in_channels, classes, list(filters[: len(steps)]), steps, drop_modalities)


u_hved_divisor = strided_divisor(u_hved)


class UHVED(nn.Module):
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
        axes, halves = len(strides[0]), [width // 2 for width in filters]
        self.encoders = ModalityEncoders(modalities, filters, filters, strides, drop_modalities)
        self.posteriors = nn.ModuleList(ProductOfGaussians() for _ in filters)
        self.samples = nn.ModuleList(GaussianSample() for _ in filters)
        self.latents = nn.Identity()  # of all levels: where a tap finds what the images are decoded from
        self.decoder = Decoder(halves, filters, classes, axes)
        self.image_decoders = nn.ModuleList(Decoder(halves, filters, 1, axes) for _ in range(modalities))

    def forward(self, image: Tensor) -> Tensor:
        levels, present_BM = self.encoders(image)
        latents = [
            sample(posterior(level, present_BM))
            for sample, posterior, level in zip(self.samples, self.posteriors, levels, strict=True)
        ]
        logits: Tensor = self.decoder(self.latents(latents))
        return logits

    def reconstruction(self, latents: Sequence[Tensor], image: Tensor) -> Tensor:
        """The images of all modalities, those that are missing too: [B M *S]."""
        return torch.cat([decoder(latents) for decoder in self.image_decoders], 1)


class ProductOfGaussians(nn.Module):
    """Means and log σ² of each modality [B M 2C *s], which of them count [B M] -> the product's [B 2C *s]."""

    def forward(self, gaussians_BMCs: Tensor, present_BM: Tensor) -> Tensor:
        mean_BMCs, log_variance_BMCs = gaussians_BMCs.chunk(2, 2)
        return torch.cat(product_of_gaussians(mean_BMCs, log_variance_BMCs.clamp(-CLIP, CLIP), present_BM), 1)


class GaussianSample(nn.Module):
    """Means and log σ² [B 2C *s] -> z [B C *s]: a sample in training mode, else the mean."""

    def forward(self, gaussian_BCs: Tensor) -> Tensor:
        mean_BCs, log_variance_BCs = gaussian_BCs.chunk(2, 1)
        if not self.training:
            return mean_BCs
        return mean_BCs + torch.exp(0.5 * log_variance_BCs) * torch.randn_like(mean_BCs)


@feature_modules.register(UHVED)
def _(network: UHVED) -> dict[str, FeaturePoint]:
    depth = len(network.samples) - 1
    return {
        **u_shaped(depth, encoder="samples", bottleneck=f"samples.{depth}", decoder="decoder.blocks"),
        **{f"posterior.{i}": FeaturePoint(f"posteriors.{i}") for i in range(depth + 1)},
        "reconstruction": FeaturePoint("latents", network.reconstruction),
    }
