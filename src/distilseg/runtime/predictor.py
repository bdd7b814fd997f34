"""An artefact in memory: scans in, label maps out, and no torch on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.planning.plan import Plan
from ..data.preparing.grid import Grid
from ..data.preparing.preprocess import Preprocessed, preprocess
from ..data.scans.scan import Scan
from ..errors import UserError
from ..functional.empty_windows import empty_once
from ..functional.window_options import check_volumes
from .artefact import Artefact, View, open_artefact
from .engine import Arrays, load_engine
from .inferers import Inferer, make_inferer
from .label_export import export_labels, export_regions, restored_labels


@dataclass(frozen=True, eq=False)
class ArtefactPredictor:
    """A network with everything needed to segment a scan, as `distilseg.predict.Predictor` in torch."""

    network: Arrays  # may lend its answers, see `load_engine`
    plan: Plan
    inferer: Inferer
    answers: str = "classes"  # what the logits are of: the plan's classes or its regions
    threads: int = 0  # for the label maps; 0: as many as there are processors, up to 8
    skip_empty: bool = False  # windows of one value are shown to the network once

    def segment(self, scans: Mapping[str, Scan], *, case: str) -> NDArray[np.unsignedinteger[Any]]:
        """Label values [I J K] on the grid of `scans` (by modality). Raises `UserError`, naming the case."""
        prepared = self.prepare(scans, case=case)
        return self.labels(self.logits(prepared.image, case=case), prepared.grid)

    def prepare(self, scans: Mapping[str, Scan], *, case: str) -> Preprocessed:
        """What the network is shown, and the grid that leads back."""
        return preprocess(scans, None, self.plan, case=case)

    def logits(self, image: NDArray[np.float32], *, case: str = "") -> NDArray[np.float32]:
        """Logits [K *S] of a prepared image [M *S]."""
        network = self.network
        if self.skip_empty:  # the answer for air is kept while others are asked for: it must not be lent
            network = empty_once(lambda shown: self.network(shown).copy(), np.stack)
        logits = self.inferer(image, network)
        if not (np.isfinite(logits.min()) and np.isfinite(logits.max())):
            raise UserError(
                f"case {case}: the network answers with NaN or infinite logits",
                "does the scan hold absurd intensities? `distilseg check` says",
            )
        return logits

    def labels(self, logits: NDArray[np.float32], grid: Grid) -> NDArray[np.unsignedinteger[Any]]:
        """Label values [I J K] on the original grid, in the smallest unsigned type, from logits [K *S]."""
        if self.answers == "regions":
            paints = self.plan.paints
            exported = export_regions(logits, grid.cropped_shape, paints, threads=self.threads)
        else:
            exported = export_labels(logits, grid.cropped_shape, threads=self.threads)
        return restored_labels(exported, grid, self.plan)


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
    check_volumes(view.inferer)
    inferer, plan = make_inferer(view.inferer, threads=threads), artefact.plan_of(view)
    network = load_engine(engine, artefact.read, view.network, threads=threads, device=device, lend=True)
    held = _held_to(network, len(plan.logits_of(view.answers)), view, artefact)
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
