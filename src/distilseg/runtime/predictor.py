"""An artefact in memory: scans in, label maps out, and no torch on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..data.planning.plan import Plan
from ..data.preparing.grid import Grid
from ..data.preparing.preprocess import Preprocessed, preprocess
from ..data.scans.scan import Scan
from ..errors import UserError, told_of
from ..functional.empty_windows import empty_once
from ..functional.window_options import check_volumes
from .artefact import Artefact, View, open_artefact
from .blocks import Block, Volume, everything, finite, whole
from .engine import Arrays, load_engine
from .handing_on import handed_on
from .inferers import Inferer, make_inferer
from .label_export import Classes, LabelMap, export, likeliest, painted
from .room import check_room
from .times import StageTimes


@dataclass(frozen=True, eq=False)
class ArtefactPredictor:
    """A network with everything needed to segment a scan, as `distilseg.predict.Predictor` in torch."""

    network: Arrays  # may lend its answers, see `load_engine`
    plan: Plan
    inferer: Inferer
    answers: str = "classes"  # what the logits are of: the plan's classes or its regions
    threads: int = 0  # for the label maps; 0: as many as there are processors, up to 8
    skip_empty: bool = False  # windows of one value are shown to the network once

    def segment(self, scans: Mapping[str, Scan], *, case: str) -> Classes:
        """Label values [I J K] on the grid of `scans` (by modality). Raises `UserError`, naming the case."""
        return self.ask(self.prepare(scans, case=case), case=case)()

    def prepare(self, scans: Mapping[str, Scan], *, case: str) -> Preprocessed:
        """What the network is shown, and the grid that leads back; `UserError` where memory is too small."""
        return preprocess(scans, None, self.plan, case=case, fits=partial(self._check_room, case=case))

    def ask(
        self, prepared: Preprocessed, *, case: str, times: StageTimes | None = None
    ) -> Callable[[], Classes]:
        """The network's stage: labels are made of each block of logits while it answers the next ones.

        What is returned does what is left to do and gives the label values, in whatever thread it is called.
        """
        self._check_room(prepared.grid, case=case, now=True)
        labels = LabelMap(prepared.grid, self.plan)
        blocks = self.blocks(prepared.image, case=case)
        finish = handed_on(blocks, partial(self._export, prepared.grid, labels), times or StageTimes())

        def finished() -> Classes:
            finish()
            return labels.labels

        return finished

    def blocks(self, image: Volume, *, case: str = "") -> Iterator[Block]:
        """Logits of a prepared image [M *S], block by block."""
        network = self.network
        if self.skip_empty:  # the answer for air is kept while others are asked for: it must not be lent
            network = empty_once(lambda shown: self.network(shown).copy(), np.stack)
        for block in self.inferer.blocks(image, network):
            if not finite(block.logits, self.threads):
                raise UserError(
                    f"case {case}: the network answers with NaN or infinite logits",
                    "does the scan hold absurd intensities? `distilseg check` says",
                )
            yield block

    def logits(self, image: Volume, *, case: str = "") -> Volume:
        """Logits [K *S] of a prepared image [M *S], all of them."""
        return whole(self.blocks(image, case=case), image.shape[1:])

    def labels(self, logits: Volume, grid: Grid) -> Classes:
        """Label values [I J K] on the original grid, in the smallest unsigned type, from logits [K *S]."""
        labels = LabelMap(grid, self.plan)
        self._export(grid, labels, everything(logits, len(grid.working_shape)))
        return labels.labels

    def needed_bytes(self, grid: Grid) -> int:
        """Memory that the network's stage of a case takes, beside its image."""
        names = self.plan.logits_of(self.answers)
        held = self.inferer.held_bytes(grid.working_shape, len(self.plan.modalities), len(names))
        return held + LabelMap.bytes_of(grid, self.plan)

    def _check_room(self, grid: Grid, *, case: str, now: bool = False) -> None:
        check_room(self.needed_bytes(grid), grid, self.plan.logits_of(self.answers), case=case, now=now)

    def _export(self, grid: Grid, labels: LabelMap, block: Block) -> None:
        decide = partial(painted, self.plan.paints) if self.answers == "regions" else likeliest
        export(block, grid.working_shape, labels.shape, decide, labels.put, threads=self.threads)


def load_artefact(
    path: Artefact | Path | str, *, threads: int = 0, device: str = "auto", skip_empty: bool = False
) -> ArtefactPredictor:
    """The predictor of an artefact for ONNX Runtime or OpenVINO, a folder or a zip.

    `threads`: of the network and of the label maps, 0 for what suits the machine. `device`: "auto" and "cpu"
    are the processor; "cuda" is for ONNX, "gpu" for OpenVINO. Raises UserError for an artefact that is
    damaged, an engine that is not installed, or one written for torch (`distilseg.predict` loads those).
    """
    artefact = path if isinstance(path, Artefact) else open_artefact(path)
    if len(artefact.views) > 1:
        raise UserError(f"{artefact.path} is of several views", "name it alone")
    if artefact.about.preparation != "plan":
        raise UserError(
            f"{artefact.path} prepares scans in the way of its makers ({artefact.about.preparation})",
            "name it alone",
        )
    return load_view(artefact, artefact.views[0], threads=threads, device=device, skip_empty=skip_empty)


def load_view(
    artefact: Artefact, view: View, *, threads: int = 0, device: str = "auto", skip_empty: bool = False
) -> ArtefactPredictor:
    """The predictor of one network of an artefact; options as of `load_artefact`."""
    engine = artefact.about.engine
    if engine == "torch":
        raise UserError(f"{artefact.path} was exported for torch", "export it --to onnx or openvino")
    plan = artefact.plan_of(view)
    classes = len(plan.logits_of(view.answers))
    with told_of(artefact.path):
        check_volumes(view.inferer)
        inferer = make_inferer(view.inferer, threads=threads, classes=classes)
    network = load_engine(engine, artefact.read, view.network, threads=threads, device=device, lend=True)
    held = _held_to(network, classes, view, artefact)
    return ArtefactPredictor(held, plan, inferer, view.answers, threads, skip_empty)


def _held_to(network: Arrays, named: int, view: View, artefact: Artefact) -> Arrays:
    """The network, whose every answer is refused unless it has `named` maps of the windows' size."""

    def answer(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        logits = network(windows)
        found, wanted = logits.shape, (len(windows), named, *windows.shape[2:])
        if found == wanted:
            return logits
        told = (
            f"tells {found[1]} {view.answers} apart, its plan names {named}"
            if len(found) == len(wanted) and found[1] != named
            else f"answers windows {list(windows.shape)} with {list(found)}"
        )
        raise UserError(
            f"{artefact.path}: the network {view.network} {told}", "export the run that it is of again"
        )

    return answer
