"""Several artefacts, or several networks in one, that answer as one: `distilseg.views.Views` on NumPy.

`inference/fusion.py` says how their answers become one; tests hold these to those in torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..data.planning.fused_plan import fused_plan, organ
from ..data.planning.plan import Plan
from ..data.preparing.grid import Grid
from ..data.preparing.preprocess import Preprocessed, preprocess
from ..data.scans.scan import Scan
from ..errors import UserError
from ..functional.fusions import check_fusion
from ..scratch import IN_MEMORY, give_back, part, zeros
from .artefact import Artefact, open_artefact
from .blocks import Block, Box, Volume, everything
from .fusing import Fusing
from .handing_on import handed_on
from .inferers import MOST_ANSWERED
from .label_export import Classes, Decide, LabelMap, Part, export, likeliest, painted
from .predictor import ArtefactPredictor, load_artefact, load_view
from .room import check_room
from .times import StageTimes

IN_STEP = 2**30  # bytes that views may hold which are asked in step

if TYPE_CHECKING:
    from .bundle.predictor import BundlePredictor
    from .nnunet.predictor import NnUNetPredictor


@dataclass(frozen=True, eq=False)
class ArtefactViews:
    """Artefacts that answer as one; they share the preparation, and the labels unless they are of organs.

    Views that are cut alike are asked in step, and fused block by block. Of others, such as slabs along
    different axes, no block of one is a block of the next: they are asked one after the other, and the sum of
    their probabilities lies in a scratch file where memory should not hold it (`scratch`).
    """

    predictors: tuple[ArtefactPredictor, ...]
    plan: Plan  # what the fused labels are of
    how: str = "vote"
    threshold: float = 0.5

    def segment(self, scans: Mapping[str, Scan], *, case: str) -> Classes:
        """Label values [I J K] on the grid of `scans` (by modality). Raises `UserError`, naming the case."""
        return self.ask(self.prepare(scans, case=case), case=case)()

    def prepare(self, scans: Mapping[str, Scan], *, case: str) -> Preprocessed:
        """What each network is shown, and the grid that leads back. Raises `UserError` as one view does."""
        return preprocess(
            scans, None, self.predictors[0].plan, case=case, fits=partial(self._check_room, case)
        )

    def ask(
        self, prepared: Preprocessed, *, case: str, times: StageTimes | None = None
    ) -> Callable[[], Classes]:
        """The networks' stage, as that of an `ArtefactPredictor`."""
        grid, times = prepared.grid, times or StageTimes()
        self._check_room(case, grid, now=True)
        labels, decide = LabelMap(grid, self.plan), self._decide
        if self._in_step(grid.working_shape):
            blocks = self.blocks(prepared.image, case=case)
        else:
            total_KS, said = self._one_by_one(prepared, case, times)
            blocks = _slices(total_KS, self._fusing)
            if self.how == "vote":
                decide = partial(_counted, self._fusing, said)
        finish = handed_on(blocks, partial(self._export, grid, labels, decide), times)

        def finished() -> Classes:
            finish()
            return labels.labels

        return finished

    def blocks(self, image: Volume, *, case: str = "") -> Iterator[Block]:
        """Fused logits, as of `logits`, of views that are cut alike."""
        views = [predictor.blocks(image, case=case) for predictor in self.predictors]
        for of_views in zip(*views, strict=True):
            logits = self._fusing.fused([block.logits for block in of_views])
            yield replace(of_views[0], logits=logits, lent=False)

    def logits(self, image: Volume, *, case: str = "") -> Volume:
        """Of a vote the logits of each view, [V K *S]; else those of what was fused, [K *S]."""
        return self._fusing.fused([predictor.logits(image, case=case) for predictor in self.predictors])

    def labels(self, logits: Volume, grid: Grid) -> Classes:
        """Label values [I J K] on the original grid, in the smallest unsigned type, from `logits`."""
        labels = LabelMap(grid, self.plan)
        self._export(grid, labels, self._decide, everything(logits, len(grid.working_shape)))
        return labels.labels

    def needed_bytes(self, grid: Grid) -> int:
        """Memory that the networks' stage of a case takes, beside its image."""
        shape, label_map = grid.working_shape, LabelMap.bytes_of(grid, self.plan)
        held = [self._held_bytes(predictor, shape) for predictor in self.predictors]
        if self._in_step(shape):
            return sum(held) + label_map
        said = len(held) * math.prod(grid.cropped_shape) if self.how == "vote" else 0
        return max(held) + label_map + said + IN_MEMORY

    def _one_by_one(
        self, prepared: Preprocessed, case: str, times: StageTimes
    ) -> tuple[Volume, list[Classes]]:
        """The sum of the views' probabilities, [K *S], and of a vote what each says on the cropped grid."""
        grid, fusing, said = prepared.grid, self._fusing, list[Classes]()
        total_KS = zeros((fusing.heads, *grid.working_shape), f"case {case}: the probabilities of all views")
        dtype = np.min_scalar_type(2**fusing.heads - 1 if fusing.regions[0] else fusing.heads - 1)
        for view, predictor in enumerate(self.predictors):
            if self.how == "vote":
                said.append(np.empty(grid.cropped_shape, dtype))

            def use(block: Block, view: int = view) -> None:
                if said:
                    self._export_to(said[view].__setitem__, grid, fusing.said, block)
                fusing.add(view, block.inside, total_KS[(slice(None), *block.box)])
                give_back(total_KS)

            handed_on(predictor.blocks(prepared.image, case=case), use, times)()
        return total_KS, said

    @property
    def _decide(self) -> Decide:
        if self.how == "vote":
            return self._fusing.voted
        of_regions = self.how != "organs" and self._fusing.regions[0]
        return partial(painted, self.plan.paints) if of_regions else likeliest

    def _export(self, grid: Grid, labels: LabelMap, decide: Decide, block: Block) -> None:
        self._export_to(labels.put, grid, decide, block)

    def _export_to(
        self, put: Callable[[Box, Classes], object], grid: Grid, decide: Decide, block: Block
    ) -> None:
        threads = self.predictors[0].threads
        export(block, grid.working_shape, grid.cropped_shape, decide, put, threads=threads)

    def _check_room(self, case: str, grid: Grid, *, now: bool = False) -> None:
        check_room(self.needed_bytes(grid), grid, self._heads(self.predictors[0]), case=case, now=now)

    def _in_step(self, shape: Sequence[int]) -> bool:
        alike = len({predictor.inferer.options for predictor in self.predictors}) == 1
        return alike and sum(self._held_bytes(one, shape) for one in self.predictors) <= IN_STEP

    @staticmethod
    def _heads(predictor: ArtefactPredictor) -> tuple[str, ...]:
        return predictor.plan.logits_of(predictor.answers)

    def _held_bytes(self, predictor: ArtefactPredictor, shape: Sequence[int]) -> int:
        heads, modalities = len(self._heads(predictor)), len(predictor.plan.modalities)
        return predictor.inferer.held_bytes(shape, modalities, heads)

    @cached_property
    def _fusing(self) -> Fusing:
        regions = tuple(predictor.answers == "regions" for predictor in self.predictors)
        if self.how == "organs":
            organs = self.plan.classes[1:]
            organ_of = tuple(organs.index(organ(predictor.plan)) for predictor in self.predictors)
            return Fusing(self.how, self.threshold, regions, len(organs), organ_of)
        heads = len(self._heads(self.predictors[0]))
        paints = tuple(self.plan.paints) if regions[0] else ()
        return Fusing(self.how, self.threshold, regions, heads, paints=paints)


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


def _slices(total_KS: Volume, fusing: Fusing) -> Iterator[Block]:
    """Blocks of whole planes of a sum of probabilities: of a vote their mean, else the scores."""
    shape = total_KS.shape[1:]
    thick = max(1, MOST_ANSWERED // (4 * len(total_KS) * math.prod(shape[1:])))
    for start in range(0, shape[0], thick):
        stop = min(start + thick, shape[0])
        mean_KS = fusing.mean(part(total_KS, (slice(max(0, start - 1), stop),)).copy())
        give_back(total_KS)
        logits = mean_KS if fusing.how == "vote" else fusing.scores(mean_KS)
        box = (slice(start, stop), *(slice(0, size) for size in shape[1:]))
        yield Block(box, logits, stop == shape[0])


def _counted(fusing: Fusing, said: Sequence[Classes], mean_Ks: Volume, parts: Sequence[Part]) -> Classes:
    """The vote of label maps, of a piece."""
    return fusing.counted([one[tuple(side.fine for side in parts)] for one in said], mean_Ks, parts)
