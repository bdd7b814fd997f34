"""Scans in, label maps out: in the values, the space, the orientation and the file type of each scan.

Predictor           one case in memory: prepare -> logits -> labels, or all three as `segment`
load_predictor      the predictor of a run folder
predict_files       files or folders: loads once and predicts many (`runtime/pipeline.py`)
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .data.planning.plan import Plan, load_plan
from .data.preparing.grid import Grid
from .data.preparing.preprocess import Preprocessed, preprocess
from .data.scans.scan import Scan
from .errors import UserError, told_of, unknown
from .functional.empty_windows import empty_once
from .functional.window_options import check_volumes
from .inference.build import make_inferer
from .inference.denormals import denormals_flushed
from .inference.inferer import Inferer, Network, logits_of
from .inference.label_export import export_labels
from .inference.region_export import export_regions
from .names import component
from .networks.build import NetworkSpec
from .networks.checkpoint import load_network
from .networks.modality_encoders import any_subset
from .runs import open_run
from .runtime.artefact import PLAN, Artefact, open_artefact
from .runtime.jobs import Job, PredictSummary, place
from .runtime.label_export import restored_labels
from .runtime.pipeline import Finish, Segmenter, asked_at_once, predict_files, predict_jobs
from .runtime.times import StageTimes

__all__ = [
    "DEVICES",
    "WEIGHTS",
    "Job",
    "PredictSummary",
    "Predictor",
    "Segmenter",
    "load_predictor",
    "load_torch_artefact",
    "place",
    "predict_files",
    "predict_jobs",
]

DEVICES = ("auto", "cpu", "cuda", "mps")
WEIGHTS = ("best", "last")
Answers = Literal["classes", "regions"]


@dataclass(frozen=True, eq=False)
class Predictor:
    """A trained network with everything needed to segment a scan; the network is in evaluation mode."""

    network: nn.Module
    plan: Plan
    inferer: Inferer
    device: torch.device
    answers: str = "classes"  # what the logits are of: the plan's classes or its regions
    skip_empty: bool = False  # windows of one value are shown to the network once

    def segment(self, scans: Mapping[str, Scan], *, case: str) -> NDArray[np.unsignedinteger[Any]]:
        """Label values [I J K] on the grid of `scans` (by modality). Raises `UserError`, naming the case."""
        prepared = self.prepare(scans, case=case)
        return self.labels(self.logits(prepared.image, case=case), prepared.grid)

    def ask(self, prepared: Preprocessed, *, case: str, times: StageTimes | None = None) -> Finish:
        """The network's stage: all logits at once; what is returned makes the label map of them."""
        return asked_at_once(self, prepared, case=case, times=times)

    def prepare(self, scans: Mapping[str, Scan], *, case: str) -> Preprocessed:
        """What the network is shown, and the grid that leads back.

        A network for any subset of modalities is shown NaN in the place of those that `scans` lacks.
        """
        present = [name for name in self.plan.modalities if name in scans]
        if not present or len(present) == len(self.plan.modalities) or not any_subset(self.network):
            return preprocess(scans, None, self.plan, case=case)
        found = preprocess(scans, None, self.plan.seeing(present), case=case)
        image = np.full((len(self.plan.modalities), *found.image.shape[1:]), np.nan, np.float32)
        image[[self.plan.modalities.index(name) for name in present]] = found.image
        return Preprocessed(image, None, found.grid)

    @torch.inference_mode()
    def logits(self, image: NDArray[np.float32] | Tensor, *, case: str = "") -> Tensor:
        """Logits [K *S] of a prepared image [M *S], on the predictor's device."""
        self.network.eval()
        with denormals_flushed():
            logits = self.inferer(torch.as_tensor(image)[None].to(self.device), self._shown())[0]
        if not logits.isfinite().all():
            raise UserError(
                f"case {case}: the network answers with NaN or infinite logits",
                "its weights are damaged or its training diverged; try other weights",
            )
        return logits

    def _shown(self) -> Network:
        if not self.skip_empty:
            return self.network
        return empty_once(lambda windows: logits_of(self.network(windows)), torch.stack)

    @torch.inference_mode()
    def labels(self, logits: Tensor, grid: Grid) -> NDArray[np.unsignedinteger[Any]]:
        """Label values [I J K] on the original grid, in the smallest unsigned type, from logits [K *S]."""
        if self.answers == "regions":
            exported = export_regions(logits, grid.cropped_shape, self.plan.paints)
        else:
            exported = export_labels(logits, grid.cropped_shape)
        return restored_labels(exported.cpu().numpy(), grid, self.plan)


def load_predictor(
    run_folder: Path | str,
    *,
    weights: str = "best",
    device: str = "auto",
    trust: str | None = None,
    skip_empty: bool = False,
) -> Predictor:
    """The predictor of a run: its plan, its inferer and its best (or last) weights.

    `trust` is that of `networks.checkpoint.load_network`.
    """
    run = open_run(run_folder)
    if weights not in WEIGHTS:
        raise unknown("weights", weights, WEIGHTS)
    path = run.best if weights == "best" else run.last
    if not path.is_file():
        raise UserError(
            f"{run.folder} has no {path.name}, so it has no trained weights yet",
            "repeat its `distilseg train` command, it resumes",
        )
    where = device_named(device)
    about, plan = run.read(run.experiment), load_plan(run.plan)
    answers = about.get("answers", "classes")
    if answers not in get_args(Answers):
        raise unknown(f"kind of answers in {run.experiment}", answers, get_args(Answers))
    with told_of(run.experiment):
        check_volumes(about.get("inferer"))
        inferer = make_inferer(about["inferer"])
    network, spec, extra = load_network(path, trust=trust)
    _check_fits(path, spec, extra, run.plan, plan, answers)
    return Predictor(network.to(where), plan, inferer, where, answers, skip_empty)


def _check_fits(
    path: Path, spec: NetworkSpec, extra: Mapping[str, Any], plan_path: Path, plan: Plan, answers: str
) -> None:
    """Raises UserError where weights are of other modalities, classes or windows than their plan names."""
    logits = len(plan.logits_of(answers))
    if (learned := tuple(extra.get("modalities", plan.modalities))) != plan.modalities:
        raise UserError(
            f"{path} learned from {', '.join(learned)}, {plan_path} gives it {', '.join(plan.modalities)}",
            "the order of the modalities matters: restore the plan that the run was trained with",
        )
    if (spec.in_channels, spec.classes) != (len(plan.modalities), logits):
        raise UserError(
            f"{path} takes {spec.in_channels} modalities and tells {spec.classes} {answers} apart,"
            f" {plan_path} names {len(plan.modalities)} and {logits}",
            "restore the plan that the run was trained with",
        )
    planned = plan.network_tissue_windows()
    if len(planned) != len(spec.tissue_windows) or not np.allclose(planned, spec.tissue_windows):
        raise UserError(
            f"{path} was trained with other tissue windows than {plan_path} names",
            "restore the plan that the run was trained with",
        )


def load_torch_artefact(
    path: Artefact | Path | str, *, device: str = "auto", trust: str | None = None, skip_empty: bool = False
) -> Predictor:
    """The predictor of an artefact that was exported for torch; see `runtime.predictor` for the others."""
    artefact = path if isinstance(path, Artefact) else open_artefact(path)
    about, where = artefact.about, device_named(device)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / component(about.network, kind="file")
        weights.write_bytes(artefact.read(about.network))
        network, spec, extra = load_network(weights, trust=trust)
    named = artefact.path / about.network
    _check_fits(named, spec, extra, artefact.path / PLAN, artefact.plan, about.answers)
    with told_of(artefact.path):
        check_volumes(about.inferer)
        inferer = make_inferer(about.inferer)
    return Predictor(network.to(where), artefact.plan, inferer, where, about.answers, skip_empty)


def device_named(name: str) -> torch.device:
    """The device that one of `DEVICES` means here; raises `UserError` where this machine has none such."""
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name not in DEVICES:
        raise unknown("device", name, DEVICES)
    if name == "auto":
        name = next(device for device, there in available.items() if there)
    if not available[name]:
        raise UserError(f"this machine has no {name} device", "use --device cpu, or auto")
    return torch.device(name)
