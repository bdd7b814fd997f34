"""Which windows an artefact shows its network: those of training, or ones fitted to each scan.

A network of convolutions takes windows of any size, but not every network does, and where a norm is taken
over the window the answer changes with it. So windows are fitted to the scan (`functional.fitted_windows`)
only if

1. the network says what it divides by, and answers windows of other sizes in their size: position tables and
   fixed grids do not
2. the graph that was written gives there what the network gives
3. the mean Dice of cases that judge drops by no more than `MAX_DICE_DROP` points; other cases tell before how
   far windows may grow (`window_search.py`)
4. scans are shown fewer voxels so

Otherwise windows are those of training, and the artefact says why. How large one may be is what a budget
holds by the line that `cost_model` fits to the memory of two windows, measured in a process of its own.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from ..data.case import Dataset
from ..errors import UserError
from ..evaluation.agreement import titled
from ..functional.fitted_windows import smallest
from ..functional.window_options import MOST_VOXELS, FittedWindowsOptions
from ..functional.windows import window_steps
from ..hardware import processor_name
from ..inference.inferer import logits_of
from ..networks.build import NetworkSpec, divisor
from ..runtime.blocks import Block, Volume
from ..runtime.engine import Arrays
from ..runtime.inferers import Inferer, Network, make_inferer
from ..runtime.predictor import ArtefactPredictor
from .cost_model import FLOAT_BYTES, fitted
from .cost_probe import measured_apart
from .judging import Scores, dice_scores, drop, mean_dice
from .window_search import cuts, grown

MAX_DICE_DROP = 0.2  # points
WINDOW_BYTES = 10**9  # that a window adds to a process, unless more or less is allowed
_ALIKE = 1e-3  # of the largest logit: what rounding may change
_FAR = 16  # times the voxels of what was measured: farther the line is not trusted


@dataclass(frozen=True)
class Fitted:
    """What became of the attempt; `kept` says which windows the artefact shows its network."""

    kept: Literal["fitted", "training"]
    why: str  # "training": in a few words
    cases: int = 0  # that judged
    dice_training: Scores | None = None
    dice_fitted: Scores | None = None
    drop: float = 0.0  # of the mean Dice over the structures, in points
    max_dice_drop: float = MAX_DICE_DROP
    most_voxels: int = 0  # of the windows that are shown at once
    bytes_per_voxel: float = 0.0  # of these, measured; 0: not told by the system
    voxels: float = 1.0  # that the network is shown of the cases that judged, of those of training's windows
    seconds_training: float = 0.0  # of the network's stage, median of the cases
    seconds_fitted: float = 0.0
    timed_on: str = ""
    labelled_by: str = ""  # the teacher whose answers judged; "": labels

    def record(self) -> dict[str, Any]:
        """For artefact.json."""
        return asdict(self)

    def sentences(self) -> list[str]:
        """What it says to people."""
        if self.kept == "training":
            return [f"windows as in training: {self.why}"]
        before, after = (
            f"{100 * mean_dice(scores or {}):.2f}" for scores in (self.dice_training, self.dice_fitted)
        )
        ratio = self.seconds_fitted / self.seconds_training
        memory = f", {self.bytes_per_voxel:.0f} bytes each" if self.bytes_per_voxel else ""
        return [
            f"windows fitted to each scan, up to {self.most_voxels:,} voxels at once{memory}",
            f"mean {titled('Dice', self.labelled_by)} {before} with windows of training, {after} with these,"
            f" on {self.cases} cases",
            f"the network is shown {self.voxels:.2f} of the voxels of before, and takes {ratio:.2f} of its"
            f" time ({self.timed_on})",
        ]


def free_multiple(network: nn.Module, spec: NetworkSpec, inferer: Mapping[str, Any]) -> tuple[int, ...]:
    """What windows of another size must be a multiple of; () where the network does not take any."""
    if inferer.get("kind") != "sliding_window" or ":" in spec.name:
        return ()
    patch, multiple = tuple(inferer["patch"]), divisor(spec)
    if max(multiple) == 1 or any(size % by for size, by in zip(patch, multiple, strict=True)):
        return ()
    try:
        answers = [_answer(network, image).shape for image in _trials(spec.in_channels, patch, multiple)]
    except (RuntimeError, ValueError, AssertionError, IndexError, TypeError):  # whatever it is made of
        return ()
    sizes = [image.shape[2:] for image in _trials(spec.in_channels, patch, multiple)]
    return multiple if [answer[2:] for answer in answers] == sizes else ()


def gives_the_same(network: nn.Module, graph: Arrays, modalities: int, fit: FittedWindowsOptions) -> bool:
    """Whether the graph that was written gives what the network gives, for windows of other sizes."""
    for image in _trials(modalities, fit.patch, fit.multiple):
        expected = _answer(network, image).numpy()
        try:
            found = graph(image.numpy())
        except UserError:
            return False
        if found.shape != expected.shape:
            return False
        if np.abs(found - expected).max() > _ALIKE * max(1.0, float(np.abs(expected).max())):
            return False
    return True


def options_for(inferer: Mapping[str, Any], multiple: Sequence[int]) -> FittedWindowsOptions:
    """Fitted windows in the place of the sliding window `inferer`, which they overlap and blend like."""
    patch = tuple(inferer["patch"])
    stride = inferer.get("stride")
    steps = window_steps(patch, inferer.get("overlap", 0.25), None if stride is None else tuple(stride))
    mirror = inferer.get("mirror", False)
    same = {name: inferer[name] for name in ("blend", "batch", "average", "activation") if name in inferer}
    return FittedWindowsOptions(
        patch,
        tuple(multiple),
        least_of(patch, multiple),
        tuple(MOST_VOXELS // by * by for by in multiple),
        tuple(size - step for size, step in zip(patch, steps, strict=True)),
        MOST_VOXELS,
        mirror=tuple(mirror) if isinstance(mirror, list) else mirror,
        **same,
    )


def least_of(patch: Sequence[int], multiple: Sequence[int]) -> tuple[int, ...]:
    """Two voxels at the bottleneck, one where training had one: of one alone a norm may know no spread."""
    return tuple(min(size, 2 * by) for size, by in zip(patch, multiple, strict=True))


def description_of(options: FittedWindowsOptions) -> dict[str, Any]:
    """As artefacts hold it."""
    plain = {name: list(v) if isinstance(v, tuple) else v for name, v in vars(options).items()}
    return {"kind": "fitted_windows", **plain}


def largest(
    artefact: Path, options: FittedWindowsOptions, name: str, budget_bytes: float
) -> tuple[FittedWindowsOptions, float]:
    """The options with as many voxels at once as `budget_bytes` hold, and bytes a voxel; 0 where the system
    does not tell: as many then as the windows of training have that are shown at once."""
    shapes = probes(options.patch)
    order = {"images": shapes, "inferer": description_of(replace(options, most_voxels=MOST_VOXELS))}
    found = measured_apart(artefact, order, name)
    added = [one["peak"] - found["loaded"] for one in found["images"]]
    voxels = [math.prod(shape) for shape in shapes]
    lowest = math.prod(smallest(options.multiple, options.least, options.overlap))
    most, per_voxel = within(voxels, added, budget_bytes) or (options.batch * voxels[0], 0.0)
    return replace(options, most_voxels=max(lowest, min(most, _FAR * voxels[1], MOST_VOXELS))), per_voxel


def probes(patch: Sequence[int]) -> list[tuple[int, ...]]:
    """Two windows whose memory tells that of others: the patch, and one of four times its voxels."""
    first, second, *_ = sorted(range(len(patch)), key=lambda axis: patch[axis])
    return [tuple(patch), tuple(2 * size if n in (first, second) else size for n, size in enumerate(patch))]


def within(
    voxels: Sequence[int], added_bytes: Sequence[int], budget_bytes: float
) -> tuple[int, float] | None:
    """Voxels of windows that add `budget_bytes` to a process, and bytes a voxel, by the line through what was
    measured; None where that is too little to be seen, or nothing was told."""
    if min(added_bytes) <= 0:
        return None
    line = fitted([(float(v), float(b)) for v, b in zip(voxels, added_bytes, strict=True)])
    if line.slope < FLOAT_BYTES:  # the window itself has as many
        return None
    return int((budget_bytes - line.start) / line.slope), line.slope


def choose(
    artefact: ArtefactPredictor,
    options: FittedWindowsOptions,
    bytes_per_voxel: float,
    dataset: Dataset,
    judging: Sequence[str],
    tuning: Sequence[str],
    max_dice_drop: float = MAX_DICE_DROP,
) -> tuple[FittedWindowsOptions, Fitted]:
    """How far windows may grow by the cases `tuning`, and whether `artefact`, whose windows are those of
    training, is as good with these on the cases `judging`."""
    judging, tuning = (_labelled(dataset, ids) for ids in (judging, tuning))
    if not judging:
        return options, Fitted("training", "no labelled case is there to judge others by")
    tuning = tuning or judging
    training = _Watched.of(artefact.inferer)
    expected = dice_scores(replace(artefact, inferer=training), dataset, tuning)

    @cache
    def found_with(options: FittedWindowsOptions) -> Scores:
        return dice_scores(replace(artefact, inferer=_inferer(options, artefact)), dataset, tuning)

    def lost(options: FittedWindowsOptions) -> float:
        known = known_cuts.setdefault(cuts(options, training.seen.shapes), options)
        return drop(expected, found_with(known))

    known_cuts: dict[Any, FittedWindowsOptions] = {}
    options = grown(options, training.seen.shapes, lost, max_dice_drop)
    if options.least == options.most == options.patch:
        return options, Fitted("training", "on cases that were tried, others lose Dice")
    return options, _judged(artefact, options, bytes_per_voxel, dataset, judging, max_dice_drop)


def _judged(
    artefact: ArtefactPredictor,
    options: FittedWindowsOptions,
    bytes_per_voxel: float,
    dataset: Dataset,
    judging: Sequence[str],
    max_dice_drop: float,
) -> Fitted:
    ways = {"training": _Watched.of(artefact.inferer), "fitted": _Watched.of(_inferer(options, artefact))}
    scores: dict[str, list[Scores]] = {name: [] for name in ways}
    for id in judging:  # in turns, so that what else the machine does meets both
        for name, way in ways.items():
            scores[name].append(dice_scores(replace(artefact, inferer=way), dataset, [id]))
    before, after = (_mean_of(scores[name]) for name in ways)
    voxels = ways["fitted"].seen.voxels / ways["training"].seen.voxels
    lost, why = drop(before, after), ""
    if voxels >= 1:
        why = "others are no fewer voxels"
    elif not lost <= max_dice_drop:
        why = f"with others the mean Dice drops by {lost:.2f} points, above the {max_dice_drop:g} allowed"
    return Fitted(
        "training" if why else "fitted",
        why,
        cases=len(judging),
        dice_training=before,
        dice_fitted=after,
        drop=lost,
        max_dice_drop=max_dice_drop,
        most_voxels=options.most_voxels,
        bytes_per_voxel=bytes_per_voxel,
        voxels=voxels,
        seconds_training=statistics.median(ways["training"].seen.seconds),
        seconds_fitted=statistics.median(ways["fitted"].seen.seconds),
        timed_on=processor_name(),
        labelled_by=dataset.labelled_by,
    )


def _inferer(options: FittedWindowsOptions, artefact: ArtefactPredictor) -> Inferer:
    classes = len(artefact.plan.logits_of(artefact.answers))
    return make_inferer(description_of(options), threads=artefact.threads, classes=classes)


def _labelled(dataset: Dataset, ids: Sequence[str]) -> list[str]:
    return [id for id in ids if dataset.case(id).label is not None]


@dataclass
class _Seen:
    """What was shown to a network, and how long that took."""

    voxels: int = 0
    seconds: list[float] = field(default_factory=list)  # of each scan
    shapes: list[tuple[int, ...]] = field(default_factory=list)


@dataclass(frozen=True)
class _Watched(Inferer):
    """An inferer that notes what it shows its network."""

    seen: _Seen = field(default_factory=_Seen)

    @classmethod
    def of(cls, inferer: Inferer) -> _Watched:
        """The same, watched."""
        return cls(inferer.options, inferer.threads, inferer.classes)

    def blocks(self, image_MS: Volume, network: Network) -> Iterator[Block]:
        def counting(windows: Volume) -> Volume:
            self.seen.voxels += math.prod((len(windows), *windows.shape[2:]))
            return network(windows)

        self.seen.shapes.append(image_MS.shape[1:])
        blocks, spent = super().blocks(image_MS, counting), 0.0
        while True:
            start = time.perf_counter()
            block = next(blocks, None)
            spent += time.perf_counter() - start
            if block is None:
                return
            if block.last:  # nobody asks for another
                self.seen.seconds.append(spent)
            yield block


def _mean_of(scores: Sequence[Scores]) -> Scores:
    """Of each structure the mean over the cases in which it has a value."""
    names = dict.fromkeys(name for one in scores for name in one)
    found = {name: [one[name] for one in scores if not math.isnan(one.get(name, math.nan))] for name in names}
    return {name: statistics.fmean(values) for name, values in found.items() if values}


def _trials(modalities: int, patch: Sequence[int], multiple: Sequence[int]) -> list[torch.Tensor]:
    """A window that is larger along every axis than those of training, and one of the least extents."""
    chance = torch.Generator().manual_seed(0)
    larger = [size + by for size, by in zip(patch, multiple, strict=True)]
    return [
        torch.randn(1, modalities, *shape, generator=chance) for shape in (larger, least_of(patch, multiple))
    ]


@torch.inference_mode()
def _answer(network: nn.Module, image: torch.Tensor) -> torch.Tensor:
    return logits_of(network.eval()(image)).float()
