"""Logits block by block: windows blended, and what no later window touches handed on and forgotten.

    logits(x) = Σ_p w_p(x) network(image[p])(x)

Windows come in the order of nested loops over the axes. After one of them its box, from where it starts to
where the next one along each axis does, is done. What it covers beyond is kept for those who come, by axis:

    outermost axis    a layer as thick as windows overlap, over the whole of the other axes
    next axis         such a layer over the other axes of one row of windows
    innermost axis    such a layer of one window

So a volume of any length takes the memory of its smallest cross-section, and every sum is made in the order
of the windows, as if all of it were there. A layer of many classes lies in a scratch file (`scratch.py`), of
which what a window covers is in memory. One voxel below each box is kept as well: whoever interpolates
between voxels (`label_export`) finds all that he needs in one block.

    Block      a box that is done, with its logits
    Blending   windows in, blocks out
    layered    chunks of whole planes as blocks
    whole      blocks in, all logits out; `everything` the other way round
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..functional.threads import shared
from ..functional.windows import AxisWindow
from ..scratch import give_back, zeros

Volume = NDArray[np.float32]
Box = tuple[slice, ...]

_LARGE = 2**23  # voxels: below, windows are visited axis by axis whatever that takes
LAYER = 2**26  # bytes: a larger layer lies on the disk
_MUCH_LESS = 0.75  # of the memory: what another order of the axes is worth


@dataclass(frozen=True, eq=False)
class Block:
    """Logits that are done; those of all blocks together are those of the volume, each voxel's once.

    They may be overwritten, and may be lent until the next block is asked for.
    """

    box: Box  # of the volume, which this block adds
    logits: Volume  # [K *B], or [V K *B], from one voxel below the box along each axis, where there is one
    last: bool  # no other follows
    lent: bool = False

    @property
    def from_voxel(self) -> tuple[int, ...]:
        """Where the logits begin in the volume."""
        return tuple(max(0, side.start - 1) for side in self.box)

    @property
    def inside(self) -> Volume:
        """The logits [K *b] of the box alone."""
        sides = zip(self.box, self.from_voxel, strict=True)
        return boxed(self.logits, [slice(side.start - start, None) for side, start in sides])

    def kept(self) -> Block:
        """The same, in memory of its own."""
        return replace(self, logits=self.logits.copy(), lent=False) if self.lent else self


def whole(blocks: Iterable[Block], shape: Sequence[int]) -> Volume:
    """The logits [K *shape] of all blocks."""
    found: Volume | None = None
    for block in blocks:
        if found is None:
            found = np.empty((*block.logits.shape[: -len(shape)], *shape), np.float32)
        boxed(found, block.box)[...] = block.inside
    assert found is not None
    return found


def boxed(logits: Volume, box: Sequence[slice]) -> Volume:
    """The box [... *b] of logits [... *S]."""
    there: Volume = logits[(slice(None),) * (logits.ndim - len(box)) + tuple(box)]
    return there


def layered(chunks: Iterable[tuple[slice, Volume]], axis: int, shape: Sequence[int]) -> Iterator[Block]:
    """Blocks of chunks of whole planes [K *S], each with the planes across `axis` that it holds, in order."""
    before: Volume | None = None
    for planes, chunk in chunks:
        logits = chunk if before is None else np.concatenate([before, chunk], 1 + axis)
        before = chunk.take([-1], 1 + axis)
        box = tuple(planes if n == axis else slice(0, size) for n, size in enumerate(shape))
        yield Block(box, logits, planes.stop == shape[axis], lent=logits is chunk)


def everything(logits: Volume, axes: int) -> Block:
    """All logits [K *S] of a volume of so many axes as one block."""
    return Block(tuple(slice(0, size) for size in logits.shape[-axes:]), logits, True)


def finite(logits: Volume, threads: int = 0) -> bool:
    """Whether all of them are numbers."""
    found: list[bool] = []
    with np.errstate(invalid="ignore"):
        shared(lambda of: found.append(bool(np.isfinite(of.min() + of.max()))), logits, logits.size, threads)
    return all(found)


class Blending:
    """The windows of a volume: added one by one in the order of `places`, each gives a block back."""

    def __init__(self, axes: Sequence[Sequence[AxisWindow]], *, threads: int = 0) -> None:
        """`axes`: the windows along each axis, of one size; `threads` as of `functional.threads`."""
        self._axes = [_Axis.of(windows) for windows in axes]
        self._order = cheapest_order(self._axes)
        self._threads = threads
        self._kept: list[Volume] = []  # [K ...] by level of the loops, the outermost first

    def places(self) -> Iterator[tuple[int, ...]]:
        """Which window along each axis, in the order in which they are added."""
        for numbers in itertools.product(*(range(len(self._axes[axis].starts)) for axis in self._order)):
            yield tuple(n for _, n in sorted(zip(self._order, numbers, strict=True)))

    def box(self, place: Sequence[int]) -> Box:
        """The voxels of a window."""
        return tuple(
            slice(axis.starts[n], axis.starts[n] + axis.patch)
            for axis, n in zip(self._axes, place, strict=True)
        )

    def add(self, place: Sequence[int], answer_KP: Volume) -> Block:
        """The block that is done once this answer counts too."""
        if not self._kept:
            kept = kept_shapes(self._axes, self._order)
            what = f"the sums between windows, of {len(answer_KP)} classes,"
            self._kept = [zeros((len(answer_KP), *shape), what, LAYER) for shape in kept]
        here = [axis.at(n) for axis, n in zip(self._axes, place, strict=True)]
        loads, saves = self._moves(here)
        weight_P = _product([side.weight for side in here])
        inside = (slice(1, None),) * len(here)
        done = tuple(slice(0 if side.number else 1, 1 + side.done) for side in here)
        logits_KB = np.empty((len(answer_KP), *(side.stop - side.start for side in done)), np.float32)

        def add(k: int) -> None:  # class by class, so that sums are still in cache when they are used
            sums = np.zeros([1 + size for size in weight_P.shape], np.float32)
            np.multiply(answer_KP[k], weight_P, out=sums[inside])
            for level, there, kept in loads:
                sums[there] += self._kept[level][k][kept]
            for level, there, kept in saves:
                self._kept[level][k][kept] = sums[there]
            logits_KB[k] = sums[done]

        shared(add, range(len(answer_KP)), answer_KP.size, self._threads)
        for layer in self._kept:
            give_back(layer)
        box = tuple(slice(side.start, side.start + side.done) for side in here)
        return Block(box, logits_KB, all(side.last for side in here))

    def _moves(self, here: Sequence[_Side]) -> tuple[list[tuple[int, Box, Box]], list[tuple[int, Box, Box]]]:
        """What is taken from the layers and put into them: level, box of the sums, box of the layer.

        Index i of the sums is voxel start - 1 + i. A layer has the sums' own voxels along the axes of outer
        loops, which move on only when it is used up, and the volume's along those of inner ones.
        """
        loads, saves = [], []
        for level, axis in enumerate(self._order):
            side, inner = here[axis], self._order[level + 1 :]
            there: list[slice] = [slice(None)] * len(here)
            if side.number:
                there[axis] = slice(0, side.known)
                kept = list(there)
                for n in inner:  # what an inner loop has brought along is not taken twice
                    there[n] = slice(here[n].known, 1 + self._axes[n].patch)
                    kept[n] = slice(here[n].start - 1 + here[n].known, here[n].start + self._axes[n].patch)
                loads.append((level, tuple(there), tuple(kept)))
            if not side.last:
                there = [slice(None)] * len(here)
                kept = list(there)
                there[axis] = slice(side.done, None)
                kept[axis] = slice(0, 1 + self._axes[axis].patch - side.done)
                for n in inner:
                    there[n] = slice(1, 1 + here[n].done)
                    kept[n] = slice(here[n].start, here[n].start + here[n].done)
                saves.append((level, tuple(there), tuple(kept)))
        return loads, saves


@dataclass(frozen=True, eq=False)
class _Side:
    """A window along one axis."""

    number: int
    start: int  # voxel
    known: int  # of the voxels from start - 1 on so many have sums already; 1 of the first window
    done: int  # voxels from its start to the next one's, or to the end
    last: bool
    weight: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Axis:
    """The windows along one axis."""

    patch: int
    starts: tuple[int, ...]
    weights: tuple[NDArray[np.float32], ...]

    @classmethod
    def of(cls, windows: Sequence[AxisWindow]) -> _Axis:
        starts = tuple(window.voxels.start for window in windows)
        return cls(len(windows[0].weight), starts, tuple(window.weight for window in windows))

    @property
    def size(self) -> int:
        return self.starts[-1] + self.patch

    @property
    def layer(self) -> int:
        """Voxels that a window leaves to the next one, with the one below it; 0 where there is no next."""
        steps = [after - start for start, after in itertools.pairwise(self.starts)]
        return 1 + self.patch - min(steps) if steps else 0

    def at(self, n: int) -> _Side:
        start, last = self.starts[n], n == len(self.starts) - 1
        known = 1 if n == 0 else 1 + self.starts[n - 1] + self.patch - start
        done = self.patch if last else self.starts[n + 1] - start
        return _Side(n, start, known, done, last, self.weights[n])


def kept_shapes(axes: Sequence[_Axis], order: Sequence[int]) -> list[tuple[int, ...]]:
    """Of each level's layer: the volume along the axes of inner loops, a window along those of outer ones."""
    shapes = []
    for level, across in enumerate(order):
        sides = [axis.size if n in order[level:] else 1 + axis.patch for n, axis in enumerate(axes)]
        sides[across] = axes[across].layer
        shapes.append(tuple(sides))
    return shapes


def cheapest_order(axes: Sequence[_Axis]) -> tuple[int, ...]:
    """The axes, outermost loop first: as they are, unless of a large volume another order keeps much less.

    Where three windows or more meet, another order rounds otherwise.
    """

    def kept(order: Sequence[int]) -> int:
        return sum(map(math.prod, kept_shapes(axes, order)))

    natural = tuple(range(len(axes)))
    if math.prod(axis.size for axis in axes) < _LARGE:
        return natural
    best = min(itertools.permutations(natural), key=kept)
    return best if kept(best) < _MUCH_LESS * kept(natural) else natural


def blending_bytes(axes: Sequence[Sequence[AxisWindow]], classes: int) -> int:
    """Memory that a `Blending` of these windows takes, two blocks included, without what lies on the disk."""
    sides = [_Axis.of(windows) for windows in axes]
    layers = [4 * classes * math.prod(shape) for shape in kept_shapes(sides, cheapest_order(sides))]
    block = (
        4 * classes * math.prod(1 + max(side.at(n).done for n in range(len(side.starts))) for side in sides)
    )
    return sum(min(layer, LAYER) for layer in layers) + 2 * block


def _product(weights: Sequence[NDArray[np.float32]]) -> Volume:
    product = weights[0]
    for weight in weights[1:]:
        product = product[..., None] * weight
    return product
