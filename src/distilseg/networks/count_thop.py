"""What thop 0.1.1 prints for a network: the habit behind the "GFLOPs" of many papers' tables.

thop (https://github.com/Lyken17/pytorch-OpCounter) has a rule for some kinds of module and adds up what they
say while the network runs once in evaluation mode. Its rules, as they are:

    convolution             output elements x input channels / groups x kernel elements
    transposed convolution  the same: stride^axes times its work where kernel and stride are equal
    linear layer            output elements x input features
    norm                    2 per element, 4 where it scales and shifts (batch, layer and instance norm)
    PReLU                   1 per element
    softmax                 3 n - 1 per row of n
    average pooling         1 per output element; adaptive: 1 + the elements it averages
    up-sampling module      nearest 1, linear 5, bilinear 11, bicubic 259 per output element; trilinear 0
    anything else           0: matrix products (attention), interpolation and sums that are no module

    fused attention         its softmax alone, as where that is a module: (3 N - 1) N per head, N tokens

A rule holds for exactly its class, not for classes derived from it. Parameters are those of modules that have
a rule and were run; a bare `nn.Parameter`, such as a position table, is in no such module.

Two differences: a module that its network holds under two names counts once here, while thop counts MONAI's
DynUNet four times over; and thop's rules for recurrent layers are left out, which no network here has.

`count.py` counts what is computed. This module is for reading and reproducing the tables of others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .features import meta_twin
from .h_denseformer import SelfAttention


class ThopCount(NamedTuple):
    """thop's two numbers."""

    parameters: int
    multiply_accumulates: int


def count_as_thop(network: nn.Module, image_shape: Sequence[int]) -> ThopCount:
    """thop's numbers for one image [B M *S] (papers take B = 1); counted on the meta device."""
    twin = meta_twin(network).eval()
    operations: dict[nn.Module, int] = {}
    for module in twin.modules():
        if type(module) in _RULES:
            module.register_forward_hook(partial(_add, operations))
    with torch.no_grad():
        twin(torch.empty(tuple(image_shape), device="meta"))
    weights = sum(weight.numel() for module in operations for weight in module.parameters(recurse=False))
    return ThopCount(weights, sum(operations.values()))


def _add(
    operations: dict[nn.Module, int], module: nn.Module, args: tuple[Tensor, ...], output: Tensor
) -> None:
    count = _RULES[type(module)](module, args[0], output)
    operations[module] = operations.get(module, 0) + count


def _convolution(module: Any, given: Tensor, output: Tensor) -> int:
    kernel: int = math.prod(module.kernel_size)
    return output.numel() * kernel * (given.shape[1] // int(module.groups))


def _linear(module: Any, given: Tensor, output: Tensor) -> int:
    return output.numel() * int(module.in_features)


def _norm(module: Any, given: Tensor, output: Tensor) -> int:
    scales = getattr(module, "affine", False) or getattr(module, "elementwise_affine", False)
    return (4 if scales else 2) * given.numel()


def _softmax(module: Any, given: Tensor, output: Tensor) -> int:
    row = given.size(int(module.dim))
    return given.numel() // row * (3 * row - 1)


def _attention(module: Any, given: Tensor, output: Tensor) -> int:
    batch, tokens, _ = given.shape
    return batch * int(module.heads) * tokens * (3 * tokens - 1)


def _adaptive_pooling(module: Any, given: Tensor, output: Tensor) -> int:
    averaged = math.prod(given.shape[2:]) / math.prod(output.shape[2:])
    return int((averaged + 1) * output.numel())


def _up_sampling(module: Any, given: Tensor, output: Tensor) -> int:
    return {"nearest": 1, "linear": 5, "bilinear": 11, "bicubic": 259}.get(module.mode, 0) * output.numel()


def _per_element(module: Any, given: Tensor, output: Tensor) -> int:
    return output.numel()


_RULES: dict[type[nn.Module], Callable[[Any, Tensor, Tensor], int]] = {
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), _convolution),
    **dict.fromkeys((nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d), _convolution),
    nn.Linear: _linear,
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm), _norm),
    **dict.fromkeys((nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.LayerNorm), _norm),
    nn.PReLU: _per_element,
    nn.Softmax: _softmax,
    SelfAttention: _attention,
    **dict.fromkeys((nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), _per_element),
    **dict.fromkeys((nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d), _adaptive_pooling),
    **dict.fromkeys((nn.Upsample, nn.UpsamplingBilinear2d, nn.UpsamplingNearest2d), _up_sampling),
}
