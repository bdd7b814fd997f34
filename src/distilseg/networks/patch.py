"""Which patches a network can take: the rule, and the refusal that says what would work.

A U-shaped network halves the patch again and again. Each axis must be a multiple of what it is divided by
in all (the divisor), and the bottleneck must keep more than one voxel: one has no spread to normalise by.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import UserError

Strides = Sequence[int | Sequence[int]]


def check_patch(
    network: str, patch: Sequence[int], divisor: Sequence[int], shrinks_by: Sequence[int] | None = None
) -> None:
    """Refuses, with UserError, a patch (voxels per axis) that `network` cannot take.

    `shrinks_by` is what the bottleneck is smaller by, where that is not the divisor.
    """
    shrinks_by = divisor if shrinks_by is None else shrinks_by
    working = smallest_patch(patch, divisor, shrinks_by)
    if any(size % by for size, by in zip(patch, divisor, strict=True)):
        rule = f"every axis must be a multiple of {times(divisor)}"
    elif tuple(patch) == tuple(shrinks_by):
        rule = "it shrinks to a bottleneck of one voxel, too few to normalise over"
    else:
        return
    raise UserError(
        f"{network} cannot take a patch of {times(patch)} voxels: {rule}",
        f"the smallest patch at least as large that works is {times(working)}",
    )


def smallest_patch(
    patch: Sequence[int], divisor: Sequence[int], shrinks_by: Sequence[int]
) -> tuple[int, ...]:
    """The smallest patch that holds `patch`, is a multiple of `divisor` and leaves more than one voxel."""
    working = [math.ceil(size / by) * by for size, by in zip(patch, divisor, strict=True)]
    if working == list(shrinks_by):
        thinnest = working.index(min(working))
        working[thinnest] += divisor[thinnest]
    return tuple(working)


def times(sizes: Sequence[int]) -> str:
    """(64, 64, 32) -> "64x64x32"."""
    return "x".join(map(str, sizes))


def halving_strides(patch: Sequence[int], levels: int) -> tuple[tuple[int, ...], ...]:
    """Strides per level, the first all 1: an axis is halved while it is even and holds at least 4 voxels.

    32x32x32 and 5 levels give 1, 2, 2, 2, 2 and a bottleneck of 2x2x2; a thin axis stops early and the others
    go on.
    """
    sizes, strides = list(patch), [(1,) * len(patch)]
    while len(strides) < levels:
        stride = tuple(2 if size >= 4 and size % 2 == 0 else 1 for size in sizes)
        if max(stride) == 1:
            break
        sizes = [size // by for size, by in zip(sizes, stride, strict=True)]
        strides.append(stride)
    return tuple(strides)


def level_strides(
    network: str, patch: Sequence[int], strides: Strides | None, levels: int
) -> list[tuple[int, ...]]:
    """The strides per level and axis: those given, or halved from the patch; at least 3, at most `levels`."""
    if levels < 3:
        raise UserError(f"{network}: {levels} filter counts", "give at least 3, one per level")
    if strides is None:
        steps = list(halving_strides(patch, levels))
        if len(steps) < 3:
            raise UserError(
                f"{network} cannot take a patch of {times(patch)} voxels: it must be halved at least twice",
                "give a patch of at least 8 voxels, a multiple of 4, along one axis, or `strides`",
            )
        return steps
    steps = [_per_axis(step, len(patch)) for step in strides] if isinstance(strides, (list, tuple)) else [()]
    if any(len(step) != len(patch) or min(step) < 1 for step in steps):
        raise UserError(
            f"{network}: strides {strides!r} do not fit a patch of {len(patch)} axes",
            "give one number, or one number per axis, for each level, such as [1, 2, 2, 2]",
        )
    if steps and max(steps[0]) != 1:
        raise UserError(
            f"{network}: the first level's stride is {steps[0]}, but level 0 has the resolution of the image",
            "begin `strides` with 1",
        )
    if not 3 <= len(steps) <= levels:
        raise UserError(
            f"{network}: {len(steps)} strides, but the filters allow 3 to {levels} levels",
            "give a filter count per stride; a plan's strides are its levels, `distilseg plan --levels N`",
        )
    return steps


def checked_strides(
    network: str, patch: Sequence[int], strides: Strides | None, levels: int
) -> list[tuple[int, ...]]:
    """The `level_strides` of a network that can take the patch with them; else UserError."""
    steps = level_strides(network, patch, strides, levels)
    check_patch(network, patch, product(steps))
    return steps


def strided_divisor(builder: Callable[..., object]) -> Callable[..., tuple[int, ...]]:
    """What a patch must be a multiple of for `builder`, by its options `filters` and `strides`."""

    def divisor(patch: Sequence[int], **options: Any) -> tuple[int, ...]:
        told = {**(builder.__kwdefaults__ or {}), **options}
        return product(level_strides(builder.__name__, patch, told["strides"], len(told["filters"])))

    return divisor


def _per_axis(step: object, axes: int) -> tuple[int, ...]:
    """(s, s, s) for a number s; () for what is no stride at all."""
    numbers = [step] * axes if isinstance(step, int) else step
    if not isinstance(numbers, (list, tuple)) or not all(isinstance(n, int) for n in numbers):
        return ()
    return tuple(numbers)


def product(steps: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """What each axis is divided by in all."""
    return tuple(math.prod(axis) for axis in zip(*steps, strict=True))


def check_2d(network: str, patch: Sequence[int]) -> None:
    """Refuses, with UserError, volumes for a network of slices."""
    if len(patch) != 2:
        raise UserError(
            f"{network} cannot take a patch of {times(patch)} voxels: it is 2D",
            "give two sizes: `distilseg plan DATASET --slices` makes a plan of slices",
        )
