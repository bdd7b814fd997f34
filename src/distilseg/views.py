"""Several runs that answer as one: a network for each view of the volume, or for each organ.

The runs were trained apart, each on slabs or slices along its own axis (or on whatever patches it likes), on
cases prepared in one way. `inference/fusion.py` says how their answers become one. Of a vote every view's
label map is the one that `distilseg predict` writes for it alone, on the scan's own grid.

    Views           the runs in memory; predicts as a `Predictor` does
    load_views      the runs of some folders as one
    fused           a folder that reads like a run, so that the runs can be judged and compared as one

`fused-vote-1a2b3c4d` lies beside the first of its runs and names them; their weights stay where they are. Its
test cases are those of all of them. Judged once, `compare` and `report` find it. Its cost is that of all.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .data.planning.fused_plan import fused_plan, organ
from .data.planning.plan import Plan, load_plan, save_plan
from .data.preparing.grid import Grid
from .data.preparing.preprocess import Preprocessed
from .data.scans.scan import Scan
from .disk import no_link
from .errors import UserError
from .files import folder_written_whole, write_json
from .functional.fusions import check_fusion
from .inference.fusion import mean_of, organ_scores, thresholded, vote
from .inference.label_export import export_labels
from .inference.region_export import export_regions
from .predict import Predictor, load_predictor
from .runs import Run, open_run
from .runtime.label_export import restored_labels
from .runtime.pipeline import Finish, asked_at_once
from .runtime.times import StageTimes

# Logarithms and logits of probabilities stay finite.
_TINY, _ROUNDING = torch.finfo(torch.float32).tiny, torch.finfo(torch.float32).eps


@dataclass(frozen=True, eq=False)
class Views:
    """Predictors that answer as one; they share the preparation, and the labels unless they are of organs."""

    predictors: tuple[Predictor, ...]
    plan: Plan  # what the fused labels are of
    how: str = "vote"
    threshold: float = 0.5

    def segment(self, scans: Mapping[str, Scan], *, case: str) -> NDArray[np.unsignedinteger[Any]]:
        """Label values [I J K] on the grid of `scans` (by modality). Raises `UserError`, naming the case."""
        prepared = self.prepare(scans, case=case)
        return self.labels(self.logits(prepared.image, case=case), prepared.grid)

    def ask(self, prepared: Preprocessed, *, case: str, times: StageTimes | None = None) -> Finish:
        """The network's stage: all logits at once; what is returned makes the label map of them."""
        return asked_at_once(self, prepared, case=case, times=times)

    def prepare(self, scans: Mapping[str, Scan], *, case: str) -> Preprocessed:
        """What each network is shown, and the grid that leads back."""
        return self.predictors[0].prepare(scans, case=case)

    @torch.inference_mode()
    def logits(self, image: NDArray[np.float32] | Tensor, *, case: str = "") -> Tensor:
        """Of a vote the logits of each view, [V K *S]; else those of what was fused, [K *S]."""
        answers = (predictor.logits(image, case=case) for predictor in self.predictors)
        if self.how == "vote":
            return torch.stack(list(answers))
        if self.how == "organs":
            return self._organs(list(answers))
        total: Tensor | None = None
        for logits in answers:
            total = self._probabilities(logits) if total is None else total.add_(self._probabilities(logits))
        assert total is not None
        p_KS = total.div_(len(self.predictors))
        if self._of_regions:
            at = self.threshold if self.how == "threshold" else 0.5
            return p_KS.logit_(_ROUNDING) - torch.tensor(at).logit()
        if self.how == "threshold":
            p_KS = thresholded(p_KS, self.threshold)
        return p_KS.clamp_(min=_TINY).log_()

    @torch.inference_mode()
    def labels(self, logits: Tensor, grid: Grid) -> NDArray[np.unsignedinteger[Any]]:
        """Label values [I J K] on the original grid, in the smallest unsigned type, from `logits`."""
        if self.how == "vote":
            voted = self._voted(logits, grid.cropped_shape)
            return restored_labels(voted.cpu().numpy(), grid, self.plan)
        if self.how == "organs":
            exported = export_labels(logits, grid.cropped_shape)
            return restored_labels(exported.cpu().numpy(), grid, self.plan)
        return self.predictors[0].labels(logits, grid)

    def _voted(self, logits_VKS: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Class indices on the cropped grid; of regions each is voted upon, then painted."""
        if not self._of_regions:
            maps = [export_labels(logits, shape) for logits in logits_VKS]
            return vote(maps, mean_of([logits.float().softmax(0) for logits in logits_VKS]))
        classes = torch.zeros(shape, dtype=torch.uint8, device=logits_VKS.device)
        for r, k in enumerate(self.plan.paints):
            masks = [export_regions(logits[r : r + 1], shape, (1,)) for logits in logits_VKS]
            p_S = logits_VKS[:, r].float().sigmoid().mean(0)
            classes.masked_fill_(vote(masks, torch.stack([1 - p_S, p_S])) > 0, k)
        return classes

    def _organs(self, answers: Sequence[Tensor]) -> Tensor:
        """Log-probabilities [1 + O *S] of the threshold and the organs; runs of one organ are its views."""
        of: dict[str, list[Tensor]] = {}
        for predictor, logits in zip(self.predictors, answers, strict=True):
            p_KS = self._probabilities(logits, predictor)
            of.setdefault(organ(predictor.plan), []).append(p_KS[-1])
        scores = organ_scores([mean_of(of[name]) for name in self.plan.classes[1:]], self.threshold)
        return scores.clamp_(min=_TINY).log_()

    def _probabilities(self, logits: Tensor, predictor: Predictor | None = None) -> Tensor:
        answers = (predictor or self.predictors[0]).answers
        return logits.float().sigmoid() if answers == "regions" else logits.float().softmax(0)

    @property
    def _of_regions(self) -> bool:
        return self.predictors[0].answers == "regions"


def load_views(
    folders: Sequence[Path | str],
    how: str = "vote",
    *,
    threshold: float = 0.5,
    weights: str = "best",
    device: str = "auto",
    trust: str | None = None,
    skip_empty: bool = False,
) -> Views:
    """The runs in `folders` as one; options as of `load_predictor`.

    Raises UserError where the runs were prepared differently or, but for "organs", tell different labels
    apart.
    """
    check_fusion(how, threshold)
    runs = [open_run(folder) for folder in folders]
    plan = _shared_plan(runs, how)
    told: dict[str, Any] = {"weights": weights, "device": device, "trust": trust, "skip_empty": skip_empty}
    loaded = [load_predictor(run.folder, **told) for run in runs]
    for run, predictor in zip(runs, loaded, strict=True):
        if how != "organs" and predictor.answers != loaded[0].answers:
            raise UserError(
                f"{runs[0].name} answers {loaded[0].answers}, {run.name} {predictor.answers}",
                "fuse runs of one recipe",
            )
    return Views(tuple(loaded), plan, how, threshold)


def load_segmenter(
    run: Run,
    *,
    weights: str = "best",
    device: str = "auto",
    trust: str | None = None,
    skip_empty: bool = False,
) -> Predictor | Views:
    """Of a run its predictor, of a folder that `fused` made its runs as one."""
    if not is_fused(run):
        return load_predictor(run.folder, weights=weights, device=device, trust=trust, skip_empty=skip_empty)
    fusion = run.read(run.experiment)["fusion"]
    return load_views(
        [member.folder for member in members(run)],
        fusion["how"],
        threshold=fusion["threshold"],
        weights=weights,
        device=device,
        trust=trust,
        skip_empty=skip_empty,
    )


def fused(folders: Sequence[Path | str], how: str = "vote", *, threshold: float = 0.5) -> Run:
    """The runs in `folders` as one that can be judged, found or made.

    Raises UserError as `load_views`, and where no case was a test case of all of them.
    """
    check_fusion(how, threshold)
    runs = [open_run(folder) for folder in folders]
    plan = _shared_plan(runs, how)
    for run in runs:
        if is_fused(run) or not run.best.is_file():
            raise UserError(
                f"{run.folder} has no trained weights of its own", "name finished runs of `distilseg train`"
            )
    splits = [run.read(run.split) for run in runs]
    test = [case for case in splits[0]["test"] if all(case in split["test"] for split in splits)]
    if not test:
        raise UserError(
            f"no case is a test case of all of {', '.join(run.name for run in runs)}",
            "train the views on one split",
        )
    beside = runs[0].folder.parent
    places = sorted(os.path.relpath(run.folder, beside) for run in runs)
    digest = hashlib.sha256(f"{places} {threshold if _thresholds(how) else ''}".encode()).hexdigest()[:8]
    whole = Run(beside / f"fused-{how}-{digest}")
    no_link(whole.folder)
    if whole.experiment.is_file():
        return whole
    with folder_written_whole(whole.folder) as aside:
        inside = Run(aside)
        save_plan(inside.plan, plan)
        write_json(inside.split, _together(splits, test))
        if all(run.finished for run in runs):
            write_json(inside.status, _spent(runs))
        write_json(inside.experiment, _about(runs, whole, how, threshold))
    return whole


def is_fused(run: Run) -> bool:
    """Whether the folder stands for several runs."""
    return "fusion" in run.read(run.experiment)


def members(run: Run) -> list[Run]:
    """The runs that a fused one stands for, where they lie now; of any other run itself.

    A fused run names the others by relative paths, upwards too: they are read, and never written to.
    """
    if not is_fused(run):
        return [run]
    return [open_run(run.folder.parent / place) for place in run.read(run.experiment)["fusion"]["runs"]]


def _shared_plan(runs: Sequence[Run], how: str) -> Plan:
    """The plan of the fused labels; raises UserError where the runs do not go together."""
    if len(runs) < 2 or len({run.folder.resolve() for run in runs}) < len(runs):
        raise UserError(
            f"{', '.join(run.name for run in runs)} cannot be fused", "name two different runs or more"
        )
    return fused_plan([run.name for run in runs], [load_plan(run.plan) for run in runs], how)


def _thresholds(how: str) -> bool:
    return how in ("threshold", "organs")


def _together(splits: Sequence[Mapping[str, list[str]]], test: list[str]) -> dict[str, list[str]]:
    """What shaped any of the runs shaped the whole."""
    train = list(dict.fromkeys(case for split in splits for case in split["train"]))
    validation = dict.fromkeys(case for split in splits for case in split["validation"])
    return {"train": train, "validation": [case for case in validation if case not in train], "test": test}


def _spent(runs: Sequence[Run]) -> dict[str, Any]:
    status = [run.read(run.status) for run in runs]
    return {
        **{name: sum(of.get(name, 0) for of in status) for name in ("steps", "patches", "seconds")},
        "stopped_because": f"{len(runs)} runs fused",
    }


def _about(runs: Sequence[Run], whole: Run, how: str, threshold: float) -> dict[str, Any]:
    """The first run's experiment, its options those that all share."""
    about = [run.read(run.experiment) for run in runs]
    options = [of.get("options", {}) for of in about]
    shared = {
        name: value
        for name, value in options[0].items()
        if all(name in of and of[name] == value for of in options)
    }
    told = f"{how} of {len(runs)}" + (f" at {threshold:g}" if _thresholds(how) else "")
    networks = {f"view_{n}": of.get("networks", {}).get("student") for n, of in enumerate(about)}
    places = [os.path.relpath(run.folder, whole.folder.parent) for run in runs]
    return {
        **about[0],
        "options": {**shared, "fused": told},
        "networks": networks,
        "control": None,
        "fusion": {"how": how, "threshold": threshold, "runs": places},
    }
