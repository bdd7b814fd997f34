"""Several artefacts, or several networks in one, that answer as one: `distilseg.views.Views` on NumPy.

`inference/fusion.py` says how their answers become one; tests hold these to those in torch.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..data.planning.fused_plan import fused_plan, organ
from ..data.planning.plan import Plan
from ..data.preparing.grid import Grid
from ..data.preparing.preprocess import Preprocessed
from ..data.preparing.resample import sources
from ..data.scans.scan import Scan
from ..errors import UserError
from ..functional.fusions import check_fusion
from .artefact import Artefact, open_artefact
from .inferers import Volume, logits_of_mean, to_average
from .label_export import Classes, export_labels, export_regions, restored_labels
from .predictor import ArtefactPredictor, load_artefact, load_view

if TYPE_CHECKING:
    from .bundle.predictor import BundlePredictor
    from .nnunet.predictor import NnUNetPredictor


@dataclass(frozen=True, eq=False)
class ArtefactViews:
    """Artefacts that answer as one; they share the preparation, and the labels unless they are of organs."""

    predictors: tuple[ArtefactPredictor, ...]
    plan: Plan  # what the fused labels are of
    how: str = "vote"
    threshold: float = 0.5

    def segment(self, scans: Mapping[str, Scan], *, case: str) -> NDArray[np.unsignedinteger[Any]]:
        """Label values [I J K] on the grid of `scans` (by modality). Raises `UserError`, naming the case."""
        prepared = self.prepare(scans, case=case)
        return self.labels(self.logits(prepared.image, case=case), prepared.grid)

    def prepare(self, scans: Mapping[str, Scan], *, case: str) -> Preprocessed:
        """What each network is shown, and the grid that leads back."""
        return self.predictors[0].prepare(scans, case=case)

    def logits(self, image: Volume, *, case: str = "") -> Volume:
        """Of a vote the logits of each view, [V K *S]; else those of what was fused, [K *S]."""
        answers = (predictor.logits(image, case=case) for predictor in self.predictors)
        if self.how == "vote":
            return np.stack(list(answers))
        if self.how == "organs":
            return self._organs(list(answers))
        p_KS = reduce(np.add, map(self._probabilities, answers)) / np.float32(len(self.predictors))
        if self._of_regions:
            at = self.threshold if self.how == "threshold" else 0.5
            return logits_of_mean(p_KS, "probabilities", "sigmoid") - np.float32(np.log(at / (1 - at)))
        if self.how == "threshold":
            p_KS[0] = self.threshold
        return logits_of_mean(p_KS, "probabilities", "softmax")

    def labels(self, logits: Volume, grid: Grid) -> NDArray[np.unsignedinteger[Any]]:
        """Label values [I J K] on the original grid, in the smallest unsigned type, from `logits`."""
        if self.how == "vote":
            return restored_labels(self._voted(logits, grid.cropped_shape), grid, self.plan)
        if self.how == "organs":
            return restored_labels(self._exported(logits, grid.cropped_shape), grid, self.plan)
        return self.predictors[0].labels(logits, grid)

    def _voted(self, logits_VKS: Volume, shape: tuple[int, ...]) -> Classes:
        """Class indices on the cropped grid; of regions each is voted upon, then painted."""
        p_KS = self._probabilities(logits_VKS.copy()).mean(0)
        if not self._of_regions:
            return vote([self._exported(logits, shape) for logits in logits_VKS], p_KS)
        classes = np.zeros(shape, np.uint8)
        for r, k in enumerate(self.plan.paints):
            masks = [
                export_regions(logits[r : r + 1], shape, (1,), threads=self._threads) for logits in logits_VKS
            ]
            classes[vote(masks, np.stack([1 - p_KS[r], p_KS[r]])) > 0] = k
        return classes

    def _organs(self, answers: Sequence[Volume]) -> Volume:
        """Log-probabilities [1 + O *S] of the threshold and the organs; models of one organ are its views."""
        of: dict[str, list[Volume]] = {}
        for predictor, logits in zip(self.predictors, answers, strict=True):
            p_KS = self._probabilities(logits, predictor)
            of.setdefault(organ(predictor.plan), []).append(p_KS[-1])
        p_OS = np.stack([np.mean(of[name], 0) for name in self.plan.classes[1:]])
        threshold_S = np.full_like(p_OS[:1], self.threshold)
        return logits_of_mean(np.concatenate([threshold_S, p_OS]), "probabilities", "softmax")

    def _probabilities(self, logits: Volume, predictor: ArtefactPredictor | None = None) -> Volume:
        """Of logits [K *S] or [V K *S], which are overwritten."""
        of_regions = (predictor or self.predictors[0]).answers == "regions"
        several = logits if logits.ndim > 1 + len(self.plan.patch) else logits[None]
        p_VKS = to_average(several, "probabilities", "sigmoid" if of_regions else "softmax")
        return p_VKS.reshape(logits.shape)

    def _exported(self, logits: Volume, shape: tuple[int, ...]) -> Classes:
        return export_labels(logits, shape, threads=self._threads)

    @property
    def _threads(self) -> int:
        return self.predictors[0].threads

    @property
    def _of_regions(self) -> bool:
        return self.predictors[0].answers == "regions"


def load_shipped(
    path: Artefact | Path | str, *, threads: int = 0, device: str = "auto", skip_empty: bool = False
) -> ArtefactPredictor | ArtefactViews | NnUNetPredictor | BundlePredictor:
    """An artefact for ONNX Runtime or OpenVINO, of one network, of several views, or of a model of others;
    see `load_artefact`."""
    artefact = path if isinstance(path, Artefact) else open_artefact(path)
    if artefact.about.preparation == "nnunet":  # imported only then: others start the sooner
        from .nnunet.predictor import load_nnunet

        return load_nnunet(artefact, threads=threads, device=device, skip_empty=skip_empty)
    if artefact.about.preparation == "monai":
        from .bundle.predictor import load_bundle

        return load_bundle(artefact, threads=threads, device=device, skip_empty=skip_empty)
    views = tuple(
        load_view(artefact, view, threads=threads, device=device, skip_empty=skip_empty)
        for view in artefact.views
    )
    fusion = artefact.about.fusion
    return ArtefactViews(views, artefact.plan, **fusion) if fusion else views[0]


def load_artefact_views(
    paths: Sequence[Path | str],
    how: str = "vote",
    *,
    threshold: float = 0.5,
    threads: int = 0,
    device: str = "auto",
    skip_empty: bool = False,
) -> ArtefactViews:
    """Artefacts for ONNX Runtime or OpenVINO as one; options as of `load_artefact`.

    Raises UserError where they were prepared differently or, but for "organs", tell different labels apart.
    """
    check_fusion(how, threshold)
    names = [Path(path).name for path in paths]
    if len({Path(path).resolve() for path in paths}) < max(2, len(paths)):
        raise UserError(f"{', '.join(names)} cannot be fused", "name two different artefacts or more")
    loaded = [load_artefact(path, threads=threads, device=device, skip_empty=skip_empty) for path in paths]
    for name, one in zip(names, loaded, strict=True):
        if how != "organs" and one.answers != loaded[0].answers:
            raise UserError(
                f"{names[0]} answers {loaded[0].answers}, {name} {one.answers}", "fuse models of one recipe"
            )
    return ArtefactViews(tuple(loaded), fused_plan(names, [one.plan for one in loaded], how), how, threshold)


def vote(label_maps: Sequence[Classes], mean_KS: Volume) -> Classes:
    """As `distilseg.inference.fusion.vote`."""
    fused = label_maps[0].copy()
    differing = np.any([labels != fused for labels in label_maps[1:]], axis=0)
    if not differing.any():
        return fused
    said_VN = np.stack([labels[differing] for labels in label_maps])
    votes_VN = np.stack([(said_VN == own).sum(0) for own in said_VN])
    p_VN = np.take_along_axis(_at(mean_KS, differing), said_VN.astype(np.intp), 0)
    # Half a probability never outweighs a vote.
    winners_N = (votes_VN + p_VN / 2).argmax(0)
    fused[differing] = np.take_along_axis(said_VN, winners_N[None], 0)[0]
    return fused


def _at(maps_KS: Volume, there_S: NDArray[np.bool_]) -> Volume:
    """[K N]: maps on a grid of their own, linearly interpolated at the N voxels of a mask."""
    if maps_KS.shape[1:] == there_S.shape:
        return maps_KS[:, there_S]
    places = there_S.nonzero()
    ends = []  # of each axis, for each voxel: the coarse voxels at either side, each with its share
    for coarse, fine, place in zip(maps_KS.shape[1:], there_S.shape, places, strict=True):
        lower, upper, weight = (values[place] for values in sources(coarse, fine))
        ends.append(((lower, 1 - weight), (upper, weight)))
    found = np.zeros((len(maps_KS), len(places[0])), np.float32)
    for corner in itertools.product(*ends):
        share = reduce(np.multiply, [weight for _, weight in corner])
        found += maps_KS[(slice(None), *(index for index, _ in corner))] * share
    return found
