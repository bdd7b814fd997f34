"""Swin UNETR that ends at stride 16: what the counts in Teach-Former's table belong to.

The whole network needs patches of multiples of 32, and the paper's are of 144 voxels. Its parameters and
operations are met exactly by this one:

    stages      Swin UNETR's, all four; the maps at strides 2, 4, 8 and 16 are used, the last is not
    encoder     residual blocks on the image (f channels), at stride 2 (f) and 4 (2f); at 8 the raw state (4f)
    bottleneck  a residual block at stride 16 (8f)
    decoder     transposed convolution, concatenation of the skip, residual block: 4f, 2f, f, f
    head        1x1x1 convolution

The fourth stage runs in the authors' network and nothing reads it; `unused_stage=False` leaves it out, which
changes the counts and nothing else. `merging="2022"` is the patch merging of that year (see `merging`), with
which the paper's teachers may have been trained; the counts are the same, and so is all in 2D. Blocks and
stages are MONAI's; Hatamizadeh et al. 2022 for the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from monai.networks.blocks import UnetOutBlock, UnetrBasicBlock, UnetrUpBlock
from monai.networks.nets.swin_unetr import SwinTransformer
from torch import Tensor, nn

from ..errors import UserError
from .features import FeaturePoint, feature_modules
from .merging import patch_merging
from .patch import check_patch


def swin_unetr_truncated(
    in_channels: int,
    classes: int,
    patch: Sequence[int],
    *,
    feature_size: int | None = None,
    window: int = 7,
    merging: Literal["merging", "mergingv2", "2022"] = "merging",
    unused_stage: bool = True,
    dropout: float = 0.0,
) -> nn.Module:
    """Swin UNETR without its coarsest level: Teach-Former's second teacher.

    `feature_size` is 24 in 3D and 48 in 2D where it is not given.
    """
    check_patch("swin_unetr_truncated", patch, swin_unetr_truncated_divisor(patch))
    size = (24 if len(patch) == 3 else 48) if feature_size is None else feature_size
    if size < 12 or size % 12:
        raise UserError(f"swin_unetr_truncated: feature size {size}", "give a multiple of 12")
    downsample = patch_merging("swin_unetr_truncated", merging)
    return TruncatedSwinUNETR(
        in_channels, classes, len(patch), size, window, downsample, unused_stage, dropout
    )


def swin_unetr_truncated_divisor(patch: Sequence[int], **others: object) -> tuple[int, ...]:
    return (16,) * len(patch)


def swin_unetr_light(
    in_channels: int,
    classes: int,
    patch: Sequence[int],
    *,
    feature_size: int | None = None,
    window: int = 7,
    merging: Literal["merging", "mergingv2", "2022"] = "merging",
    unused_stage: bool = True,
    dropout: float = 0.0,
) -> nn.Module:
    """The same with half of the features, 12 in 3D and 24 in 2D: Teach-Former's second student."""
    size = (12 if len(patch) == 3 else 24) if feature_size is None else feature_size
    return swin_unetr_truncated(
        in_channels,
        classes,
        patch,
        feature_size=size,
        window=window,
        merging=merging,
        unused_stage=unused_stage,
        dropout=dropout,
    )


def swin_unetr_light_divisor(patch: Sequence[int], **others: object) -> tuple[int, ...]:
    return swin_unetr_truncated_divisor(patch)


class TruncatedSwinUNETR(nn.Module):
    """[B M *S] -> logits [B K *S] in `axes` dimensions; `size` features at the finest level."""

    def __init__(
        self,
        modalities: int,
        classes: int,
        axes: int,
        size: int,
        window: int,
        downsample: type[nn.Module],
        unused_stage: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.vit = SwinTransformer(
            in_chans=modalities,
            embed_dim=size,
            window_size=(window,) * axes,
            patch_size=(2,) * axes,
            depths=(2, 2, 2, 2),
            num_heads=(3, 6, 12, 24),
            drop_rate=dropout,
            spatial_dims=axes,
            downsample=downsample,
        )
        if not unused_stage:
            del self.vit.layers4
        self.unused_stage = unused_stage
        self.encoder = nn.ModuleList(
            UnetrBasicBlock(axes, before, after, 3, 1, "instance", res_block=True)
            for before, after in ((modalities, size), (size, size), (2 * size, 2 * size))
        )
        self.raw = nn.Identity()  # where a tap finds the skip at stride 8
        self.bottleneck = UnetrBasicBlock(axes, 8 * size, 8 * size, 3, 1, "instance", res_block=True)
        self.up = nn.ModuleList(
            UnetrUpBlock(axes, coarse, fine, 3, 2, "instance", res_block=True)
            for fine, coarse in pairwise([size, size, 2 * size, 4 * size, 8 * size])
        )
        self.head = UnetOutBlock(axes, size, classes)

    def forward(self, image: Tensor) -> Tensor:
        at_2, at_4, at_8, at_16 = self._stages(image)
        skips = [
            *(encode(map_BCs) for encode, map_BCs in zip(self.encoder, (image, at_2, at_4), strict=True)),
            self.raw(at_8),
        ]
        map_BCs = self.bottleneck(at_16)
        for level in reversed(range(len(skips))):
            map_BCs = self.up[level](map_BCs, skips[level])
        logits: Tensor = self.head(map_BCs)
        return logits

    def _stages(self, image: Tensor) -> list[Tensor]:
        """The transformer's normalised maps at strides 2, 4, 8 and 16."""
        vit = self.vit
        state = vit.pos_drop(vit.patch_embed(image))
        maps = [vit.proj_out(state, True)]
        for stage in (vit.layers1, vit.layers2, vit.layers3):
            state = stage[0](state.contiguous())
            maps.append(vit.proj_out(state, True))
        if self.unused_stage:
            vit.layers4[0](state.contiguous())
        return maps


@feature_modules.register(TruncatedSwinUNETR)
def _(network: TruncatedSwinUNETR) -> dict[str, FeaturePoint]:
    return {
        **{f"encoder.{level}": FeaturePoint(f"encoder.{level}") for level in range(3)},
        "encoder.3": FeaturePoint("raw"),
        "bottleneck": FeaturePoint("bottleneck"),
        **{f"decoder.{level}": FeaturePoint(f"up.{level}") for level in reversed(range(4))},
    }
