"""Every output of a network over a whole volume: its logits, and the features that lie on coarser grids.

    map(x) = Σ_p w_p(x) output(image[p])(x) / Σ_p w_p(x)

Windows of the patch's size stand at multiples of the coarsest output's stride, so that the voxels of every
feature fall on one grid; w is a Gaussian of sigma = patch / 8 as in the sliding window of prediction. The
network sees what it was trained on, patches: instance norms and attention over the whole volume would answer
otherwise.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

_LEAST_WEIGHT = 1e-3
Network = Callable[[Tensor], Mapping[str, Tensor]]


def output_strides(outputs: Mapping[str, Tensor], patch: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """By how much each output [1 C *s] is coarser than the patch, per axis; ValueError where not a whole
    number."""
    strides = {}
    for name, output in outputs.items():
        if len(output.shape) != len(patch) + 2 or any(
            p % s for p, s in zip(patch, output.shape[2:], strict=True)
        ):
            raise ValueError(f"{name} has the shape {list(output.shape)} on a patch of {list(patch)}")
        strides[name] = tuple(p // s for p, s in zip(patch, output.shape[2:], strict=True))
    return strides


@torch.no_grad()
def stitched(
    image: Tensor, network: Network, patch: Sequence[int], *, overlap: float = 0.5
) -> dict[str, tuple[Tensor, tuple[int, ...]]]:
    """name -> (map [C *s] float32 on the CPU, its stride per axis) for an image [1 M *S].

    `network` maps patches [1 M *P] to its outputs by name. A map's voxel j covers the image's voxels
    j·stride … (j + 1)·stride − 1; where the volume is no multiple of the stride, or smaller than the patch,
    its edges are repeated behind its end.
    """
    shape = tuple(image.shape[2:])
    first = network(_window(image, (0,) * len(patch), patch))
    strides = output_strides(first, patch)
    coarsest = tuple(max(axis) for axis in zip(*strides.values(), strict=True))
    sizes = [max(p, math.ceil(n / c) * c) for n, p, c in zip(shape, patch, coarsest, strict=True)]
    starts = [_starts(*axis, overlap) for axis in zip(sizes, patch, coarsest, strict=True)]
    sums = {
        name: torch.zeros(output.shape[1], *(n // s for n, s in zip(sizes, strides[name], strict=True)))
        for name, output in first.items()
    }
    weights = {name: torch.zeros(total.shape[1:]) for name, total in sums.items()}
    for place in itertools.product(*starts):
        outputs = first if not any(place) else network(_window(image, place, patch))
        for name, output in outputs.items():
            weight_P = _weight(output.shape[2:])
            box = tuple(
                slice(x // s, x // s + n)
                for x, s, n in zip(place, strides[name], output.shape[2:], strict=True)
            )
            sums[name][(slice(None), *box)] += output[0].float().cpu() * weight_P
            weights[name][box] += weight_P
    return {name: (total / weights[name], strides[name]) for name, total in sums.items()}


def passes(shape: Sequence[int], patch: Sequence[int], coarsest: Sequence[int], overlap: float = 0.5) -> int:
    """How many patches `stitched` shows the network for a volume of `shape`."""
    sizes = [max(p, math.ceil(n / c) * c) for n, p, c in zip(shape, patch, coarsest, strict=True)]
    return math.prod(len(_starts(*axis, overlap)) for axis in zip(sizes, patch, coarsest, strict=True))


def _starts(size: int, patch: int, multiple: int, overlap: float) -> list[int]:
    """Where windows begin along one axis: multiples of `multiple`, the last one ending at `size`."""
    step = max(multiple, math.floor(patch * (1 - overlap) / multiple) * multiple)
    return sorted({*range(0, size - patch, step), size - patch})


def _window(image: Tensor, place: Sequence[int], patch: Sequence[int]) -> Tensor:
    """The patch [1 M *P] at `place`, the edges of the image repeated behind its end."""
    inside = image[(slice(None), slice(None), *(slice(x, x + p) for x, p in zip(place, patch, strict=True)))]
    behind = [p - n for p, n in zip(patch, inside.shape[2:], strict=True)]
    if not any(behind):
        return inside
    return F.pad(inside, [end for more in reversed(behind) for end in (0, more)], mode="replicate")


def _weight(shape: Sequence[int]) -> Tensor:
    """A Gaussian over an output of `shape`, as wide as that of the sliding window."""
    product = torch.ones(())
    for n in shape:
        distance = torch.arange(n) - (n - 1) / 2
        profile = torch.exp(-0.5 * (distance / (n / 8)) ** 2).clamp(min=_LEAST_WEIGHT)
        product = product[..., None] * profile
    return product
