"""From a side feature to full-resolution logits: the head of self-distillation and deep supervision.

A 1-convolution from C channels to K classes, then up-sampling; no norm, no activation. Four ways up:

    shared_x2      for stride 2ⁿ ONE transposed convolution K to K (kernel 2, stride 2, bias), applied n times
    single_deconv  one transposed convolution K to K with kernel = stride
    trilinear      interpolation, nothing learned (bilinear in 2D)
    nearest        every voxel stands for its block, nothing learned; the logits stay on their own grid, where
                   `functional.blocks` computes what the losses are at full resolution

At stride 1 the first two have a transposed convolution with kernel 1. A stride that is no power of two, or
differs between the axes as in networks for anisotropic scans, is out of reach of "shared_x2": such a head
is a "single_deconv" with one stride per axis. Any is "trilinear" where the patch is no multiple of it.
`Head.upsampling`, also in its printed form, says what a head really does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from ..functional.upsampling import NestedOrder, doubled, pointwise

Upsampling = Literal["shared_x2", "single_deconv", "nearest", "trilinear"]


def doublings(space: Sequence[int], patch: Sequence[int]) -> int | None:
    """How often `space` must double on every axis to become `patch`; None if no number does it."""
    n = (patch[0] // space[0]).bit_length() - 1
    return n if [s << n for s in space] == list(patch) else None


class Head(nn.Module):
    """A feature [B `channels` *`space`] to logits [B `classes` N] for every voxel of `grid`: of `patch`, but
    of `space` where each voxel stands for its block ("nearest").

    The voxels are listed in nested order over `depth` doublings (`functional.upsampling`): the head's own by
    default, at least those. A depth of 0 is the natural order.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        space: Sequence[int],
        patch: Sequence[int],
        upsampling: Upsampling = "shared_x2",
        depth: int | None = None,
    ) -> None:
        super().__init__()
        self.patch = tuple(patch)
        stride = tuple(S // s for S, s in zip(patch, space, strict=True))
        divides = all(s * k == S for S, s, k in zip(patch, space, stride, strict=True))
        times = doublings(space, patch)
        if upsampling == "shared_x2" and times is None:
            upsampling = "single_deconv"
        self.upsampling: Upsampling = upsampling if divides else "trilinear"
        self.times = times or 0 if self.upsampling == "shared_x2" else 0
        kernel = (min(2, stride[0]),) * len(stride) if self.upsampling == "shared_x2" else stride
        # The library's layers draw and hold the parameters; `forward` applies most as matrix products.
        convolution, transposed = _LAYERS[len(self.patch)]
        self.project = convolution(channels, classes, 1)
        learned = self.upsampling in ("shared_x2", "single_deconv")
        self.enlarge = transposed(classes, classes, kernel, kernel) if learned else nn.Identity()
        ordered = space if self.upsampling == "shared_x2" else patch
        self.grid = tuple(space) if self.upsampling == "nearest" else self.patch
        self.order = NestedOrder(ordered, 0 if depth is None else depth - self.times)

    def forward(self, feature_BCs: Tensor) -> Tensor:
        projection = _parameters(self.project)
        logits: Tensor
        if self.upsampling == "shared_x2" and self.times == 0:
            logits = self.order(pointwise(feature_BCs, *_composed(*projection, *_parameters(self.enlarge))))
        elif self.upsampling == "shared_x2":
            coarse = self.order(pointwise(feature_BCs, *projection))
            logits = doubled(coarse, *_parameters(self.enlarge), times=self.times)
        elif self.upsampling == "nearest":
            logits = pointwise(feature_BCs, *projection).flatten(2)
        elif self.upsampling == "trilinear":
            mode = ("linear", "bilinear", "trilinear")[len(self.patch) - 1]
            logits = pointwise(feature_BCs, *projection)
            logits = self.order(F.interpolate(logits, size=self.patch, mode=mode, align_corners=False))
        else:
            logits = self.order(self.enlarge(pointwise(feature_BCs, *projection)))
        return logits

    def extra_repr(self) -> str:
        return f"upsampling={self.upsampling!r}, times={self.times}, patch={self.patch}"


def _parameters(layer: nn.Module) -> tuple[Tensor, Tensor]:
    return layer.get_parameter("weight"), layer.get_parameter("bias")


def _composed(
    project_KC: Tensor, bias_K: Tensor, enlarge_KK: Tensor, shift_K: Tensor
) -> tuple[Tensor, Tensor]:
    """Two layers of kernel 1 as one, so that the finest feature is read once: E (P x + b) + s."""
    # A transposed convolution's weight is [from to …].
    enlarge_KK = enlarge_KK.flatten(1).t()
    return enlarge_KK @ project_KC.flatten(1), enlarge_KK @ bias_K + shift_K


_LAYERS: dict[int, tuple[Callable[..., nn.Module], Callable[..., nn.Module]]] = {
    1: (nn.Conv1d, nn.ConvTranspose1d),
    2: (nn.Conv2d, nn.ConvTranspose2d),
    3: (nn.Conv3d, nn.ConvTranspose3d),
}
