"""MDViT: a U-Net of transformer stages, and beside it a small decoder that is trained with it. 2D only.

Du et al., "MDViT: Multi-domain Vision Transformer for Small Medical Image Segmentation Datasets", MICCAI
2023, arXiv 2307.02100; a rival in Teach-Former's tables. Features f0 ... f3, levels at stride 4, 8, 16, 32:

    stem     two 3x3 convolutions of stride 2, each with batch norm and Hardswish
    encoder  per level a depthwise and a 1x1 convolution (stride 1, then 2), batch norm, Hardswish, then a
             stage of transformer blocks (`factorised_attention`)
    bridge   two 3x3 convolutions with batch norm and ReLU, to 2 f3 channels
    decoder  per level: resize to the skip, 1x1 convolution, concatenation (skip first), a 3x3 convolution of
             pairs of channels and a 1x1 one, batch norm, Hardswish, a stage
    head     resize to the image, 1x1 convolution
    peer     1x1 convolutions of the encoder's maps to f3 channels, resized to the finest, concatenated with
             the finest decoder map; 1x1 convolution, batch norm, ReLU, dropout; a head

The paper has several data sets (domains): each has its peer, and its label steers the attention. Here is one
data set. `peer=True` adds its peer (MLPFM in the authors' code) as the feature `side.0`, logits of the
image's size, computed where someone taps it: a prediction never does. Where nothing trains it, leave it out.

Parameters for 3 channels and one class: 28,525,217, with the peer 30,134,946. The authors' class builds four
peers whatever the number of data sets: 34,964,133. thop's numbers for 384x384 pixels, one peer included, are
30.3029 M and 24.861 G (two classes 30.3035 M and 24.946 G, Teach-Former's row): where a stage's blocks hold
the same convolutions under three names, it takes their parameters three times and their work nine times.
`count_thop` counts them once: 30.1349 M and 23.435 G; 28.5252 M and 12.790 G without the peer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..errors import UserError
from .factorised_attention import HEADS, Stage
from .features import FeaturePoint, feature_modules, u_shaped
from .patch import check_2d, check_patch

MLP_RATIOS = (8, 8, 4, 4)  # per level


def mdvit(
    in_channels: int,
    classes: int,
    patch: Sequence[int],
    *,
    features: Sequence[int] = (64, 128, 320, 512),
    peer: bool = False,
) -> nn.Module:
    """Factorised attention in every level of a U-Net, for one data set, 2D only (Du et al. 2023)."""
    check_patch("mdvit", patch, mdvit_divisor(patch))
    if len(features) != len(MLP_RATIOS) or any(width % HEADS for width in features):
        raise UserError(
            f"mdvit: features {list(features)}", f"give {len(MLP_RATIOS)} of them, multiples of {HEADS}"
        )
    return MDViT(in_channels, classes, tuple(features), peer)


def mdvit_divisor(patch: Sequence[int], **others: object) -> tuple[int, ...]:
    check_2d("mdvit", patch)
    return (2 ** (len(MLP_RATIOS) + 1),) * 2


class MDViT(nn.Module):
    """[B M *S] -> logits [B K *S]; `features` per level, finest first."""

    def __init__(self, in_channels: int, classes: int, features: Sequence[int], peer: bool) -> None:
        super().__init__()
        finest, coarsest = features[0], features[-1]
        self.stem = nn.Sequential(
            *_halved(in_channels, finest // 2),
            *_halved(finest // 2, finest),
        )
        self.embed = nn.ModuleList(
            _separable(before, after, depthwise=before, stride=1 if level == 0 else 2)
            for level, (before, after) in enumerate(pairwise([finest, *features]))
        )
        self.encoder = nn.ModuleList(map(Stage, features, MLP_RATIOS))
        self.bridge = nn.Sequential(
            *_convolved(coarsest, coarsest, 3),
            *_convolved(coarsest, 2 * coarsest, 3),
        )
        self.decoder = nn.ModuleList(
            Up(coarse, fine, ratio)
            for (fine, coarse), ratio in zip(pairwise([*features, 2 * coarsest]), MLP_RATIOS, strict=True)
        )
        self.head = nn.Conv2d(finest, classes, 1)
        self.maps = (
            nn.Identity()
        )  # the encoder's, finest first, and the decoder's finest: where a peer is fed
        self.peer = Peer(features, finest, classes) if peer else None
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor:
        map_BCs, skips = self.stem(image), []
        for embed, stage in zip(self.embed, self.encoder, strict=True):
            map_BCs = stage(embed(map_BCs))
            skips.append(map_BCs)
        map_BCs = self.bridge(map_BCs)
        for level in reversed(range(len(skips))):
            map_BCs = self.decoder[level](map_BCs, skips[level])
        *_, map_BCs = self.maps([*skips, map_BCs])
        logits: Tensor = self.head(_resized(map_BCs, image.shape[2:]))
        return logits

    def of_peer(self, maps: Sequence[Tensor], image: Tensor) -> Tensor:
        """The peer's logits [B K *S]."""
        assert self.peer is not None
        logits: Tensor = self.peer(maps, image.shape[2:])
        return logits


class Up(nn.Module):
    """A coarser map [B C' *s'] and the skip [B C *s] -> [B C *s]."""

    def __init__(self, before: int, channels: int, mlp_ratio: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(before, channels, 1)
        self.merge = _separable(2 * channels, channels, depthwise=channels)
        self.stage = Stage(channels, mlp_ratio)

    def forward(self, coarse_BCs: Tensor, skip_BCs: Tensor) -> Tensor:
        projected_BCs = self.project(_resized(coarse_BCs, skip_BCs.shape[2:]))
        merged: Tensor = self.stage(self.merge(torch.cat([skip_BCs, projected_BCs], 1)))
        return merged


class Peer(nn.Module):
    """The encoder's maps, finest first, and the decoder's finest -> logits [B K *S] of the given size."""

    def __init__(self, features: Sequence[int], decoder_features: int, classes: int) -> None:
        super().__init__()
        hidden = features[-1]
        self.project = nn.ModuleList(nn.Conv2d(width, hidden, 1) for width in features)
        self.fuse = nn.Sequential(*_convolved(len(features) * hidden + decoder_features, hidden, 1))
        self.dropout = nn.Dropout2d(0.1)
        self.head = nn.Conv2d(hidden, classes, 1)

    def forward(self, maps: Sequence[Tensor], size: torch.Size) -> Tensor:
        *encoded, decoded_BCs = maps
        projected = [
            _resized(project(map_BCs), decoded_BCs.shape[2:])
            for project, map_BCs in zip(self.project, encoded, strict=True)
        ]
        fused_BCs = self.dropout(self.fuse(torch.cat([*projected, decoded_BCs], 1)))
        logits: Tensor = self.head(_resized(fused_BCs, size))
        return logits


@feature_modules.register(MDViT)
def _(network: MDViT) -> dict[str, FeaturePoint]:
    sides = {} if network.peer is None else {"side.0": FeaturePoint("maps", network.of_peer)}
    return {**u_shaped(len(network.encoder), bottleneck="bridge"), **sides}


def _halved(before: int, after: int) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.Hardswish()]


def _convolved(before: int, after: int, kernel: int) -> list[nn.Module]:
    return [nn.Conv2d(before, after, kernel, padding=kernel // 2), nn.BatchNorm2d(after), nn.ReLU()]


def _separable(before: int, after: int, *, depthwise: int, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution in `depthwise` groups, to as many channels, then a 1x1 convolution."""
    return nn.Sequential(
        nn.Conv2d(before, depthwise, 3, stride, 1, groups=depthwise, bias=False),
        nn.Conv2d(depthwise, after, 1, bias=False),
        nn.BatchNorm2d(after),
        nn.Hardswish(),
    )


def _resized(map_BCs: Tensor, size: torch.Size) -> Tensor:
    return nn.functional.interpolate(map_BCs, size, mode="bilinear", align_corners=False)


def _initialise(module: nn.Module) -> None:
    """As the authors: normal weights, of variance 2 / (outputs fed by one input) in convolutions."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
    elif isinstance(module, nn.Conv2d):
        outputs = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, 0, math.sqrt(2 / outputs))
    if isinstance(module, (nn.Linear, nn.Conv2d)) and module.bias is not None:
        nn.init.zeros_(module.bias)
