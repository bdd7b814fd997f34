"""`distilseg export`: a run as one folder, or one zip, that predicts without training software."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..data.formats import read_dataset
from ..export.artefact import Exported, export_run
from ..export.int8 import CALIBRATION_CASES, MAX_DICE_DROP
from ..export.verify import TOLERANCE
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
    tolerance: float = TOLERANCE,
    max_dice_drop: float = MAX_DICE_DROP,
    calibration_cases: int = CALIBRATION_CASES,
    windows: str = "training",
    window_memory: str | float | None = None,
    weights: str = "best",
    trust: str | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Exported:
    """An artefact of `run` for one of `export.artefact.TARGETS`; see `export.artefact.export_run`.

    `out`: by default RUN/export/<to>, a folder, or with `zip` one file. `data`: where the run's dataset lies,
    if it moved. `window_memory`: bytes, or a size such as "500MB", that windows fitted to a scan may take.
    """
    return export_run(
        run if isinstance(run, Run) else open_run(run),
        to,
        None if out is None else Path(out),
        packed=zip,
        dataset=None if data is None else read_dataset(data),
        cases=cases,
        tolerance=tolerance,
        max_dice_drop=max_dice_drop,
        calibration_cases=calibration_cases,
        windows=windows,
        window_bytes=None if window_memory is None else bytes_of(str(window_memory)),
        weights=weights,
        trust=trust,
        progress=progress,
    )
