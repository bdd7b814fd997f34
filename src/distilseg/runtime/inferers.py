"""A volume in, the logits of the whole volume out: the inferers of `distilseg.inference`, on NumPy.

One case at a time, [M *S] -> [K *S]. They cut the same windows, show them to the network in the same order
and blend by the same weights; what differs from the torch ones is rounding, and tests hold them to that.

    sliding_window    overlapping patches, blended; 2D or 3D
    fitted_windows    the same, of windows fitted to the scan
    slices            a 2D network slice by slice, each by a sliding window in its plane
    slabs             k slices at once, every slice the mean of its windows

What a network answers is used up, or copied, before it is asked again: it may be lent (see `engine`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..functional.threads import shared
from ..functional.window_options import (
    OPTIONS,
    FittedWindowsOptions,
    SlabsOptions,
    SlicesOptions,
    SlidingWindowOptions,
    described,
)
from ..functional.windows import AxisWindow, axis_windows, covering, step_starts, window_steps

if TYPE_CHECKING:
    from ..data.planning.plan import Plan

Volume = NDArray[np.float32]
Network = Callable[[Volume], Volume]  # [N M *P] -> logits [N K *P]
Inferer = Callable[[Volume, Network], Volume]  # [M *S] -> logits [K *S]

OVERLAP = 0.25  # of windows, where neither plan nor recipe says
_TINY, _ROUNDING = np.finfo(np.float32).tiny, np.finfo(np.float32).eps


def make_inferer(description: Mapping[str, Any], *, threads: int = 0) -> Inferer:
    """The inferer of a description as an artefact or an experiment.json holds it, such as
    {"kind": "sliding_window", "patch": [32, 48, 32], "overlap": 0.25}; UserError where it makes no sense.

    `threads` blend the windows, 0: as many as there are processors, up to 8.
    """
    options = described(description, OPTIONS)
    if isinstance(options, FittedWindowsOptions):
        return partial(fitted_windows, threads=threads, options=options)
    cut = {SlidingWindowOptions: sliding_window, SlicesOptions: slices, SlabsOptions: slabs}[type(options)]
    return partial(cut, threads=threads, **vars(options))


def planned_inferer(plan: Plan) -> dict[str, Any]:
    """The description of what a plan is predicted with unless a recipe has its own: a sliding window of
    patches, slice by slice where a patch is a slice."""
    overlap = OVERLAP if plan.overlap is None else plan.overlap
    window = {"patch": list(plan.network_patch), "overlap": overlap, "blend": "gaussian"}
    if plan.slice_axis is None:
        return {"kind": "sliding_window", **window}
    return {"kind": "slices", "axis": plan.slice_axis, **window}


def window_shape(description: Mapping[str, Any]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Voxels of the windows that an inferer shows its network, and the axes along which scans differ."""
    patch = tuple(description["patch"])
    if description["kind"] == "fitted_windows":
        return patch, tuple(range(len(patch)))
    if description["kind"] != "slabs":
        return patch, ()
    axis, divisor = description.get("axis", 2), description.get("divisor", 32)
    whole = [size if n == axis else math.ceil(size / divisor) * divisor for n, size in enumerate(patch)]
    if patch[axis] == 1:
        return tuple(size for n, size in enumerate(whole) if n != axis), (0, 1)
    return tuple(whole), tuple(n for n in range(3) if n != axis)


def sliding_window(image_MS: Volume, network: Network, **options: Any) -> Volume:
    """As `distilseg.inference.sliding_window.SlidingWindow`, whose options `_windowed` takes."""
    logits_KS: Volume = _windowed(image_MS[None], network, **options)[0]
    return logits_KS


def fitted_windows(
    image_MS: Volume, network: Network, *, options: FittedWindowsOptions, threads: int = 0
) -> Volume:
    """As `distilseg.inference.fitted_windows.FittedWindows`."""
    return sliding_window(image_MS, network, threads=threads, **vars(options.window(image_MS.shape[1:])))


def slices(image_MS: Volume, network: Network, *, axis: int, batch: int, **options: Any) -> Volume:
    """As `distilseg.inference.slices.Slices`, whose options these are and those of `_windowed`."""
    planes_NMS = np.moveaxis(image_MS, 1 + axis, 0)
    parts = [
        _windowed(planes_NMS[n : n + batch], network, batch=batch, **options)
        for n in range(0, len(planes_NMS), batch)
    ]
    return np.moveaxis(np.concatenate(parts), 0, 1 + axis)


def _windowed(
    images_BMS: Volume,
    network: Network,
    *,
    patch: tuple[int, ...],
    overlap: float,
    blend: str,
    batch: int,
    mirror: bool | tuple[int, ...],
    stride: tuple[int, ...] | None = None,
    average: str = "logits",
    activation: str = "softmax",
    threads: int = 0,
) -> Volume:
    """Logits [B K *S] by overlapping patches, 2D or 3D."""
    padded, inner = _padded(images_BMS, patch)
    mirrored = mirror if isinstance(mirror, tuple) else tuple(range(len(patch))) if mirror else ()
    steps = window_steps(patch, overlap, stride)
    axes = [
        axis_windows(size, p, step, blend)
        for size, p, step in zip(padded.shape[2:], patch, steps, strict=True)
    ]
    places = [(b, place) for b in range(len(padded)) for place in itertools.product(*axes)]
    if len(places) == len(padded):
        return _asked(padded, network, mirrored)[inner].copy()
    whole: Volume | None = None
    for first in range(0, len(places), batch):
        here = places[first : first + batch]
        windows = np.stack([padded[b][_box(place)] for b, place in here])
        answers = to_average(_asked(windows, network, mirrored), average, activation)
        if whole is None:
            whole = np.zeros((len(padded), answers.shape[1], *padded.shape[2:]), np.float32)
        for (b, place), answer in zip(here, answers, strict=True):
            _add(answer, whole[b][_box(place)], _weight(place), threads)
    assert whole is not None
    return logits_of_mean(whole, average, activation)[inner]


def slabs(
    image_MS: Volume,
    network: Network,
    *,
    patch: tuple[int, ...],
    axis: int,
    stride: int,
    average: str,
    activation: str,
    batch: int,
    divisor: int,
    pad: str,
    threads: int = 0,
) -> Volume:
    """As `distilseg.inference.slabs.Slabs`, whose options these are."""
    across, k, count = 1 + axis, patch[axis], image_MS.shape[1 + axis]
    wanted = [math.ceil(size / divisor) * divisor for size in image_MS.shape[1:]]
    wanted[axis] = max(k, count)  # of fewer slices than a window the last one is repeated
    behind = [(0, 0), *((0, more - size) for more, size in zip(wanted, image_MS.shape[1:], strict=True))]
    padded = np.pad(image_MS, behind, mode="edge" if pad == "edge" else "constant")
    starts = step_starts(count, k, stride)
    total: Volume | None = None
    for first in range(0, len(starts), batch):
        here = starts[first : first + batch]
        windows = np.stack([padded.take(range(start, start + k), across) for start in here])
        answers = _asked(windows.squeeze(1 + across), network) if k == 1 else _asked(windows, network)
        answers = np.expand_dims(answers, 1 + across) if k == 1 else answers
        if total is None:
            total = np.zeros((answers.shape[1], *padded.shape[1:]), np.float32)
        for start, answer in zip(here, to_average(answers, average, activation), strict=True):
            _add(answer, total[(slice(None),) * across + (slice(start, start + k),)], None, threads)
    assert total is not None
    total = total[(slice(None), *(slice(size) for size in image_MS.shape[1:]))]
    counts = covering(count, k, stride).astype(np.float32)
    total /= counts.reshape([-1 if n == across else 1 for n in range(total.ndim)])
    return logits_of_mean(total, average, activation)


def _asked(windows: Volume, network: Network, mirrored: Sequence[int] = ()) -> Volume:
    """Logits [N K *P], the mean over all flips of the mirrored axes."""
    flips = [
        tuple(2 + axis for axis in chosen)
        for n in range(len(mirrored) + 1)
        for chosen in itertools.combinations(mirrored, n)
    ]
    total = network(windows)
    total = total.copy() if mirrored else total
    for flip in flips[1:]:
        total += np.flip(network(np.flip(windows, flip).copy()), flip)
    if len(flips) > 1:
        total /= len(flips)
    return total


def _add(answer_KP: Volume, to_KP: Volume, weight_P: Volume | None, threads: int) -> None:
    """to += weight answer, class by class, so that a product is still in cache when it is added."""

    def add(k: int) -> None:
        to_KP[k] += answer_KP[k] if weight_P is None else answer_KP[k] * weight_P

    shared(add, range(len(answer_KP)), answer_KP.size, threads)


def _padded(images_BMS: Volume, patch: Sequence[int]) -> tuple[Volume, tuple[slice, ...]]:
    """The images grown to at least the patch by repeating their edges, and where they lie in the result."""
    shape = images_BMS.shape[2:]
    lacking = [max(0, p - size) for p, size in zip(patch, shape, strict=True)]
    starts = [more // 2 for more in lacking]
    inside = [slice(start, start + size) for start, size in zip(starts, shape, strict=True)]
    inner = (slice(None), slice(None), *inside)
    if not any(lacking):
        return images_BMS, inner
    ends = [(start, more - start) for start, more in zip(starts, lacking, strict=True)]
    return np.pad(images_BMS, [(0, 0), (0, 0), *ends], mode="edge"), inner


def _box(place: Sequence[AxisWindow]) -> tuple[slice, ...]:
    return (slice(None), *(window.voxels for window in place))


def _weight(place: Sequence[AxisWindow]) -> Volume:
    product = place[0].weight
    for window in place[1:]:
        product = product[..., None] * window.weight
    return product


def to_average(logits_NKS: Volume, average: str, activation: str) -> Volume:
    """What the mean is taken of; the logits may be overwritten."""
    if average == "logits":
        return logits_NKS
    if activation == "sigmoid":
        np.negative(logits_NKS, out=logits_NKS)
        with np.errstate(over="ignore"):
            np.exp(logits_NKS, out=logits_NKS)
        logits_NKS += 1
        return np.reciprocal(logits_NKS, out=logits_NKS)
    logits_NKS -= logits_NKS.max(1, keepdims=True)
    np.exp(logits_NKS, out=logits_NKS)
    logits_NKS /= logits_NKS.sum(1, keepdims=True)
    return logits_NKS


def logits_of_mean(mean_KS: Volume, average: str, activation: str) -> Volume:
    """The logits that stand for the mean; it is overwritten."""
    if average == "logits":
        return mean_KS
    if activation == "softmax":
        np.maximum(mean_KS, _TINY, out=mean_KS)
        return np.log(mean_KS, out=mean_KS)
    np.clip(mean_KS, _ROUNDING, 1 - _ROUNDING, out=mean_KS)
    mean_KS /= 1 - mean_KS
    return np.log(mean_KS, out=mean_KS)
