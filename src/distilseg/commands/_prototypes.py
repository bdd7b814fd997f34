"""`distilseg prototypes`: what a trained network answers on average over each class, as a file."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from ..data.formats import read_dataset
from ..data.prototypes import PrototypeFile, PrototypeReduce, by_scores, load_prototypes
from ..files import written_whole
from ..runs import open_run
from ..training.fitted import fitted
from ..training.machine import Machine


def prototypes(
    run: Path | str,
    *,
    out: Path | str | None = None,
    feature: str = "logits",
    reduce: PrototypeReduce = "slice_mean",
    softmax: bool = False,
    view: str = "axial",
    organs: Sequence[str] = (),
    extent: tuple[float, float] = (0.0, 1.0),
    scores: Path | str | None = None,
    score_range: tuple[float, float] | None = None,
    data: Path | str | None = None,
    device: str = "auto",
    cache: Path | None = None,
    trust: str | None = None,
) -> tuple[Path, PrototypeFile]:
    """The prototypes of a finished run of volumes over its training cases: their file, and what it says.

    `out`: a copy to give away; they always lie in the run's folder too. `data`: where the run's dataset lies,
    if it moved. `scores`: a JSON file, see `load_scores`. The other options are those of `fit_prototypes`.
    Raises UserError for what can be mended.
    """
    found = open_run(Path(run))
    told = found.read(found.experiment)["dataset"]
    dataset = read_dataset(data or told["folder"], told["layout"])
    options = {
        "feature": feature,
        "reduce": reduce,
        "softmax": softmax,
        "across": view,
        "organs": list(organs),
        "extent": list(extent),
        **by_scores(scores, score_range),
    }
    path = fitted(found, dataset, options, device=Machine(device=device).kind, cache=cache, trust=trust)
    if out is not None:
        with written_whole(Path(out)) as aside:
            shutil.copyfile(path, aside)
        path = Path(out)
    return path, load_prototypes(path)
