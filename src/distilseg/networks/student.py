"""Students for CPUs: residual U-Nets, in 2D and 3D, whose finest maps are smaller than the image or thin.

Level i has the plan's resolution i. The network works at the levels from `finest` on; what is finer is
crossed in one step, by the stem on the way in and by the head on the way out. C_i are the widths:

    encoder     at the finest level the stem alone: a convolution, its stride s the plan's strides up to
                there, its kernel 2 s + 1. At each coarser level i a convolution of the plan's stride from
                C_i-1 to C_i channels, then `depth` residual blocks
    bottleneck  the coarsest of these
    decoder     1x1x1 convolution of the coarser map to C_i channels, each voxel repeated up to level i, plus
                encoder.i; one residual block, at the image's own resolution one convolution
    head        1x1x1 convolution to K logits for each of the s x s x s voxels that a voxel stands for

A residual block is ReLU(x + conv(ReLU(conv x))). A batch norm follows every convolution but the head's, and
`folding.folded` puts it into the weights. Along an axis of which a level holds a single voxel, kernels have
length 1. Every choice is a measurement: `benchmarks/student_design.py`, told in
`docs/explanation/students.md`. The backbones of thickened networks of the same names are in `thickened.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from ..errors import UserError
from .axes import batch_norm_of, convolution_of
from .features import FeaturePoint, feature_modules, u_shaped
from .patch import Strides, check_patch, level_strides, product

Sizes = tuple[int, ...]  # per axis


def _divisor(builder: Callable[..., nn.Module]) -> Callable[..., Sizes]:
    """What a patch must be a multiple of for `builder`, by its own options and defaults."""

    def divisor(patch: Sequence[int], **options: Any) -> Sizes:
        told = {**(builder.__kwdefaults__ or {}), **options}
        return product(_levels(builder.__name__, patch, told["widths"], told["finest"], told["strides"]))

    return divisor


def student_tiny(
    in_channels: int,
    classes: int,
    patch: Sequence[int],
    *,
    widths: Sequence[int] = (16, 32, 64, 64),
    depth: int = 1,
    finest: int = 1,
    strides: Strides | None = None,
) -> nn.Module:
    """The smallest student for CPUs: a U-Net that works at half the image's resolution and below.

    `widths` are the channels of the levels from `finest` on, as many of them as the plan has; `depth` counts
    the residual blocks of a level's encoder. `finest=2` is for large images, `finest=0` has no
    wide stem.
    """
    return _student("student_tiny", in_channels, classes, patch, widths, depth, finest, strides)


student_tiny_divisor = _divisor(student_tiny)


def student_small(
    in_channels: int,
    classes: int,
    patch: Sequence[int],
    *,
    widths: Sequence[int] = (8, 16, 32, 64, 64),
    depth: int = 1,
    finest: int = 0,
    strides: Strides | None = None,
) -> nn.Module:
    """The middle student for CPUs: it sees the image's own resolution, in few channels."""
    return _student("student_small", in_channels, classes, patch, widths, depth, finest, strides)


student_small_divisor = _divisor(student_small)


def student_base(
    in_channels: int,
    classes: int,
    patch: Sequence[int],
    *,
    widths: Sequence[int] = (8, 32, 48, 64, 96),
    depth: int = 1,
    finest: int = 0,
    strides: Strides | None = None,
) -> nn.Module:
    """The largest student for CPUs: as small, with more channels below the finest level."""
    return _student("student_base", in_channels, classes, patch, widths, depth, finest, strides)


student_base_divisor = _divisor(student_base)


class Student(nn.Module):
    """[B M *S] -> logits [B K *S]; `strides` and `kernels` per level and axis, first the stem's."""

    def __init__(
        self,
        modalities: int,
        classes: int,
        *,
        widths: Sequence[int],
        depth: int,
        finest: int,
        strides: Sequence[Sizes],
        kernels: Sequence[Sizes],
    ) -> None:
        super().__init__()
        self.finest = finest
        wide = tuple(2 * by + 1 if size > 1 else 1 for by, size in zip(strides[0], kernels[0], strict=True))
        stem = _convolved(modalities, widths[0], wide, strides[0])
        self.encoder = nn.ModuleList([stem])
        self.decoder = nn.ModuleList()
        for (fine, coarse), (fine_kernel, kernel), stride in zip(
            pairwise(widths), pairwise(kernels), strides[1:], strict=True
        ):
            blocks = (Residual(coarse, kernel) for _ in range(depth))
            self.encoder.append(nn.Sequential(_convolved(fine, coarse, kernel, stride), *blocks))
            at_image = not (finest or self.decoder)
            block = _convolved(fine, fine, fine_kernel) if at_image else Residual(fine, fine_kernel)
            self.decoder.append(Merge(coarse, fine, stride, block))
        self.head = Head(widths[0], classes, strides[0])

    def forward(self, image: Tensor) -> Tensor:
        maps = [image]
        for blocks in self.encoder:
            maps.append(blocks(maps[-1]))
        map_BCs = maps.pop()
        for merge in reversed(self.decoder):
            map_BCs = merge(map_BCs, maps.pop())
        logits: Tensor = self.head(map_BCs)
        return logits


class Residual(nn.Module):
    """ReLU(x + conv(ReLU(conv x))), each convolution with its norm; [B C *s] -> [B C *s]."""

    def __init__(self, width: int, kernel: Sizes) -> None:
        super().__init__()
        self.change = nn.Sequential(*_convolved(width, width, kernel), *_normed(width, width, kernel))
        self.relu = nn.ReLU()

    def forward(self, map_BCs: Tensor) -> Tensor:
        out: Tensor = self.relu(map_BCs + self.change(map_BCs))
        return out


class Merge(nn.Module):
    """A coarse map [B C' *s'] and the skip [B C *s], s = stride s' -> [B C *s]."""

    def __init__(self, coarse: int, fine: int, stride: Sizes, block: nn.Module) -> None:
        super().__init__()
        self.narrow = _normed(coarse, fine, (1,) * len(stride))
        self.enlarge = nn.Upsample(scale_factor=tuple(map(float, stride)), mode="nearest")
        self.block = block

    def forward(self, coarse_BCs: Tensor, skip_BCs: Tensor) -> Tensor:
        out: Tensor = self.block(self.enlarge(self.narrow(coarse_BCs)) + skip_BCs)
        return out


class Head(nn.Module):
    """A map [B C *s] -> logits [B K *S], S = stride s: each voxel answers for those that it stands for."""

    def __init__(self, width: int, classes: int, stride: Sizes) -> None:
        super().__init__()
        self.stride = stride
        self.project = convolution_of(len(stride))(width, classes * math.prod(stride), 1)

    def forward(self, map_BCs: Tensor) -> Tensor:
        logits: Tensor = self.project(map_BCs)
        if max(self.stride) == 1:  # what follows would be written into a graph, and do nothing there
            return logits
        axes, (batch, _, *sizes) = len(self.stride), logits.shape  # `len(logits)` would be fixed at export
        fine = [size * by for size, by in zip(sizes, self.stride, strict=True)]
        interleaved = [axis for a in range(axes) for axis in (2 + axes + a, 2 + a)]
        split = logits.reshape(batch, -1, *self.stride, *sizes)
        return split.permute(0, 1, *interleaved).reshape(batch, -1, *fine)


def _student(
    name: str,
    in_channels: int,
    classes: int,
    patch: Sequence[int],
    widths: Sequence[int],
    depth: int,
    finest: int,
    strides: Strides | None,
) -> Student:
    if depth < 0:
        raise UserError(f"{name}: {depth} residual blocks", "give 0 or more")
    levels = _levels(name, patch, widths, finest, strides)
    check_patch(name, patch, product(levels))
    used = [product(levels[: finest + 1]), *levels[finest + 1 :]]
    kernels, size = [], list(patch)
    for stride in used:
        size = [n // by for n, by in zip(size, stride, strict=True)]
        kernels.append(tuple(3 if n > 1 else 1 for n in size))
    return Student(
        in_channels,
        classes,
        widths=widths[: len(used)],
        depth=depth,
        finest=finest,
        strides=used,
        kernels=kernels,
    )


def _levels(
    name: str, patch: Sequence[int], widths: Sequence[int], finest: int, strides: Strides | None
) -> list[Sizes]:
    """The plan's strides as far as there are widths, those that the stem crosses included."""
    if finest not in (0, 1, 2):
        raise UserError(f"{name}: finest level {finest}", "give 0, 1 or 2")
    if len(widths) < 2:
        raise UserError(f"{name}: {len(widths)} widths", "give at least 2, one per level")
    most = max(len(widths) + finest, 3)
    given = strides[:most] if isinstance(strides, (list, tuple)) else strides
    levels = level_strides(name, patch, given, most)
    if len(levels) < finest + 2:
        raise UserError(
            f"{name}: {len(levels)} levels, of which it works at those from {finest} on: too few",
            f"give finest={max(0, len(levels) - 2)}, or a plan of more levels",
        )
    return levels


def _convolved(before: int, after: int, kernel: Sizes, stride: Sizes | None = None) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    return nn.Sequential(*_normed(before, after, kernel, stride), nn.ReLU())


def _normed(before: int, after: int, kernel: Sizes, stride: Sizes | None = None) -> nn.Sequential:
    """Convolution, without bias and drawn for ReLU, and batch norm."""
    axes = len(kernel)
    padding = tuple(size // 2 for size in kernel)
    made = convolution_of(axes)(before, after, kernel, stride or (1,) * axes, padding, bias=False)
    nn.init.kaiming_normal_(made.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(made, batch_norm_of(axes)(after))


@feature_modules.register(Student)
def _(network: Student) -> dict[str, FeaturePoint]:
    depth = len(network.decoder)
    return u_shaped(depth, bottleneck=f"encoder.{depth}", finest=network.finest)
