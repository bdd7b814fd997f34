"""A volume in, its logits out, block by block: the inferers of `distilseg.inference`, on NumPy.

One case at a time, [M *S] -> [K *S]. They cut the same windows, show them to the network in the same order
and blend by the same weights; what differs from the torch ones is rounding, and tests hold them to that. Of a
large volume `blocks` may visit the axes in another order, which keeps less.

    sliding_window    overlapping patches, blended; 2D or 3D
    fitted_windows    the same, of windows fitted to the scan
    slices            a 2D network slice by slice, each by a sliding window in its plane
    slabs             k slices at once, every slice the mean of its windows

What a network answers is used up, or copied, before it is asked again: it may be lent (see `engine`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.planning.views import in_plane
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
from .blocks import Blending, Block, Volume, blending_bytes, boxed, layered, whole

if TYPE_CHECKING:
    from ..data.planning.plan import Plan

Network = Callable[[Volume], Volume]  # [N M *P] -> logits [N K *P]
Cut = SlidingWindowOptions | SlicesOptions | SlabsOptions
Options = Cut | FittedWindowsOptions

_KINDS: dict[str, Callable[..., Options]] = {**OPTIONS}

OVERLAP = 0.25  # of windows, where neither plan nor recipe says
MOST_ANSWERED = 2**27  # bytes that a network answers at once, if a single window is not more
_TINY, _ROUNDING = np.finfo(np.float32).tiny, np.finfo(np.float32).eps


@dataclass(frozen=True)
class Inferer:
    """How a volume is cut and put together; two with the same options give the same blocks."""

    options: Options
    threads: int = 0  # that blend the windows, 0: as many as there are processors, up to 8
    classes: int = 1  # of the network: of many, fewer windows are shown at once

    def __call__(self, image_MS: Volume, network: Network) -> Volume:
        """The logits [K *S] of the whole volume."""
        return whole(self.blocks(image_MS, network), image_MS.shape[1:])

    def blocks(self, image_MS: Volume, network: Network) -> Iterator[Block]:
        """The same box by box, each as soon as it is done; see `blocks.Block`."""
        cut = self._cut(image_MS.shape[1:])
        told = {**vars(cut), "threads": self.threads}
        match cut:
            case SlidingWindowOptions():
                return sliding_window(image_MS, network, **told)
            case SlicesOptions():
                return slices(image_MS, network, **told)
            case SlabsOptions():
                return slabs(image_MS, network, **told)

    def held_bytes(self, shape: Sequence[int], modalities: int, classes: int) -> int:
        """Memory for the windows and logits of a volume of `shape`, beside the volume and the weights.

        An engine keeps about as much again as it answers.
        """
        options = self._cut(shape)
        match options:
            case SlidingWindowOptions():
                padded = [max(size, p) for size, p in zip(shape, options.patch, strict=True)]
                window, grown = math.prod(options.patch), math.prod(padded)
                axes = _windows(padded, options.patch, options.overlap, options.blend, options.stride)
                count = min(options.batch, math.prod(map(len, axes)))
                held = blending_bytes(axes, classes) if max(map(len, axes)) > 1 else 4 * classes * window
                grown = grown if grown > math.prod(shape) else 0
            case SlicesOptions():
                sides = zip(in_plane(shape, options.axis), options.patch, strict=True)
                plane = math.prod(map(max, sides))
                window, grown = math.prod(options.patch), 0
                count, held = options.batch, 4 * classes * 3 * options.batch * plane
            case SlabsOptions():
                plane = math.prod(size + options.divisor for size in in_plane(shape, options.axis))
                window, grown = options.thickness * plane, math.prod(shape)
                count = options.batch
                held = 4 * classes * plane * (options.thickness + 3 * options.batch * options.stride)
        return 4 * (modalities * (grown + 2 * count * window) + classes * 2 * count * window) + held

    def _cut(self, shape: Sequence[int]) -> Cut:
        """How such a volume is cut: windows that are fitted to it are a sliding window of their size."""
        options = self.options
        if not isinstance(options, FittedWindowsOptions):
            return options
        window = options.window(shape)
        return replace(window, batch=at_once(math.prod(window.patch), self.classes, window.batch))


def make_inferer(description: Mapping[str, Any], *, threads: int = 0, classes: int = 1) -> Inferer:
    """The inferer of a description as an artefact or an experiment.json holds it, such as
    {"kind": "sliding_window", "patch": [32, 48, 32], "overlap": 0.25}; UserError where it makes no sense.

    A network of many `classes` is shown fewer windows at once. `threads` are those of an `Inferer`.
    """
    options: Options = described(description, _KINDS)
    if not isinstance(options, FittedWindowsOptions):
        batch = at_once(math.prod(options.patch), classes, options.batch)
        options = replace(options, batch=batch)
    return Inferer(options, threads, classes)


def at_once(voxels: int, classes: int, batch: int) -> int:
    """Windows of so many voxels that a network of so many classes is shown in one pass, at most `batch`."""
    return max(1, min(batch, MOST_ANSWERED // (4 * classes * voxels)))


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


def sliding_window(
    image_MS: Volume,
    network: Network,
    *,
    patch: tuple[int, ...],
    overlap: float,
    blend: str,
    batch: int,
    mirror: bool | tuple[int, ...],
    stride: tuple[int, ...] | None,
    average: str,
    activation: str,
    threads: int,
) -> Iterator[Block]:
    """As `distilseg.inference.sliding_window.SlidingWindow`, whose options these are."""
    shape = image_MS.shape[1:]
    padded_MS, before = _padded(image_MS, patch)
    mirrored = _mirrored(mirror, len(patch))
    axes = _windows(padded_MS.shape[1:], patch, overlap, blend, stride)
    if max(map(len, axes)) == 1:
        answer_KP = _asked(padded_MS[None], network, mirrored)[0]
        everything = tuple(slice(0, size) for size in padded_MS.shape[1:])
        yield _unpadded(Block(everything, answer_KP, True, lent=True), before, shape)
        return
    blending = Blending(axes, threads=threads)
    places = blending.places()
    while here := list(itertools.islice(places, batch)):
        windows = np.stack([padded_MS[(slice(None), *blending.box(place))] for place in here])
        answers = to_average(_asked(windows, network, mirrored), average, activation)
        for place, answer_KP in zip(here, answers, strict=True):
            block = blending.add(place, answer_KP)
            logits_of_mean(block.logits, average, activation)
            yield _unpadded(block, before, shape)


def slices(
    image_MS: Volume,
    network: Network,
    *,
    patch: tuple[int, ...],
    axis: int,
    overlap: float,
    blend: str,
    batch: int,
    mirror: bool | tuple[int, ...],
    threads: int,
) -> Iterator[Block]:
    """As `distilseg.inference.slices.Slices`, whose options these are."""
    planes_NMS = np.moveaxis(image_MS, 1 + axis, 0)
    options: dict[str, Any] = {"patch": patch, "overlap": overlap, "blend": blend, "mirror": mirror}

    def chunks() -> Iterator[tuple[slice, Volume]]:
        for n in range(0, len(planes_NMS), batch):
            logits_BKS = _planes(planes_NMS[n : n + batch], network, batch=batch, threads=threads, **options)
            yield slice(n, n + len(logits_BKS)), np.moveaxis(logits_BKS, 0, 1 + axis)

    return layered(chunks(), axis, image_MS.shape[1:])


def _planes(
    planes_BMS: Volume,
    network: Network,
    *,
    patch: tuple[int, ...],
    overlap: float,
    blend: str,
    batch: int,
    mirror: bool | tuple[int, ...],
    threads: int,
) -> Volume:
    """Logits [B K *S] of a few slices, by overlapping patches in their plane."""
    grown = [_padded(plane_MS, patch) for plane_MS in planes_BMS]
    padded_BMS, before = np.stack([plane_MS for plane_MS, _ in grown]), grown[0][1]
    inner = [slice(n, n + size) for n, size in zip(before, planes_BMS.shape[2:], strict=True)]
    mirrored = _mirrored(mirror, len(patch))
    axes = _windows(padded_BMS.shape[2:], patch, overlap, blend, None)
    places = [(b, place) for b in range(len(padded_BMS)) for place in itertools.product(*axes)]
    if len(places) == len(padded_BMS):
        return boxed(_asked(padded_BMS, network, mirrored), inner)
    whole_BKS: Volume | None = None
    for first in range(0, len(places), batch):
        here = places[first : first + batch]
        windows = np.stack([padded_BMS[b][_box(place)] for b, place in here])
        answers = _asked(windows, network, mirrored)
        if whole_BKS is None:
            shape = (len(padded_BMS), answers.shape[1], *padded_BMS.shape[2:])
            whole_BKS = np.zeros(shape, np.float32)
        for (b, place), answer in zip(here, answers, strict=True):
            _add(answer, whole_BKS[b][_box(place)], _weight(place), threads)
    assert whole_BKS is not None
    return boxed(whole_BKS, inner)


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
    threads: int,
) -> Iterator[Block]:
    """As `distilseg.inference.slabs.Slabs`, whose options these are."""
    shape, across, k = image_MS.shape[1:], 1 + axis, patch[axis]
    wanted = [math.ceil(size / divisor) * divisor for size in shape]
    wanted[axis] = max(k, shape[axis])  # of fewer slices than a window the last one is repeated
    behind = [(0, 0), *((0, more - size) for more, size in zip(wanted, shape, strict=True))]
    padded = np.pad(image_MS, behind, mode="edge" if pad == "edge" else "constant")
    starts = step_starts(shape[axis], k, stride)
    counts = covering(shape[axis], k, stride).astype(np.float32)

    def planes(first: int, last: int | None) -> tuple[slice, ...]:
        return (slice(None),) * across + (slice(first, last),)

    def chunks() -> Iterator[tuple[slice, Volume]]:
        sums: Volume | None = None  # [K *S] of the slices from the batch's first window to its last one's end
        for first in range(0, len(starts), batch):
            here = starts[first : first + batch]
            windows = np.stack([padded[planes(start, start + k)] for start in here])
            answers = _asked(windows.squeeze(1 + across), network) if k == 1 else _asked(windows, network)
            answers = np.expand_dims(answers, 1 + across) if k == 1 else answers
            if sums is None:
                wanted[axis] = (batch - 1) * stride + k
                sums = np.zeros((answers.shape[1], *wanted), np.float32)
            for start, answer in zip(here, to_average(answers, average, activation), strict=True):
                _add(answer, sums[planes(start - here[0], start - here[0] + k)], None, threads)
            more = first + batch < len(starts)
            done = slice(here[0], starts[first + batch] if more else shape[axis])
            held = sums[planes(0, done.stop - done.start)]
            mean = held[(slice(None), *(slice(size if n != axis else None) for n, size in enumerate(shape)))]
            mean = mean / counts[done].reshape([-1 if n == across else 1 for n in range(sums.ndim)])
            yield done, logits_of_mean(mean, average, activation)
            if more:
                left = sums[planes(done.stop - done.start, None)].copy()
                sums[planes(0, left.shape[across])] = left
                sums[planes(left.shape[across], None)] = 0

    return layered(chunks(), axis, shape)


def _windows(
    shape: Sequence[int], patch: tuple[int, ...], overlap: float, blend: str, stride: tuple[int, ...] | None
) -> list[list[AxisWindow]]:
    """The windows along each axis."""
    steps = window_steps(patch, overlap, stride)
    return [axis_windows(size, p, step, blend) for size, p, step in zip(shape, patch, steps, strict=True)]


def _mirrored(mirror: bool | tuple[int, ...], axes: int) -> tuple[int, ...]:
    return mirror if isinstance(mirror, tuple) else tuple(range(axes)) if mirror else ()


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


def _padded(image_MS: Volume, patch: Sequence[int]) -> tuple[Volume, tuple[int, ...]]:
    """The image grown to at least the patch by repeating its edges, and where it begins in the result."""
    lacking = [max(0, p - size) for p, size in zip(patch, image_MS.shape[1:], strict=True)]
    starts = tuple(more // 2 for more in lacking)
    if not any(lacking):
        return image_MS, starts
    ends = [(start, more - start) for start, more in zip(starts, lacking, strict=True)]
    return np.pad(image_MS, [(0, 0), *ends], mode="edge"), starts


def _unpadded(block: Block, before: Sequence[int], shape: Sequence[int]) -> Block:
    """A block of a grown image as one of the image. Along an axis that was grown there is one window."""
    if not any(side.stop - side.start > size for side, size in zip(block.box, shape, strict=True)):
        return block
    inner, box = [], []
    for side, start, size in zip(block.box, before, shape, strict=True):
        grown = side.stop - side.start > size
        inner.append(slice(start, start + size) if grown else slice(None))
        box.append(slice(0, size) if grown else side)
    return replace(block, box=tuple(box), logits=block.logits[(slice(None), *inner)])


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
