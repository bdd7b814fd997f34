"""What a case will cost on this machine, told from measurements: seconds end to end, and peak memory.

    seconds = reading + preparing + label export + writing          of the case itself, as measured
            + n (a + b W)                                           the network

    n     windows that the case is cut into
    W     multiply-accumulates of one window, in GMAC
    a, b  seconds of a window and seconds per GMAC, fitted to windows of two sizes; one pair for a case that
          is a single window, one for windows that are blended, which are also weighted and summed

    peak = loaded + activations + max(beside, held) + min(beside, held, kept)

    loaded       the process with the network in memory and nothing predicted yet
    activations  c + d W N, what the engine keeps for the N windows that it is given at once
    beside       the most that reading, preparing, exporting and writing the case add, as measured
    held         by the network's stage: the case as stored and, in float32, its image, windows and logits
    kept         what the C library keeps of memory that was freed, in blocks of up to 32 MiB

All in bytes. The four stages beside the network hardly depend on the plan but for its spacing, so they are
measured with it on the very cases that are asked about; `cost_probe.py` measures all of this.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..data.planning.plan import Plan
from ..data.planning.views import in_plane
from ..functional.windows import even_starts, window_steps
from ..runtime.inferers import OVERLAP

FLOAT_BYTES = 4
KEPT_BYTES = 2**25
AT_ONCE = {3: 4, 2: 8}  # windows by axes of the network: what the inferers show it at once


@dataclass(frozen=True)
class Line:
    """start + slope x, both at least 0."""

    start: float
    slope: float

    def __call__(self, x: float) -> float:
        return self.start + self.slope * x


@dataclass(frozen=True)
class NetworkCost:
    """A network on this machine; x is GMAC."""

    window_s: Line  # of a case that is one window
    blended_s: Line  # of one window of several
    loaded_bytes: float
    activation_bytes: Line


@dataclass(frozen=True)
class CaseCost:
    """A case beside the network, prepared at one spacing."""

    stages_s: Mapping[str, float]  # reading, preparing, label export, writing
    working_shape: tuple[int, ...]  # voxels once prepared
    stored_bytes: int
    added_bytes: int  # at most, beyond the loaded process


@dataclass(frozen=True)
class Cut:
    """How a case is cut into windows."""

    windows: int
    at_once: int
    blended: bool  # False: each is the whole of what is predicted, and its logits are the answer
    padded_voxels: int  # of the case once it is at least a window along each axis


def cut(plan: Plan, working_shape: Sequence[int]) -> Cut:
    """The windows of a case as `runtime.inferers` cuts them."""
    patch, axis = plan.network_patch, plan.slice_axis
    planes = 1 if axis is None else working_shape[axis]
    padded = [max(size, p) for size, p in zip(in_plane(working_shape, axis), patch, strict=True)]
    steps = window_steps(patch, OVERLAP if plan.overlap is None else plan.overlap, None)
    each = math.prod(
        len(even_starts(size, p, step)) for size, p, step in zip(padded, patch, steps, strict=True)
    )
    windows = planes * each
    return Cut(windows, min(windows, AT_ONCE[len(patch)]), each > 1, planes * math.prod(padded))


def seconds(plan: Plan, gmac: float, network: NetworkCost, case: CaseCost) -> float:
    """Of the case end to end, the network loaded before; `gmac` of one window."""
    how = cut(plan, case.working_shape)
    # n (a + b W)
    window_s = network.blended_s if how.blended else network.window_s
    return sum(case.stages_s.values()) + how.windows * window_s(gmac)


def peak_bytes(plan: Plan, gmac: float, network: NetworkCost, case: CaseCost) -> float:
    """The most memory that a process holds which predicts the case."""
    how = cut(plan, case.working_shape)
    held = case.stored_bytes + array_bytes(plan, case.working_shape)
    # loaded + (c + d W N) + max(beside, held) + min(beside, held, kept)
    activations = network.activation_bytes(gmac * how.at_once)
    arrays = max(case.added_bytes, held) + min(case.added_bytes, held, KEPT_BYTES)
    return network.loaded_bytes + activations + arrays


def array_bytes(plan: Plan, working_shape: Sequence[int]) -> int:
    """What the network's stage holds of a case: image, windows and logits.

    The logits of single windows are not among them: they are lent by the engine, and so activations.
    """
    how, modalities = cut(plan, working_shape), len(plan.modalities)
    # The last windows are still there when the next are made.
    windows = min(how.windows, 2 * how.at_once) * math.prod(plan.network_patch)
    image = math.prod(working_shape)
    grown = how.padded_voxels if how.padded_voxels > image else 0
    return FLOAT_BYTES * (modalities * (image + grown + windows) + len(plan.classes) * how.padded_voxels)


def fitted(points: Sequence[tuple[float, float]]) -> Line:
    """The line through points (x, y), y > 0; start and slope are at least 0.

    By least squares of the relative errors: a small window counts as much as a large one.
    """
    from scipy.optimize import nnls

    # minimise sum ((start + slope x) / y - 1)^2
    (start, slope), _ = nnls([(1 / y, x / y) for x, y in points], [1.0] * len(points))
    return Line(float(start), float(slope))
