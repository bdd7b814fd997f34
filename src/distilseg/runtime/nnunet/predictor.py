"""An nnU-Net model in an artefact, in memory: scans in, label maps out, as nnU-Net itself makes them.

A cascade's first stage answers while its second is prepared: its labels are part of what that is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data.planning.plan import Plan
from ...data.preparing.grid import Grid
from ...data.preparing.preprocess import Preprocessed
from ...data.scans.scan import Scan
from ...errors import UserError
from ...functional.empty_windows import empty_once
from ...scratch import heads_of
from ..artefact import PREPARATION, Artefact
from ..engine import Arrays, load_engine
from ..pipeline import Finish, asked_at_once
from ..times import StageTimes
from .blend import blended, mean_over_flips
from .preparation import Stage, Way
from .prepare import WorkingGrid, in_order, prepare, working_spacing
from .resample import coarse_axis
from .restore import label_map


@dataclass(frozen=True, eq=False)
class NnUNetPredictor:
    """Signs `runtime.pipeline.Segmenter`."""

    network: Arrays  # may lend its answers, see `load_engine`
    plan: Plan  # for people: what is shown, what labels are called
    way: Way
    stage: Stage
    previous: NnUNetPredictor | None = None
    threads: int = 0  # for windows and label maps; 0: as many as there are processors, up to 8
    skip_empty: bool = False  # windows of one value are shown to the network once

    @property
    def answers(self) -> str:
        """What the logits are of: classes or regions."""
        return self.stage.answers

    def segment(self, scans: Mapping[str, Scan], *, case: str) -> NDArray[np.unsignedinteger[Any]]:
        """Label values [I J K] on the grid of `scans` (by modality). Raises `UserError`, naming the case."""
        return self.ask(self.prepare(scans, case=case), case=case)()

    def prepare(self, scans: Mapping[str, Scan], *, case: str) -> Preprocessed:
        """What the network is shown, and the grid that leads back."""
        return prepare(
            in_order(scans, self.way.modalities, case=case),
            self.stage.preparation,
            self.way.orientation,
            case=case,
            first_stage=None if self.previous is None else self.previous.segment(scans, case=case),
            foreground=self.stage.foreground,
        )

    def ask(self, prepared: Preprocessed, *, case: str, times: StageTimes | None = None) -> Finish:
        """The network's stage; what is returned makes the labels."""
        return asked_at_once(self, prepared, case=case, times=times)

    def logits(self, image: NDArray[np.float32], *, case: str = "") -> NDArray[np.float32]:
        """Logits [K *W] of a prepared image [M *W]."""
        network = self.network
        if self.skip_empty:  # the answer for air is kept while others are asked for: it must not be lent
            network = empty_once(lambda shown: self.network(shown).copy(), np.stack)
        logits = blended(
            image,
            [lambda window: mean_over_flips(window, network, self.stage.mirrored)[0]],
            len(self.stage.paints),
            self.stage.preparation.patch,
            step=self.stage.step,
            threads=self.threads,
        )
        if not all(
            np.isfinite(logits_W.min()) and np.isfinite(logits_W.max()) for logits_W in heads_of(logits)
        ):
            raise UserError(
                f"case {case}: the network answers with NaN or infinite logits",
                "does the scan hold absurd intensities? `distilseg check` says",
            )
        return logits

    def labels(self, logits: NDArray[np.float32], grid: Grid) -> NDArray[np.unsignedinteger[Any]]:
        """Label values [I J K] on the original grid, in the smallest unsigned type, from logits [K *W]."""
        assert isinstance(grid, WorkingGrid)
        how, spacing = self.stage.preparation, grid.cropped_spacing_mm
        labels = label_map(
            logits,
            grid.cropped_shape,
            how.logits,
            coarse_axis(how.logits, working_spacing(how, spacing), spacing),
            self.stage.paints,
            regions=self.stage.answers == "regions",
            threads=self.threads,
        )
        restored: NDArray[np.unsignedinteger[Any]] = grid.restore(labels)
        return restored


def load_nnunet(
    artefact: Artefact, *, threads: int = 0, device: str = "auto", skip_empty: bool = False
) -> NnUNetPredictor:
    """The predictor of an artefact that prepares as nnU-Net does; options as of `load_shipped`."""
    way = Way.read(artefact.read(PREPARATION), artefact.path / PREPARATION)
    loaded: NnUNetPredictor | None = None
    for stage in way.stages:
        network = load_engine(
            artefact.about.engine, artefact.read, stage.network, threads=threads, device=device, lend=True
        )
        held = _held_to(network, stage, artefact)
        loaded = NnUNetPredictor(held, artefact.plan, way, stage, loaded, threads, skip_empty)
    assert loaded is not None
    return loaded


def _held_to(network: Arrays, stage: Stage, artefact: Artefact) -> Arrays:
    """The network, whose every answer is refused unless it has as many maps of the windows' size as labels
    are painted."""

    def answer(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        logits = network(windows)
        wanted = (len(windows), len(stage.paints), *windows.shape[2:])
        if logits.shape != wanted:
            raise UserError(
                f"{artefact.path}: the network {stage.network} answers windows {list(windows.shape)} with"
                f" {list(logits.shape)}, its {PREPARATION} names {len(stage.paints)} {stage.answers}",
                "export the model that it is of again",
            )
        return logits

    return answer
