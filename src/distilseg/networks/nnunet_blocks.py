"""What nnU-Net's two networks share: the block around a convolution, the decoder, how weights begin.

    block      convolution of kernel k, padding (k - 1) // 2, then dropout, norm and nonlinearity, each where
               it is wanted; with `norm_last` the norm follows the nonlinearity
    decoder    from the bottleneck up: transposed convolution (kernel = stride = that of the level below),
               concatenation of it and the skip, in this order, blocks, and a 1x1x1 convolution to K logits

Isensee et al., "nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation",
Nature Methods 2021. Modules have the names that nnU-Net's own weights have, so that those load strictly once
the duplicates in them are dropped (`without_duplicates`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError, unknown
from .features import FeaturePoint
from .patch import Strides, level_strides

T = TypeVar("T")
Sizes = tuple[int, ...]  # per axis

NORMS: dict[str, tuple[type[nn.Module], type[nn.Module]]] = {
    "instance": (nn.InstanceNorm2d, nn.InstanceNorm3d),
    "batch": (nn.BatchNorm2d, nn.BatchNorm3d),
}
NONLINEARITIES: dict[str, type[nn.Module]] = {
    "leaky_relu": nn.LeakyReLU,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "elu": nn.ELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
}


@dataclass(frozen=True)
class Style:
    """How every block is built."""

    axes: int
    bias: bool = True
    norm: str = "instance"  # a name in NORMS, or "none"
    epsilon: float = 1e-5
    affine: bool = True
    nonlinearity: str = "leaky_relu"  # a name in NONLINEARITIES, or "none"
    slope: float = 0.01  # of leaky_relu below 0
    norm_last: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for kind, name, known in (
            ("norm", self.norm, NORMS),
            ("nonlinearity", self.nonlinearity, NONLINEARITIES),
        ):
            if name != "none" and name not in known:
                raise unknown(kind, name, [*known, "none"])

    def convolution(
        self, before: int, after: int, kernel: Sizes, stride: Sizes, *, bias: bool | None = None
    ) -> nn.Module:
        """With the style's bias, unless it is said."""
        padding = tuple((size - 1) // 2 for size in kernel)
        kind: Callable[..., nn.Module] = nn.Conv2d if self.axes == 2 else nn.Conv3d
        return kind(before, after, kernel, stride, padding, bias=self.bias if bias is None else bias)

    def transposed(self, before: int, after: int, stride: Sizes) -> nn.Module:
        """Kernel and stride are one, so nothing overlaps."""
        kind: Callable[..., nn.Module] = nn.ConvTranspose2d if self.axes == 2 else nn.ConvTranspose3d
        return kind(before, after, stride, stride, bias=self.bias)

    def normed(self, channels: int) -> nn.Module | None:
        """The norm over `channels`, if there is one."""
        if self.norm == "none":
            return None
        return NORMS[self.norm][self.axes - 2](channels, eps=self.epsilon, affine=self.affine)

    def activated(self) -> nn.Module | None:
        """The nonlinearity, if there is one."""
        if self.nonlinearity == "none":
            return None
        if self.nonlinearity == "leaky_relu":
            return nn.LeakyReLU(self.slope, inplace=True)
        return NONLINEARITIES[self.nonlinearity]()


class Block(nn.Module):
    """[B C *s] -> [B C' *s / stride]: convolution, dropout, norm, nonlinearity."""

    def __init__(
        self,
        before: int,
        after: int,
        kernel: Sizes,
        stride: Sizes,
        style: Style,
        *,
        nonlinear: bool = True,
        dropout: bool = True,
        bias: bool | None = None,
    ) -> None:
        super().__init__()
        self.conv = style.convolution(before, after, kernel, stride, bias=bias)
        dropped = nn.Dropout2d if style.axes == 2 else nn.Dropout3d
        self.dropout = dropped(style.dropout) if dropout and style.dropout else None
        self.norm = style.normed(after)
        self.nonlin = style.activated() if nonlinear else None
        self.norm_last = style.norm_last

    def forward(self, map_BCs: Tensor) -> Tensor:
        for layer in self.layers():
            map_BCs = layer(map_BCs)
        return map_BCs

    def layers(self) -> list[nn.Module]:
        """Those that there are, in their order."""
        after = (self.nonlin, self.norm) if self.norm_last else (self.norm, self.nonlin)
        return [layer for layer in (self.conv, self.dropout, *after) if layer is not None]


class Blocks(nn.Module):
    """`count` blocks one after another, the first with the stride."""

    def __init__(
        self, count: int, before: int, after: int, kernel: Sizes, stride: Sizes, style: Style
    ) -> None:
        super().__init__()
        one = (1,) * style.axes
        self.convs = nn.Sequential(
            *(Block(after if n else before, after, kernel, one if n else stride, style) for n in range(count))
        )

    def forward(self, map_BCs: Tensor) -> Tensor:
        out: Tensor = self.convs(map_BCs)
        return out


class Decoder(nn.Module):
    """The encoder's maps, finest first, -> logits [B K *S]; step j ends at level n - 2 - j of n levels."""

    def __init__(
        self,
        classes: int,
        features: Sequence[int],
        kernels: Sequence[Sizes],
        strides: Sequence[Sizes],
        counts: Sequence[int],
        style: Style,
    ) -> None:
        super().__init__()
        one = (1,) * style.axes
        levels = list(reversed(range(len(features) - 1)))
        self.transpconvs = nn.ModuleList(
            style.transposed(features[level + 1], features[level], strides[level + 1]) for level in levels
        )
        self.stages = nn.ModuleList(
            Blocks(count, 2 * features[level], features[level], kernels[level], one, style)
            for level, count in zip(levels, counts, strict=True)
        )
        self.seg_layers = nn.ModuleList(
            style.convolution(features[level], classes, one, one, bias=True) for level in levels
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        logits: Tensor = self.seg_layers[-1](self.finest(maps))
        return logits

    def finest(self, maps: Sequence[Tensor]) -> Tensor:
        """What the last head sees, [B C *S]."""
        map_BCs, *skips = reversed(maps)
        for level, (up, stage, skip_BCs) in enumerate(zip(self.transpconvs, self.stages, skips, strict=True)):
            map_BCs = stage(torch.cat([up(map_BCs), skip_BCs], 1))
            # Every level answers, for deep supervision; the coarser answers cost next to nothing.
            if level < len(skips) - 1:
                self.seg_layers[level](map_BCs)
        return map_BCs

    def answers(self, finest_BCS: Tensor, most: int) -> Iterator[Tensor]:
        """The logits [B K *S] of `finest`, `most` heads at a time."""
        last = self.seg_layers[-1]
        assert isinstance(last, nn.Conv2d | nn.Conv3d)
        assert last.bias is not None
        convolve = F.conv3d if isinstance(last, nn.Conv3d) else F.conv2d
        for first in range(0, len(last.weight), most):
            some = slice(first, first + most)
            yield convolve(finest_BCS, last.weight[some], last.bias[some])


def feature_points(levels: int) -> dict[str, FeaturePoint]:
    """Where either network computes its features; `side.i` are the logits of the coarser levels."""
    steps = {levels - 2 - j: j for j in range(levels - 1)}  # level -> step of the decoder
    return {
        **{f"encoder.{i}": FeaturePoint(f"encoder.stages.{i}") for i in range(levels - 1)},
        "bottleneck": FeaturePoint(f"encoder.stages.{levels - 1}"),
        **{f"decoder.{i}": FeaturePoint(f"decoder.stages.{j}") for i, j in steps.items()},
        **{f"side.{i}": FeaturePoint(f"decoder.seg_layers.{j}") for i, j in steps.items() if i > 0},
    }


def draw_weights(network: nn.Module, slope: float) -> None:
    """Convolutions as He et al. (2015) for a leaky ReLU of `slope`, their biases 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            nn.init.kaiming_normal_(module.weight, a=slope)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def without_duplicates(weights: Mapping[str, T]) -> dict[str, T]:
    """nnU-Net's weights by name, each once: its blocks hold their layers a second time in `all_modules`, and
    its decoder holds the encoder."""
    return {
        name: weight
        for name, weight in weights.items()
        if ".all_modules." not in name and not name.startswith("decoder.encoder.")
    }


def with_duplicates(network: nn.Module) -> dict[str, Tensor]:
    """The weights by all names that nnU-Net has for each; inverts `without_duplicates`, and copies none."""
    weights: dict[str, Tensor] = dict(network.state_dict())
    for block, module in network.named_modules():
        if isinstance(module, Block):
            for n, layer in enumerate(module.layers()):
                again = layer.state_dict(prefix=f"{block}.all_modules.{n}.")
                weights |= again
    inside = {name: weight for name, weight in weights.items() if name.startswith("encoder.")}
    return weights | {f"decoder.{name}": weight for name, weight in inside.items()}


def levels_of(
    network: str,
    patch: Sequence[int],
    strides: Strides | None,
    features: Sequence[int],
    kernels: Strides | None,
) -> tuple[list[Sizes], list[Sizes]]:
    """Strides and kernels per level and axis; where none are said, halving strides and kernels of 3."""
    axes = len(patch)
    if isinstance(strides, (list, tuple)) and len(strides) == 2 == len(features):
        steps = level_strides(network, patch, [*strides, (1,) * axes], 3)[:2]  # a network of two levels
    else:
        steps = level_strides(network, patch, strides, len(features))
    sizes = [3] * len(steps) if kernels is None else kernels
    sizes = [sizes] * len(steps) if isinstance(sizes, int) else list(sizes)[: len(steps)]
    per_level = [tuple(size) if isinstance(size, Sequence) else (size,) * axes for size in sizes]
    if len(per_level) != len(steps) or not all(
        len(size) == axes and all(isinstance(n, int) and n > 0 and n % 2 for n in size) for size in per_level
    ):
        raise UserError(
            f"{network}: kernels {kernels!r} do not fit {len(steps)} levels of {axes} axes",
            "give an odd number, or one per axis, for each level, such as [3, 3, 3]",
        )
    return steps, per_level


def per_level(network: str, option: str, counts: Sequence[int], levels: int) -> list[int]:
    """A count for each level; one alone stands for all."""
    each = list(counts) * levels if len(counts) == 1 else list(counts)
    if len(each) < levels:
        raise UserError(
            f"{network}: {len(counts)} {option} for {levels} levels",
            "give one number for all, or one per level",
        )
    return each[:levels]
