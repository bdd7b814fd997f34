"""What a network costs: parameters, and multiply–accumulates of one forward pass.

Counted are the multiply–accumulates of convolutions, transposed convolutions, linear layers and matrix
products (attention included); norms, activations, additions and interpolation are not. This is what papers on
segmentation networks print as "GFLOPs" (in units of 10^9). Two other habits give other numbers: a count of
multiplications and additions is twice as large; thop counts a transposed convolution of stride s in d
dimensions at s^d times its work, and no matrix products.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from .features import meta_twin


def parameters(network: nn.Module) -> int:
    """Numbers that training can change."""
    return sum(weight.numel() for weight in network.parameters() if weight.requires_grad)


def multiply_accumulates(network: nn.Module, image_shape: Sequence[int]) -> int:
    """Of one forward pass in evaluation mode over an image [B M *S]; counted on the meta device."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        meta_twin(network).eval()(torch.empty(tuple(image_shape), device="meta"))
    return int(counter.get_total_flops()) // 2  # torch counts a multiplication and an addition as two
