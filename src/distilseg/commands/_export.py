"""`distilseg export`: a run as one folder, or one zip, that predicts without training software, or in the
programs of others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..data.formats import read_dataset
from ..errors import unknown
from ..export.artefact import TARGETS, Exported, export_run
from ..export.for_others import FORMS, HandedOn, hand_on
from ..export.int8 import CALIBRATION_CASES
from ..export.quantised import MAX_DICE_DROP
from ..export.within_budget import bytes_of
from ..runs import Run, open_run


def export(
    run: Path | str | Run,
    to: str = "onnx",
    *,
    out: Path | str | None = None,
    zip: bool = False,
    data: Path | str | None = None,
    cases: Sequence[str] | None = None,
    tolerance: float | None = None,
    max_dice_drop: float = MAX_DICE_DROP,
    calibration_cases: int = CALIBRATION_CASES,
    even_if_slower: bool = False,
    windows: str = "training",
    window_memory: str | float | None = None,
    weights: str = "best",
    trust: str | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Exported | HandedOn:
    """An artefact of `run` for one of `export.artefact.TARGETS`, or the form of another program, one of
    `export.for_others.FORMS`; see `export_run` and `hand_on` there.

    `out`: by default RUN/export/<to>, a folder, or with `zip` one file. `data`: where the run's dataset lies,
    if it moved. `tolerance`: None for that of the target. `window_memory`: bytes, or a size such as "500MB",
    that windows fitted to a scan may take.
    """
    if to not in TARGETS and to not in FORMS:
        raise unknown("target", to, [*TARGETS, *FORMS])
    run = run if isinstance(run, Run) else open_run(run)
    options: dict[str, Any] = {
        "packed": zip,
        "dataset": None if data is None else read_dataset(data),
        "cases": cases,
        "weights": weights,
        "trust": trust,
        "progress": progress,
        **({} if tolerance is None else {"tolerance": tolerance}),
    }
    place = None if out is None else Path(out)
    if to in FORMS:
        return hand_on(run, to, place, **options)
    return export_run(
        run,
        to,
        place,
        max_dice_drop=max_dice_drop,
        calibration_cases=calibration_cases,
        even_if_slower=even_if_slower,
        windows=windows,
        window_bytes=None if window_memory is None else bytes_of(str(window_memory)),
        **options,
    )
