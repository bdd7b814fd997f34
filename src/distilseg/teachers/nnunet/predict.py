"""From a prepared image to logits: windows, mirrored and blended, and the mean of the folds.

    logits(x) = mean over folds of  sum_p w_p(x) network(image[p])(x) / sum_p w_p(x)

Logits are summed in float32. nnU-Net's own sums are float16, which leaves few digits where one window's
corner alone counts: there it answers whole numbers where this answers fractions. The weights are summed in
float16 as there: their rounding is the same for every class.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ...inference.denormals import denormals_flushed
from ...inference.inferer import Network
from ...inference.mirroring import mean_over_flips
from .windows import boxes, padding, weight


@torch.inference_mode()
def predicted(
    image: NDArray[np.float32],
    folds: Iterable[nn.Module],
    heads: int,
    patch: Sequence[int],
    *,
    mirrored: Sequence[int] = (),
    step: float = 0.5,
    device: torch.device = torch.device("cpu"),  # noqa: B008  a constant
) -> NDArray[np.float32]:
    """Image [M *W] -> logits [K *W], the mean over `folds`: networks in turn, of which one is used at a time.

    `mirrored` are axes of the patch. The logits are the only array that grows with K and the volume.
    """
    patch = tuple(patch)
    around = padding(image.shape[1:], patch)
    padded = torch.from_numpy(np.pad(image, [(0, 0), *around])).to(device)
    shape = tuple(padded.shape[1:])
    weight_P = torch.from_numpy(weight(patch).astype(np.float32)).to(device)
    sums = torch.zeros((heads, *shape))
    count = 0
    with denormals_flushed():
        for count, fold in enumerate(folds, 1):  # noqa: B007  used below
            network = fold.eval().to(device)
            for box in boxes(shape, patch, step):
                sums[:, *box] += _weighted(padded[:, *box], network, weight_P, mirrored)
    weights = torch.from_numpy(_summed_weights(shape, patch, step)) * count
    for logits_W in sums:  # one class at a time: no second array of all of them
        logits_W /= weights
    inner = tuple(slice(before, size - behind) for size, (before, behind) in zip(shape, around, strict=True))
    return sums[:, *inner].contiguous().numpy()


def _summed_weights(shape: Sequence[int], patch: tuple[int, ...], step: float) -> NDArray[np.float32]:
    total, one = np.zeros(shape, np.float16), weight(patch)
    for box in boxes(shape, patch, step):
        total[box] += one.reshape(total[box].shape)
    return total.astype(np.float32)


def _weighted(
    window: torch.Tensor, network: Network, weight_P: torch.Tensor, mirrored: Sequence[int]
) -> torch.Tensor:
    """A window [M *P], in 2D [M 1 *P], -> its weighted logits in the same shape, on the CPU."""
    patches = window.reshape(1, len(window), *weight_P.shape)
    logits_KP = mean_over_flips(patches, network, mirrored)[0].float() * weight_P
    return logits_KP.reshape(len(logits_KP), *window.shape[1:]).cpu()
