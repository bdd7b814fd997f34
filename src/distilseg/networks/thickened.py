"""Thickened 2D networks (T2D): a slab of k slices through a 2D network, k segmentations out.

From outside it is a network of volumes: a patch of h x w x k voxels in, its logits out. One axis, the slab
axis, is folded into channels inside. Of a patch h x w, a single slice, it is the same with k = 1. With M
modalities and G = k / 3 groups of 3 adjacent slices:

    groups      each group's 3 M channels through a 2D trunk's stem and layer1, one for all: O_g at stride 4
    multiplex   O_1 ... O_G concatenated; convolutions G C -> G C/2 -> C       early-stage multiplexing (ESM)
    trunk       layer2 ... layer4, then the decoder: U at stride 4             (`deeplab`)
    head        Z_g = SSA[U, O_g]                                              (`slice_attention`)
    classifier  1x1 convolution to 3 K channels of each group, one for all; enlarged by 4, bilinearly

There is no public code by the authors; where the paper leaves a choice there is an option, its default first:
`fusion_kernel` 1 or 3; `low_level`, what the decoder sees at stride 4, "fused" or the groups' "mean";
`head` "ssa", "none" (U to G 3 K channels), "concat", "dot"; `query`, `normalize`: see `slice_attention`;
`norm_variance` "population" or the authors' "sample", see `switchable_norm`.
`multiplexing=False` is the paper's baseline, k M channels into the first convolution and nothing after U.

`backbone="light"` is for CPUs: a ResNet-18 of half the width that shrinks in layer1 and not by pooling, and a
decoder of 64 channels. A slab of 256x256x12 on one thread: 2.24 GMAC in 0.043 s, ResNet-50 21.4 in 0.44. In
its place MobileNet's separable blocks take 1.05 and 0.038 s, its inverted ones 1.24 and 0.050: depthwise
convolutions wait for memory. With the pooling it takes 0.055 s. So for almost the time of the fastest it
holds 2.9 million parameters, not 1.0.

`backbone="deeplab_v3_plus"` puts back what the paper drops: the atrous pyramid and the separable decoder of
the module of that name, on the same ResNet-50. It learns from two slabs a batch or more.

`backbone="student_tiny"`, `student_small` and `student_base` are of the same kind with fewer channels and
blocks: 0.35, 0.80 and 1.29 GMAC for that slab. Times are in `docs/explanation/students.md`.

Features have three axes as the image has: what is made for each group has G voxels along the slab axis, what
is made for all of them one. In the other axes `encoder.i`, `decoder.i` and `fused.i` have stride 2^i:

    encoder.1  stem        encoder.2  O_g        encoder.3 ...  the trunk's stages        bottleneck  layer4
    decoder.2  Z_g         fused.2    U
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

from torch import Tensor, nn

from ..errors import UserError, unknown
from .deeplab import BasicBlock, Decoder, Trunk, convolved, resnet50, trunk_features
from .deeplab_v3_plus import WIDTH, PyramidDecoder
from .features import FeaturePoint, feature_modules
from .imagenet import load_imagenet
from .patch import times
from .slice_attention import Concatenation, Product, SliceAttention
from .switchable_norm import VARIANCES, Variance

HEADS = ("ssa", "none", "concat", "dot")


def thickened(
    in_channels: int,
    classes: int,
    patch: Sequence[int],
    *,
    axis: int | None = None,
    group: int = 3,
    backbone: str = "resnet50",
    multiplexing: bool = True,
    fusion_kernel: int = 1,
    head: str = "ssa",
    query: str = "group",
    normalize: str = "softmax_scaled",
    norm_variance: Literal["population", "sample"] = "population",
    low_level: str = "fused",
    output_stride: int = 16,
    imagenet: str = "",
) -> nn.Module:
    """A 2D network that segments slabs of slices: multiplexing and slice-sensitive attention.

    `axis` is the slab axis, 0 to 2; by default the patch's shortest, the last of equal ones; a 2D patch is a
    slab of one slice, its own group. `imagenet` is a file with the weights of torchvision's resnet50.
    """
    flat = len(patch) == 2
    if flat:
        patch, axis, group = (*patch, 1), 2, 1
    by = thickened_divisor(patch, axis=axis, group=group, output_stride=output_stride)
    slab_axis = _slab_axis(patch, axis)
    _check_patch(patch, by, slab_axis)
    for option, value, choices in (
        ("backbone", backbone, tuple(BACKBONES)),
        ("fusion_kernel", fusion_kernel, (1, 3)),
        ("head", head, HEADS),
        ("query", query, ("group", "fused")),
        ("normalize", normalize, ("softmax_scaled", "softmax", "dot")),
        ("norm_variance", norm_variance, VARIANCES),
        ("low_level", low_level, ("fused", "mean")),
    ):
        if value not in choices:
            raise unknown(f"{option} of thickened", value, choices)
    if not multiplexing and head != "none":
        raise UserError(
            f"thickened: the head {head!r} reads what multiplexing makes of each group of slices",
            "without multiplexing give head=none",
        )
    if imagenet and BACKBONES[backbone][0] is not resnet50:
        raise UserError(
            f"thickened: weights of ImageNet are for resnet50, not for the backbone {backbone!r}",
            "give no `imagenet`, or the other backbone",
        )
    network = Thickened(
        in_channels,
        classes,
        slices=patch[slab_axis],
        axis=slab_axis,
        group=group,
        backbone=backbone,
        multiplexing=multiplexing,
        fusion_kernel=fusion_kernel,
        head=head,
        query=query,
        normalize=normalize,
        norm_variance=norm_variance,
        low_level=low_level,
        output_stride=output_stride,
    )
    if imagenet:
        load_imagenet(network.trunk, imagenet)
    return Flat(network) if flat else network


def thickened_divisor(
    patch: Sequence[int],
    *,
    axis: int | None = None,
    group: int = 3,
    output_stride: int = 16,
    **others: object,
) -> tuple[int, ...]:
    if len(patch) == 2:
        return thickened_divisor((*patch, 1), axis=2, group=1, output_stride=output_stride)[:2]
    if axis not in (None, 0, 1, 2) or isinstance(axis, bool):
        raise UserError(f"thickened: slab axis {axis!r}", "give 0, 1 or 2, or leave it to the patch")
    if group < 1:
        raise UserError(f"thickened: groups of {group} slices", "give at least 1; the paper has 3")
    if output_stride not in (8, 16, 32):
        raise unknown("output_stride of thickened", output_stride, (8, 16, 32))
    by = [output_stride] * 3
    by[_slab_axis(patch, axis)] = group
    return tuple(by)


def _slab_axis(patch: Sequence[int], axis: int | None) -> int:
    return min(range(3), key=lambda a: (patch[a], -a)) if axis is None else axis


def _check_patch(patch: Sequence[int], by: Sequence[int], slab_axis: int) -> None:
    working = [math.ceil(size / step) * step for size, step in zip(patch, by, strict=True)]
    plane = [a for a in range(3) if a != slab_axis]
    if all(working[a] == by[a] for a in plane):
        working[plane[0]] += by[plane[0]]
    if tuple(patch) == tuple(working):
        return
    group, stride = by[slab_axis], by[plane[0]]
    rule = f"axis {slab_axis} must hold a multiple of {group} slices, the others of {stride} voxels"
    if not any(size % step for size, step in zip(patch, by, strict=True)):
        rule = "its slices shrink to a bottleneck of one pixel, too few to normalise over"
    named = "" if _slab_axis(working, None) == slab_axis else f" with axis={slab_axis}"  # else guessed anew
    raise UserError(
        f"thickened cannot take a patch of {times(patch)} voxels: {rule}",
        f"the smallest patch at least as large that works is {times(working)}{named}",
    )


class Thickened(nn.Module):
    """[B M *S] -> logits [B K *S]; `slices` voxels along `axis` of S, folded in groups of `group`."""

    def __init__(
        self,
        modalities: int,
        classes: int,
        *,
        slices: int,
        axis: int,
        group: int,
        backbone: str,
        multiplexing: bool,
        fusion_kernel: int,
        head: str,
        query: str,
        normalize: str,
        norm_variance: Variance,
        low_level: str,
        output_stride: int,
    ) -> None:
        super().__init__()
        self.axis, self.slices, self.classes, self.low_level = axis, slices, classes, low_level
        self.groups = slices // group if multiplexing else 1
        channels_in = modalities * slices // self.groups
        make_trunk, width, make_decoder = BACKBONES[backbone]
        self.trunk = make_trunk(channels_in, output_stride)
        fine, deepest = self.trunk.widths[1], self.trunk.widths[-1]
        self.fusion = _fusion(fine, self.groups, fusion_kernel) if multiplexing else nn.Identity()
        self.decoder = make_decoder(deepest, fine)
        self.head = _head(head, width, fine, query, normalize, norm_variance)
        groups_out = 1 if self.head is None else self.groups
        self.classifier = nn.Conv2d(width, classes * slices // groups_out, 1)

    def forward(self, image: Tensor) -> Tensor:
        if image.shape[self.axis + 2] != self.slices:
            raise ValueError(
                f"thickened takes slabs of {self.slices} slices along axis {self.axis},"
                f" here are {times(image.shape[2:])} voxels"
            )
        folded = self.trunk.fine(self.fold(image))
        groups_BGCs = folded.reshape(image.shape[0], self.groups, *folded.shape[1:])
        fused_BCs = self.fusion(groups_BGCs.flatten(1, 2))
        fine_BCs = groups_BGCs.mean(1) if self.low_level == "mean" else fused_BCs
        map_BCs = self.decoder(self.trunk.deep(fused_BCs), fine_BCs)
        if self.head is not None:
            map_BCs = self.head(map_BCs, groups_BGCs).flatten(0, 1)
        logits = nn.functional.interpolate(
            self.classifier(map_BCs), scale_factor=4, mode="bilinear", align_corners=False
        )
        return self.unfold(logits, image)

    def fold(self, image: Tensor) -> Tensor:
        """[B M *S] -> [B·G M·k/G h w]: the slices of a group are channels, those of a modality adjacent."""
        slab_BMkhw = image.movedim(self.axis + 2, 2)
        slab_BMGshw = slab_BMkhw.reshape(*image.shape[:2], self.groups, -1, *slab_BMkhw.shape[3:])
        return slab_BMGshw.transpose(1, 2).flatten(2, 3).flatten(0, 1)

    def unfold(self, logits: Tensor, image: Tensor) -> Tensor:
        """[... h w], the axes before them making up B G K k/G, -> [B K *S]."""
        split = (image.shape[0], self.groups, self.classes, -1, *logits.shape[-2:])
        slab_BKkhw: Tensor = logits.reshape(split).transpose(1, 2).flatten(2, 3)
        return slab_BKkhw.movedim(2, self.axis + 2)

    def on_grid(self, map_BGCs: Tensor, image: Tensor) -> Tensor:
        """A map of each group [B·G C h w] -> [B C *s], G along the slab axis; of all groups: 1."""
        map_BGChw = map_BGCs.reshape(image.shape[0], -1, *map_BGCs.shape[-3:])
        return map_BGChw.movedim(1, 2).movedim(2, self.axis + 2)

    def for_each_group(self, map_BChw: Tensor, image: Tensor) -> Tensor:
        """A map of all groups [B C h w] -> [B C *s], the same for each of G along the slab axis."""
        map_BCs = self.on_grid(map_BChw, image)
        sizes = list(map_BCs.shape)
        sizes[self.axis + 2] = self.groups
        return map_BCs.expand(sizes)


class Flat(nn.Module):
    """A network of slabs of one slice as one of images: [B M h w] -> logits [B K h w]."""

    def __init__(self, network: Thickened) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.network(image[..., None])[..., 0]
        return logits


def _fusion(channels: int, groups: int, kernel: int) -> nn.Module:
    half = channels // 2
    return nn.Sequential(
        convolved(channels * groups, half * groups, kernel), convolved(half * groups, channels, kernel)
    )


def _head(
    head: str, channels: int, group_channels: int, query: str, normalize: str, norm_variance: Variance
) -> nn.Module | None:
    if head == "ssa":
        return SliceAttention(channels, group_channels, query, normalize, norm_variance)
    if head == "none":
        return None
    return (Concatenation if head == "concat" else Product)(channels, group_channels)


def _basic(kernel: int, widths: Sequence[int], depth: int) -> Callable[[int, int], Trunk]:
    depths = (depth,) * (len(widths) - 1)

    def trunk(in_channels: int, output_stride: int) -> Trunk:
        return Trunk(in_channels, kernel, widths, depths, BasicBlock, output_stride, pool=False)

    return trunk


def _plain(width: int, fine_width: int) -> tuple[int, Callable[[int, int], nn.Module]]:
    """The decoder's channels, and the decoder, with `fine_width` of the map at stride 4 that it sees."""
    return width, lambda deepest, fine: Decoder(deepest, fine, width, fine_width)


# The trunk, the decoder's channels, and the decoder of a deepest map and one at stride 4, by their channels.
BACKBONES: dict[str, tuple[Callable[[int, int], Trunk], int, Callable[[int, int], nn.Module]]] = {
    "resnet50": (resnet50, *_plain(256, 48)),
    "deeplab_v3_plus": (resnet50, WIDTH, PyramidDecoder),
    "light": (_basic(7, (32, 32, 64, 128, 256), 2), *_plain(64, 16)),
    "student_tiny": (_basic(5, (16, 16, 32, 64, 64), 1), *_plain(32, 16)),
    "student_small": (_basic(5, (16, 32, 64, 96, 128), 1), *_plain(48, 16)),
    "student_base": (_basic(5, (16, 32, 64, 96, 128), 2), *_plain(48, 16)),
}


@feature_modules.register(Thickened)
def _(network: Thickened) -> dict[str, FeaturePoint]:
    of_head = "decoder" if network.head is None else "head"
    to_map = network.for_each_group if network.head is None else network.on_grid
    return {
        **{
            name: FeaturePoint(f"trunk.{module}", network.on_grid)
            for name, module in trunk_features(network.trunk).items()
        },
        "decoder.2": FeaturePoint(of_head, to_map),
        "fused.2": FeaturePoint("decoder", network.on_grid),
    }


@feature_modules.register(Flat)
def _(network: Flat) -> dict[str, FeaturePoint]:
    def flat(point: FeaturePoint) -> FeaturePoint:
        def to_map(output: Any, image: Tensor) -> Tensor:
            return point.to_map(output, image[..., None])[..., 0]

        return FeaturePoint(f"network.{point.module}", to_map)

    return {name: flat(point) for name, point in feature_modules(network.network).items()}
