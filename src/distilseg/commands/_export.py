"""`distilseg export`: a run, or a model of others, as one folder or zip that predicts without torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..data.formats import read_dataset
from ..errors import UserError
from ..export.artefact import Exported, export_run
from ..export.int8 import CALIBRATION_CASES, MAX_DICE_DROP
from ..export.of_others import MOST_OTHERWISE, export_of_others
from ..export.verify import TOLERANCE
from ..runs import Run, open_run
from ..runtime.artefact import is_artefact

if TYPE_CHECKING:
    from ..teachers.teacher import TeacherOptions


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
    weights: str = "best",
    trust: str | None = None,
    teacher: TeacherOptions | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Exported:
    """An artefact of `run` for one of `export.artefact.TARGETS`; see `export.artefact.export_run`.

    `out`: by default RUN/export/<to>, a folder, or with `zip` one file. `data`: where the run's dataset lies,
    if it moved.

    `run` may be a model that others trained, opened as `teacher` says, mirrored only where that is asked for:
    then `data` are scans that artefact and model are compared on, `tolerance` is the share of a case's voxels
    that may get another label, and `out` lies here by default. See `export.of_others.export_of_others`.
    """
    if not isinstance(run, Run) and _of_others(Path(run)):
        from ..teachers.opening import open_teacher
        from ..teachers.teacher import TeacherOptions

        options = teacher or TeacherOptions()
        return export_of_others(
            open_teacher(run, replace(options, mirror=bool(options.mirror), device="cpu")),
            to,
            None if out is None else Path(out),
            scans=data,
            packed=zip,
            cases=cases,
            most_otherwise=MOST_OTHERWISE if tolerance is None else tolerance,
            max_dice_drop=max_dice_drop,
            calibration_cases=calibration_cases,
            progress=progress,
        )
    if teacher is not None:
        raise UserError(
            f"{run} is a run of ours, whose folds, windows and mirroring are its own",
            "leave out the options of models of others",
        )
    return export_run(
        run if isinstance(run, Run) else open_run(run),
        to,
        None if out is None else Path(out),
        packed=zip,
        dataset=None if data is None else read_dataset(data),
        cases=cases,
        tolerance=TOLERANCE if tolerance is None else tolerance,
        max_dice_drop=max_dice_drop,
        calibration_cases=calibration_cases,
        weights=weights,
        trust=trust,
        progress=progress,
    )


def _of_others(path: Path) -> bool:
    """Whether `path` is a model that others trained; what is nothing at all, a run's error tells."""
    if not path.exists() or Run(path).experiment.is_file() or is_artefact(path):
        return False
    from ..teachers.opening import recognised

    return recognised(path)
