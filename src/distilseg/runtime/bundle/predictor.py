"""A MONAI bundle in an artefact, in memory: scans in, label maps out, as the bundle itself makes them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data.planning.plan import Plan
from ...data.preparing.grid import Grid
from ...data.preparing.preprocess import Preprocessed, same_grid
from ...data.scans.scan import Scan
from ...errors import UserError
from ...functional.empty_windows import empty_once
from ..artefact import PREPARATION, Artefact
from ..engine import Arrays, load_engine
from ..pipeline import Finish, asked_at_once
from ..room import check_room
from ..times import StageTimes
from .shown import Shown, Volume, shown
from .way import Way


@dataclass(frozen=True)
class ShownGrid(Grid):
    """The way back of what was shown; the box is the whole scan, as steps know themselves what they cut."""

    way_back: Shown | None = None  # without its image


@dataclass(frozen=True, eq=False)
class BundlePredictor:
    """Signs `runtime.pipeline.Segmenter`."""

    network: Arrays  # may lend its answers, see `load_engine`
    plan: Plan  # for people: what is shown, what labels are called
    way: Way
    threads: int = 0  # of the network; 0: what suits the machine
    skip_empty: bool = False  # windows of one value are shown to the network once

    @property
    def answers(self) -> str:
        """What the logits are of: classes or regions."""
        return "classes" if self.way.post.activation == "softmax" else "regions"

    def segment(self, scans: Mapping[str, Scan], *, case: str) -> NDArray[np.unsignedinteger[Any]]:
        """Label values [I J K] on the grid of `scans` (by modality). Raises `UserError`, naming the case."""
        return self.ask(self.prepare(scans, case=case), case=case)()

    def prepare(self, scans: Mapping[str, Scan], *, case: str) -> Preprocessed:
        """What the network is shown, and the grid that leads back."""
        missing = [name for name in self.way.modalities if name not in scans]
        if missing:
            raise UserError(
                f"case {case}: modality {', '.join(missing)} is missing; it has {', '.join(scans) or 'none'}",
                f"the model is shown {', '.join(self.way.modalities)}",
            )
        given = {name: scans[name] for name in self.way.modalities}
        same_grid(given, case)
        first = next(iter(given.values()))
        if len(first.geometry.shape) != 3 or 0 in first.geometry.shape:
            raise UserError(
                f"case {case}: {first.path.name} has shape {first.geometry.shape}",
                "a scan needs three axes of voxels",
            )
        state = prepared(list(given.values()), self.way.steps, case=case)
        shape = tuple(int(n) for n in first.geometry.shape)
        affine = tuple(tuple(float(entry) for entry in row) for row in first.geometry.affine)
        grid = ShownGrid(
            shape,
            affine,
            (0, 1, 2),
            (False,) * 3,
            tuple((0, n) for n in shape),
            state.shape,
            replace(state, image=state.image[:0]),
        )
        return Preprocessed(np.ascontiguousarray(state.image), None, grid)

    def ask(self, prepared: Preprocessed, *, case: str, times: StageTimes | None = None) -> Finish:
        """The network's stage; what is returned makes the labels. All logits are held, on two grids."""
        grid, classes = prepared.grid, list(self.plan.labels.values())
        voxels = math.prod(grid.working_shape) + math.prod(grid.original_shape)
        check_room(4 * len(classes) * voxels, grid, classes, case=case, now=True)
        return asked_at_once(self, prepared, case=case, times=times)

    def logits(self, image: Volume, *, case: str = "") -> Volume:
        """Logits [K *W] of a prepared image [M *W]."""
        network = self.network
        if self.skip_empty:  # the answer for air is kept while others are asked for: it must not be lent
            network = empty_once(lambda seen: self.network(seen).copy(), np.stack)
        logits = mean_over_flips(image, lambda seen: self.way.windows(seen, network), self.way.mirror)
        if not (np.isfinite(logits.min()) and np.isfinite(logits.max())):
            raise UserError(
                f"case {case}: the network answers with NaN or infinite logits",
                "does the scan hold absurd intensities? `distilseg check` says",
            )
        return logits

    def labels(self, logits: Volume, grid: Grid) -> NDArray[np.unsignedinteger[Any]]:
        """Label values [I J K] on the original grid, in the smallest unsigned type, from logits [K *W]."""
        assert isinstance(grid, ShownGrid)
        assert grid.way_back is not None
        return self.way.post.labels(logits, grid.way_back, self.way.paints)


def prepared(scans: Sequence[Scan], steps: Sequence[Callable[[Shown, str], Shown]], *, case: str) -> Shown:
    """The scans of one case, in the order of the bundle's channels, after all `steps`."""
    image = np.stack([np.asarray(scan.array, np.float32) for scan in scans])
    if not np.isfinite(image).all():
        raise UserError(
            f"case {case}: the scan holds voxels that are NaN or infinite",
            "`distilseg check` shows where; repair it",
        )
    state = shown(image, np.asarray(scans[0].geometry.affine, np.float64))
    for step in steps:
        state = step(state, case)
    return state


def mean_over_flips(image: Volume, answer: Callable[[Volume], Volume], mirror: bool) -> Volume:
    """What `answer` [K *S] says of an image [M *S]; with `mirror` the mean over all its mirrorings."""
    total = answer(image)
    if not mirror:
        return total
    axes = range(1, image.ndim)
    flips = [f for n in range(1, len(axes) + 1) for f in itertools.combinations(axes, n)]
    for flip in flips:
        total += np.flip(answer(np.flip(image, flip)), flip)
    total /= len(flips) + 1
    return total


def load_bundle(
    artefact: Artefact, *, threads: int = 0, device: str = "auto", skip_empty: bool = False
) -> BundlePredictor:
    """The predictor of an artefact that prepares as a MONAI bundle does; options as of `load_shipped`."""
    way = Way.read(artefact.read(PREPARATION), artefact.path / PREPARATION)
    engine = artefact.about.engine
    network = load_engine(engine, artefact.read, way.network, threads=threads, device=device, lend=True)

    def held(windows: Volume) -> Volume:
        logits = network(windows)
        if logits.shape != (len(windows), len(way.paints), *windows.shape[2:]):
            raise UserError(
                f"{artefact.path}: the network {way.network} answers windows {list(windows.shape)} with"
                f" {list(logits.shape)}, its {PREPARATION} names {len(way.paints)} classes or regions",
                "export the model that it is of again",
            )
        return logits

    return BundlePredictor(held, artefact.plan, way, threads, skip_empty)
