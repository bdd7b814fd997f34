"""MONAI's networks by name.

A builder is a plain function `(in_channels, classes, patch, *, option=default, ...)`; the length of `patch`
(voxels per axis) says whether the network is 2D or 3D. Beside it, `<name>_divisor` says what each axis of
the patch must be a multiple of (and would refuse a 2D or 3D patch that the network has no form for; MONAI's
have both). Defaults are light. Torch and MONAI are imported inside the functions.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ..errors import UserError, unknown
from .patch import Strides, check_patch, checked_strides, strided_divisor

if TYPE_CHECKING:
    from torch import nn

Patch = Sequence[int]


def dynunet(
    in_channels: int,
    classes: int,
    patch: Patch,
    *,
    filters: Sequence[int] = (16, 32, 64, 128, 256),
    strides: Strides | None = None,
    kernel: int = 3,
    norm: Literal["instance", "batch"] = "instance",
    affine: bool = False,
    residual: bool = True,
    dropout: float = 0.0,
) -> nn.Module:
    """nnU-Net's U-Net: strided convolutions, as deep as the patch allows."""
    from monai.networks.nets import DynUNet

    if norm not in ("instance", "batch"):
        raise unknown("norm", norm, ("instance", "batch"))
    steps = checked_strides("dynunet", patch, strides, len(filters))
    return _made(
        DynUNet,
        spatial_dims=len(patch),
        in_channels=in_channels,
        out_channels=classes,
        kernel_size=[kernel] * len(steps),
        strides=steps,
        upsample_kernel_size=steps[1:],
        filters=list(filters[: len(steps)]),
        dropout=dropout or None,
        norm_name=(norm, {"affine": affine}) if norm == "instance" else norm,
        res_block=residual,
    )


dynunet_divisor = strided_divisor(dynunet)


def unet(
    in_channels: int,
    classes: int,
    patch: Patch,
    *,
    filters: Sequence[int] = (16, 32, 64, 128, 256),
    strides: Strides | None = None,
    residual_units: int = 2,
    norm: Literal["instance", "batch"] = "instance",
    dropout: float = 0.0,
) -> nn.Module:
    """MONAI's residual U-Net: it halves the image in its first convolution, so it has no `encoder.0`."""
    from monai.networks.nets import UNet

    if norm not in ("instance", "batch"):
        raise unknown("norm", norm, ("instance", "batch"))
    steps = checked_strides("unet", patch, strides, len(filters))
    return _made(
        UNet,
        spatial_dims=len(patch),
        in_channels=in_channels,
        out_channels=classes,
        channels=tuple(filters[: len(steps)]),
        strides=steps[1:],
        num_res_units=residual_units,
        norm=norm,
        dropout=dropout,
    )


unet_divisor = strided_divisor(unet)


def attention_unet(
    in_channels: int,
    classes: int,
    patch: Patch,
    *,
    filters: Sequence[int] = (16, 32, 64, 128, 256),
    strides: Strides | None = None,
    dropout: float = 0.0,
) -> nn.Module:
    """U-Net whose skip connections are gated by attention (Oktay et al. 2018); batch norm."""
    from monai.networks.nets import AttentionUnet

    steps = checked_strides("attention_unet", patch, strides, len(filters))
    return _made(
        AttentionUnet,
        spatial_dims=len(patch),
        in_channels=in_channels,
        out_channels=classes,
        channels=tuple(filters[: len(steps)]),
        strides=steps[1:],
        dropout=dropout,
    )


attention_unet_divisor = strided_divisor(attention_unet)


def basic_unet(
    in_channels: int,
    classes: int,
    patch: Patch,
    *,
    filters: Sequence[int] = (32, 32, 64, 128, 256, 32),
    dropout: float = 0.0,
) -> nn.Module:
    """The plain U-Net with max-pooling; six filter counts, the last for the finest decoder level."""
    from monai.networks.nets import BasicUNet

    if len(filters) != 6:
        raise UserError(
            f"basic_unet: {len(filters)} filter counts", "give six: five levels and the finest decoder level"
        )
    check_patch("basic_unet", patch, basic_unet_divisor(patch))
    return _made(
        BasicUNet,
        spatial_dims=len(patch),
        in_channels=in_channels,
        out_channels=classes,
        features=tuple(filters),
        dropout=dropout,
    )


def basic_unet_divisor(patch: Patch, **others: object) -> tuple[int, ...]:
    return (16,) * len(patch)


def segresnet(
    in_channels: int,
    classes: int,
    patch: Patch,
    *,
    filters: int = 8,
    blocks_down: Sequence[int] = (1, 2, 2, 4),
    blocks_up: Sequence[int] = (1, 1, 1),
    dropout: float = 0.0,
) -> nn.Module:
    """Residual encoder, thin decoder, group norm (Myronenko 2018, without the autoencoder branch)."""
    from monai.networks.nets import SegResNet

    if filters % 8:
        raise UserError(f"segresnet: {filters} filters", "give a multiple of 8, its group norm has 8 groups")
    if len(blocks_up) != len(blocks_down) - 1:
        raise UserError(
            f"segresnet: {len(blocks_down)} levels down but {len(blocks_up)} up",
            "give `blocks_up` one entry fewer than `blocks_down`",
        )
    check_patch("segresnet", patch, segresnet_divisor(patch, blocks_down=blocks_down))
    return _made(
        SegResNet,
        spatial_dims=len(patch),
        in_channels=in_channels,
        out_channels=classes,
        init_filters=filters,
        blocks_down=tuple(blocks_down),
        blocks_up=tuple(blocks_up),
        dropout_prob=dropout or None,
    )


def segresnet_divisor(
    patch: Patch, *, blocks_down: Sequence[int] = (1, 2, 2, 4), **others: object
) -> tuple[int, ...]:
    return (2 ** (len(blocks_down) - 1),) * len(patch)


def vnet(in_channels: int, classes: int, patch: Patch, *, width: int = 16, dropout: float = 0.5) -> nn.Module:
    """V-Net (Milletari et al. 2016): 5-voxel kernels, batch norm, dropout in the deep stages."""
    if width < 1:
        raise UserError(f"vnet cannot have a width of {width}", "give 1 or more; MONAI's has 16")
    if width % in_channels:
        raise UserError(
            f"vnet cannot take {in_channels} modalities: its first block repeats them to {width} channels",
            f"use a number of modalities that divides {width}, another width, or another network",
        )
    check_patch("vnet", patch, vnet_divisor(patch))
    if width != 16:  # the only one of MONAI's
        from .scaled_vnet import ScaledVNet

        return ScaledVNet(len(patch), in_channels, classes, width=width, dropout=dropout)
    from monai.networks.nets import VNet

    return _made(
        VNet,
        spatial_dims=len(patch),
        in_channels=in_channels,
        out_channels=classes,
        dropout_prob_down=dropout,
        dropout_prob_up=(dropout, dropout),
        dropout_dim=len(patch),
    )


def vnet_divisor(patch: Patch, **others: object) -> tuple[int, ...]:
    return (16,) * len(patch)


def unetr(
    in_channels: int,
    classes: int,
    patch: Patch,
    *,
    feature_size: int = 16,
    hidden: int = 768,
    mlp: int = 3072,
    heads: int = 12,
    projection: Literal["perceptron", "conv"] = "perceptron",
    norm: Literal["instance", "batch"] = "instance",
    dropout: float = 0.0,
) -> nn.Module:
    """A 12-layer vision transformer as the encoder of a U-Net (Hatamizadeh et al. 2022); 16-voxel tokens."""
    from monai.networks.nets import UNETR

    if projection not in ("perceptron", "conv"):
        raise unknown("projection", projection, ("perceptron", "conv"))
    if hidden % heads:
        raise UserError(
            f"unetr: hidden size {hidden} is no multiple of {heads} heads", "change one of the two"
        )
    check_patch("unetr", patch, unetr_divisor(patch))
    _needs_einops("unetr")
    return _made(
        UNETR,
        in_channels=in_channels,
        out_channels=classes,
        img_size=tuple(patch),
        feature_size=feature_size,
        hidden_size=hidden,
        mlp_dim=mlp,
        num_heads=heads,
        proj_type=projection,
        norm_name=norm,
        dropout_rate=dropout,
        spatial_dims=len(patch),
    )


def unetr_divisor(patch: Patch, **others: object) -> tuple[int, ...]:
    return (16,) * len(patch)


def swin_unetr(
    in_channels: int,
    classes: int,
    patch: Patch,
    *,
    feature_size: int = 12,
    depths: Sequence[int] = (2, 2, 2, 2),
    heads: Sequence[int] = (3, 6, 12, 24),
    window: int = 7,
    merging: Literal["merging", "mergingv2", "2022"] = "merging",
    norm: Literal["instance", "batch"] = "instance",
    dropout: float = 0.0,
    checkpointing: bool = False,
) -> nn.Module:
    """A shifted-window transformer as the encoder of a U-Net (Hatamizadeh et al. 2022).

    `merging="2022"` is the patch merging of that year's code (see `merging.py`); parameters are the same.
    """
    from monai.networks.nets import SwinUNETR

    from .merging import patch_merging

    own = patch_merging("swin_unetr", merging)
    downsample = own if merging == "2022" else merging
    if feature_size % 12:
        raise UserError(f"swin_unetr: feature size {feature_size}", "give a multiple of 12")
    check_patch("swin_unetr", patch, swin_unetr_divisor(patch))
    _needs_einops("swin_unetr")
    return _made(
        SwinUNETR,
        in_channels=in_channels,
        out_channels=classes,
        feature_size=feature_size,
        depths=tuple(depths),
        num_heads=tuple(heads),
        window_size=window,
        downsample=downsample,
        norm_name=norm,
        drop_rate=dropout,
        use_checkpoint=checkpointing,
        spatial_dims=len(patch),
    )


def swin_unetr_divisor(patch: Patch, **others: object) -> tuple[int, ...]:
    return (32,) * len(patch)


def ahnet(in_channels: int, classes: int, patch: Patch, *, pyramid: int | None = None) -> nn.Module:
    """Anisotropic hybrid network (Liu et al. 2018): a ResNet-50 encoder with 3x3x1 and 1x1x3 kernels.

    `pyramid` counts the pooled scales before the output, 0 to 4; None takes as many as the patch allows. It
    halves the image in its first convolution, so it has no `encoder.0`.
    """
    from monai.networks.nets import AHNet

    check_patch("ahnet", patch, ahnet_divisor(patch, pyramid=pyramid), shrinks_by=(32,) * len(patch))
    return _made(
        AHNet,
        spatial_dims=len(patch),
        in_channels=in_channels,
        out_channels=classes,
        psp_block_num=_pyramid(patch) if pyramid is None else pyramid,
    )


def ahnet_divisor(patch: Patch, *, pyramid: int | None = None, **others: object) -> tuple[int, ...]:
    scales = _pyramid(patch) if pyramid is None else pyramid
    if scales not in range(5):
        raise UserError(f"ahnet: a pyramid of {scales} scales", "give 0 to 4")
    # The pooling windows are flat: MONAI leaves the last axis out of them.
    return (max(32, 2 ** (scales + 3)),) * (len(patch) - 1) + (32,)


def _pyramid(patch: Patch) -> int:
    fits = [scales for scales in (3, 4) if all(size % 2 ** (scales + 3) == 0 for size in patch[:-1])]
    return max(fits, default=2)


def _made(kind: Callable[..., nn.Module], **arguments: Any) -> nn.Module:
    """The network, which keeps as `made_of` what a configuration of MONAI's says of it."""
    network = kind(**arguments)
    network.made_of = {"_target_": kind.__name__, **arguments}  # type: ignore[assignment]
    return network


def _needs_einops(network: str) -> None:
    if importlib.util.find_spec("einops") is None:
        raise UserError(f"{network} needs the package einops, which is not installed", "pip install einops")
