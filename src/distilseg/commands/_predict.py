"""`distilseg predict`: label maps of new scans, by one run or by the best of several for each case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import UserError
from ..predict import PredictSummary, load_predictor, predict_files
from ..runs import Run
from ..students import find_students, predict_with_best


def predict(
    run: Path | str,
    inputs: Path | str | Sequence[Path | str],
    out: Path | str,
    *,
    modality: str | None = None,
    overwrite: bool = False,
    weights: str = "best",
    device: str = "auto",
    trust: str | None = None,
    progress: Callable[[int, int], object] | None = None,
    say: Callable[[str], object] = lambda line: None,
) -> PredictSummary:
    """Label maps of scans, folders of scans or datasets, by the model of a run; see `predict_files`.

    `run` may also be a folder of runs: each case is then predicted by the best student for the scans that it
    has (`students`), `say` is told which and why, and `modality` is that of files whose name does not say it.
    `trust` names the network of a file of one's own ("my_file.py:function") that the run may execute.
    """
    if Run(Path(run)).experiment.is_file():
        if modality is not None:
            raise UserError(
                "--modality is for a folder of students", "a run knows its own modalities; leave it out"
            )
        predictor = load_predictor(run, weights=weights, device=device, trust=trust)
        return predict_files(predictor, inputs, out, overwrite=overwrite, progress=progress)
    summary, choices = predict_with_best(
        find_students(run, trust=trust),
        inputs,
        out,
        modality=modality,
        overwrite=overwrite,
        weights=weights,
        device=device,
        trust=trust,
        progress=progress,
    )
    for case, choice in choices.items():
        say(f"{case}: {choice.student.run.name}; {choice.reason}")
    return summary
