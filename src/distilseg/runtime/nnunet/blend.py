"""From a prepared image to logits: windows, mirrored and blended, and the mean of the folds.

    logits(x) = mean over folds of  sum_p w_p(x) network(image[p])(x) / sum_p w_p(x)

Many heads on a large volume are summed on the disk (`scratch`), a head at a time; what comes out is the same.

Logits are summed in float32. nnU-Net's own sums are float16, which leaves few digits where one window's
corner alone counts: there it answers whole numbers where this answers fractions. The weights are summed in
float16 as there: their rounding is the same for every class.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ...functional.threads import shared
from ...scratch import IN_MEMORY, give_back, heads_of, zeros
from .windows import Box, boxes, padding, weight

Volume = NDArray[np.float32]
Asked = Callable[[Volume], Iterable[Volume]]  # a window [1 M *P] -> the logits [*P] of each head in turn


def blended(
    image: Volume,
    folds: Iterable[Asked],
    heads: int,
    patch: Sequence[int],
    *,
    step: float = 0.5,
    threads: int = 1,
) -> Volume:
    """Image [M *W] -> logits [K *W], the mean over `folds`, of which one is asked at a time.

    The logits are the only array that grows with K and the volume; beyond some size they lie in a scratch
    file. Raises `UserError` where the disk cannot hold it.
    """
    patch = tuple(patch)
    volume = image.shape[1:]
    around = padding(volume, patch)
    padded = np.pad(image, [(0, 0), *around]) if any(map(any, around)) else image
    shape = padded.shape[1:]
    weight_P = weight(patch).astype(np.float32)
    logits_KW = zeros((heads, *volume), f"the logits of {heads} classes")
    in_memory = logits_KW.nbytes <= IN_MEMORY
    count = 0
    for count, ask in enumerate(folds, 1):  # noqa: B007  used below
        for box in boxes(shape, patch, step):
            window = padded[:, *box]
            inside, seen = _in_volume(box, around, volume)
            answers = ask(window.reshape(1, len(window), *patch))

            add = partial(_add, weight_P=weight_P, size=window.shape[1:], inside=inside, seen=seen)
            if in_memory:
                shared(add, zip(logits_KW, answers, strict=True), heads * weight_P.size, threads)
                continue
            for pair in zip(logits_KW, answers, strict=True):
                add(pair)
                give_back(logits_KW)
    inner = tuple(slice(before, size - behind) for size, (before, behind) in zip(shape, around, strict=True))
    weights_W = _summed_weights(shape, patch, step)[inner] * count
    for logits_W in heads_of(logits_KW):
        logits_W /= weights_W
    return logits_KW


def mean_over_flips(
    window: Volume, network: Callable[[Volume], Volume], mirrored: Sequence[int] = ()
) -> Volume:
    """Logits [N K *P] of windows [N M *P], the mean over all mirrorings along these axes of the patch; what
    the network answers may be overwritten when it is asked again."""
    if not mirrored:
        return network(window)
    total = network(window).copy()
    for n in range(1, len(mirrored) + 1):
        for axes in itertools.combinations([2 + axis for axis in mirrored], n):
            total += np.flip(network(np.flip(window, axes)), axes)
    total /= 2 ** len(mirrored)
    return total


def _add(
    pair: tuple[Volume, Volume], *, weight_P: Volume, size: tuple[int, ...], inside: Box, seen: Box
) -> None:
    """sums += weight logits, of one head."""
    sums_W, logits_P = pair
    sums_W[inside] += (logits_P * weight_P).reshape(size)[seen]


def _in_volume(box: Box, around: Sequence[tuple[int, int]], volume: Sequence[int]) -> tuple[Box, Box]:
    """Where a box of the padded volume lies in the volume itself, and which part of the box that is."""
    inside, seen = [], []
    for window, (before, _), size in zip(box, around, volume, strict=True):
        first, stop = max(window.start - before, 0), min(window.stop - before, size)
        inside.append(slice(first, stop))
        seen.append(slice(first + before - window.start, stop + before - window.start))
    return tuple(inside), tuple(seen)


def _summed_weights(shape: Sequence[int], patch: tuple[int, ...], step: float) -> Volume:
    total, one = np.zeros(shape, np.float16), weight(patch)
    for box in boxes(shape, patch, step):
        total[box] += one.reshape(total[box].shape)
    return total.astype(np.float32)
