"""From a prepared image to logits: windows, mirrored and blended, and the mean of the folds.

    logits(x) = mean over folds of  sum_p w_p(x) network(image[p])(x) / sum_p w_p(x)

Many heads on a large volume are summed on the disk (`scratch`), a head at a time; what comes out is the same.

Logits are summed in float32. nnU-Net's own sums are float16, which leaves few digits where one window's
corner alone counts: there it answers whole numbers where this answers fractions. The weights are summed in
float16 as there: their rounding is the same for every class.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ...inference.denormals import denormals_flushed
from ...inference.mirroring import mean_over_flips
from ...networks.nnunet_blocks import Decoder
from ...scratch import give_back, heads_of, zeros
from .windows import Box, boxes, padding, weight

AT_ONCE = 16  # heads of a window that are computed together, where nothing is mirrored


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

    `mirrored` are axes of the patch. The logits are the only array that grows with K and the volume; beyond
    some size they lie in a scratch file. Raises `UserError` where the disk cannot hold it.
    """
    patch = tuple(patch)
    around = padding(image.shape[1:], patch)
    padded = torch.from_numpy(np.pad(image, [(0, 0), *around])).to(device)
    shape = tuple(padded.shape[1:])
    weight_P = torch.from_numpy(weight(patch).astype(np.float32)).to(device)
    volume = image.shape[1:]
    logits_KW = zeros((heads, *volume), f"the logits of {heads} classes")
    count = 0
    with denormals_flushed():
        for count, fold in enumerate(folds, 1):  # noqa: B007  used below
            network = fold.eval().to(device)
            for box in boxes(shape, patch, step):
                window = padded[:, *box]
                patches = window.reshape(1, len(window), *patch)
                inside, seen = _in_volume(box, around, volume)
                answers = _by_heads(network, patches, mirrored, heads)
                for sums_W, logits_P in zip(torch.from_numpy(logits_KW), answers, strict=True):
                    weighted_P = logits_P.float() * weight_P
                    sums_W[inside] += weighted_P.reshape(window.shape[1:])[seen].cpu()
                    give_back(logits_KW)
                del logits_P  # else what it is a part of would stand beside the next window's
    inner = tuple(slice(before, size - behind) for size, (before, behind) in zip(shape, around, strict=True))
    weights_W = _summed_weights(shape, patch, step)[inner] * count
    for logits_W in heads_of(logits_KW):
        logits_W /= weights_W
    return logits_KW


def _by_heads(
    network: nn.Module, patches: torch.Tensor, mirrored: Sequence[int], heads: int
) -> Iterator[torch.Tensor]:
    """The logits [*P] of one window, head by head, some of them computed at a time."""
    encoder, decoder = getattr(network, "encoder", None), getattr(network, "decoder", None)
    if mirrored or heads <= AT_ONCE or encoder is None or not isinstance(decoder, Decoder):
        yield from mean_over_flips(patches, network, mirrored)[0]
        return
    finest = decoder.finest(encoder(patches))
    for logits_NkP in decoder.answers(finest, AT_ONCE):
        yield from logits_NkP[0]


def _in_volume(box: Box, around: Sequence[tuple[int, int]], volume: Sequence[int]) -> tuple[Box, Box]:
    """Where a box of the padded volume lies in the volume itself, and which part of the box that is."""
    inside, seen = [], []
    for window, (before, _), size in zip(box, around, volume, strict=True):
        first, stop = max(window.start - before, 0), min(window.stop - before, size)
        inside.append(slice(first, stop))
        seen.append(slice(first + before - window.start, stop + before - window.start))
    return tuple(inside), tuple(seen)


def _summed_weights(shape: Sequence[int], patch: tuple[int, ...], step: float) -> NDArray[np.float32]:
    total, one = np.zeros(shape, np.float16), weight(patch)
    for box in boxes(shape, patch, step):
        total[box] += one.reshape(total[box].shape)
    return total.astype(np.float32)
