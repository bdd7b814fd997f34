"""Weights and images by a rule, so that answers of another implementation can be compared with ours."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def by_rule(shape: tuple[int, ...], seed: int) -> Tensor:
    """Numbers in [-1/2, 1/2) without a pattern that a network would see; the same on every machine."""
    count = int(torch.tensor(shape).prod())
    return ((torch.arange(count) * 7919 + seed * 104_729) % 1013 / 1013 - 0.5).reshape(shape)


@torch.no_grad()
def with_known_weights(network: nn.Module) -> nn.Module:
    """In evaluation mode, each parameter by its place in the list of names.

    Norms scale by about 1, and what has a fan-in is divided by its root.
    """
    scales = {
        f"{name}.weight"
        for name, module in network.named_modules()
        if isinstance(module, (nn.InstanceNorm3d, nn.BatchNorm3d, nn.GroupNorm, nn.LayerNorm))
    }
    for seed, (name, parameter) in enumerate(sorted(network.named_parameters())):
        rule = by_rule(tuple(parameter.shape), seed)
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
        parameter.copy_(3 * rule / fan_in**0.5 if fan_in > 1 else rule + (name in scales))
    return network.eval()
