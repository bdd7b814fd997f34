"""`distilseg predict`: label maps of new scans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..predict import PredictSummary, load_predictor, predict_files


def predict(
    run: Path | str,
    inputs: Path | str | Sequence[Path | str],
    out: Path | str,
    *,
    overwrite: bool = False,
    weights: str = "best",
    device: str = "auto",
    trust: str | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> PredictSummary:
    """Label maps of scans, folders of scans or datasets, by the model of a run; see `predict_files`.

    `trust` names the network of a file of one's own ("my_file.py:function") that the run may execute.
    """
    predictor = load_predictor(run, weights=weights, device=device, trust=trust)
    return predict_files(predictor, inputs, out, overwrite=overwrite, progress=progress)
