"""From a side feature to full-resolution logits: the head of self-distillation and deep supervision.

A 1-convolution from C channels to K classes, then up-sampling; no norm, no activation. Three ways up:

    shared_x2      for stride 2ⁿ ONE transposed convolution K to K (kernel 2, stride 2, bias), applied n times
    single_deconv  one transposed convolution K to K with kernel = stride
    trilinear      interpolation, nothing learned (bilinear in 2D)

At stride 1 the first two have a transposed convolution with kernel 1. A stride that is no power of two, or
differs between the axes as in networks for anisotropic scans, is out of reach of "shared_x2": such a head is
a "single_deconv" with one stride per axis, and "trilinear" where the patch is no multiple of the feature.
`Head.upsampling`, also in its printed form, says what a head really does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from ..functional.upsampling import blockwise, pointwise

Upsampling = Literal["shared_x2", "single_deconv", "trilinear"]


class Head(nn.Module):
    """[B `channels` *`space`] to [B `classes` *`patch`]."""

    def __init__(
        self, channels: int, classes: int, space: Sequence[int], patch: Sequence[int], upsampling: Upsampling
    ) -> None:
        super().__init__()
        self.patch = tuple(patch)
        stride = tuple(S // s for S, s in zip(patch, space, strict=True))
        divides = all(s * k == S for S, s, k in zip(patch, space, stride, strict=True))
        doublings = stride[0].bit_length() - 1
        if upsampling == "shared_x2" and stride != (2**doublings,) * len(stride):
            upsampling = "single_deconv"
        self.upsampling: Upsampling = upsampling if divides else "trilinear"
        kernel, self.times = stride, 1
        if self.upsampling == "shared_x2" and doublings > 0:
            kernel, self.times = (2,) * len(stride), doublings
        # The library's layers hold the parameters and draw them; `forward` applies them as matrix products.
        convolution, transposed = _LAYERS[len(self.patch)]
        self.project = convolution(channels, classes, 1)
        self.enlarge = (
            None if self.upsampling == "trilinear" else transposed(classes, classes, kernel, kernel)
        )

    def forward(self, feature_BCs: Tensor) -> Tensor:
        logits = pointwise(feature_BCs, *_parameters(self.project))
        if self.enlarge is None:
            mode = ("linear", "bilinear", "trilinear")[len(self.patch) - 1]
            return F.interpolate(logits, size=self.patch, mode=mode, align_corners=False)
        for _ in range(self.times):
            logits = blockwise(logits, *_parameters(self.enlarge))
        return logits

    def extra_repr(self) -> str:
        return f"upsampling={self.upsampling!r}, times={self.times}, patch={self.patch}"


def _parameters(layer: nn.Module) -> tuple[Tensor, Tensor]:
    return layer.get_parameter("weight"), layer.get_parameter("bias")


_LAYERS: dict[int, tuple[Callable[..., nn.Module], Callable[..., nn.Module]]] = {
    1: (nn.Conv1d, nn.ConvTranspose1d),
    2: (nn.Conv2d, nn.ConvTranspose2d),
    3: (nn.Conv3d, nn.ConvTranspose3d),
}
