"""`distilseg export`: a run, or a model of others, as one folder or zip that predicts without torch; a run in
the programs of others, too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.formats import read_dataset
from ..errors import UserError, unknown
from ..export.artefact import TARGETS, Exported, export_run
from ..export.for_others import FORMS, HandedOn, hand_on
from ..export.int8 import CALIBRATION_CASES
from ..export.of_others import MOST_OTHERWISE, export_of_others
from ..export.quantised import MAX_DICE_DROP
from ..export.web.knowing import check_known
from ..export.web.making import Page, export_page
from ..export.within_budget import bytes_of
from ..runs import Run, open_run
from ..runtime.artefact import is_artefact, open_artefact

if TYPE_CHECKING:
    from ..teachers.teacher import Teacher, TeacherOptions

WEB = "web"


def export(
    run: Path | str | Run,
    to: str = "onnx",
    *,
    out: Path | str | None = None,
    zip: bool = False,
    folder: bool = False,
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
    teacher: TeacherOptions | None = None,
    codes: Path | str | None = None,
    series: Sequence[str] = (),
    progress: Callable[[int, int], object] | None = None,
) -> Exported | HandedOn | Page:
    """An artefact of `run` for one of `export.artefact.TARGETS`, or the form of another program, one of
    `export.for_others.FORMS`; see `export_run` and `hand_on` there. Or "web": a page that segments scans in a
    browser, one file or with `folder` files for a web server; see `export.web.making`. Then `run` may be an
    artefact for ONNX, too.

    `out`: by default RUN/export/<to>, a folder, or with `zip` one file. `data`: where the run's dataset lies,
    if it moved. `tolerance`: None for that of the target. `window_memory`: bytes, or a size such as "500MB",
    that windows fitted to a scan may take. `codes`: what the classes are in SNOMED CT, for DICOM SEG, see
    `data.planning.coded`; without it as the run's plan says. `series`: rules by which the artefact chooses
    series of DICOM, see `data.formats.dicom`.

    `run` may be a model that others trained, opened as `teacher` says, mirrored only where that is asked for:
    then `data` are scans that artefact and model are compared on, `tolerance` is the share of a case's voxels
    that may get another label, and `out` lies here by default. See `export.of_others.export_of_others`.
    """
    place = None if out is None else Path(out)
    if even_if_slower and to != "openvino-int8":
        raise UserError(f"--even-if-slower is for openvino-int8, {to} is asked for", "leave it out")
    if (codes is not None or series) and to in (*FORMS, WEB):
        raise UserError(f"{to} holds neither codes nor rules of DICOM", "leave out --codes and --series")
    if folder and to != WEB:
        raise UserError(f"--folder is for web, {to} is asked for", "leave it out")
    if to == WEB and zip:
        raise UserError("a page is one file, or with --folder a folder", "leave out --zip")
    if to == WEB and not isinstance(run, Run) and is_artefact(run):
        said = [data, cases, tolerance, window_memory, trust, teacher]
        if any(one is not None for one in said) or (windows, weights) != ("training", "best"):
            raise UserError(
                f"{run} was exported and compared already", "leave out all options but --out and --folder"
            )
        return export_page(open_artefact(run), place, folder=folder)
    if windows != "training" and to in FORMS:
        raise UserError(f"{to} has windows of its own", "leave out --windows")
    told = None if codes is None else Path(codes)
    if not isinstance(run, Run) and _of_others(Path(run)):
        if to == WEB:
            raise UserError(
                f"{run} is a model of others, and a page knows no preparation but that of runs of ours",
                "distil a student from it, or export it --to onnx for `distilseg predict`",
            )
        if windows != "training" or window_memory is not None:
            raise UserError(
                f"{run} is a model of others, whose windows are its own",
                "leave out --windows and --window-memory; --step says how far they lie apart",
            )
        return export_of_others(
            _opened(run, teacher),
            to,
            place,
            scans=data,
            packed=zip,
            cases=cases,
            most_otherwise=MOST_OTHERWISE if tolerance is None else tolerance,
            max_dice_drop=max_dice_drop,
            calibration_cases=calibration_cases,
            even_if_slower=even_if_slower,
            codes=told,
            series=series,
            progress=progress,
        )
    if teacher is not None:
        raise UserError(
            f"{run} is a run of ours, whose folds, windows and mirroring are its own",
            "leave out the options of models of others",
        )
    if window_memory is not None and windows != "fitted":
        raise UserError("--window-memory is for windows that are fitted", "add --windows fitted")
    if to not in TARGETS and to not in FORMS and to != WEB:
        raise unknown("target", to, [*TARGETS, *FORMS, WEB])
    run = run if isinstance(run, Run) else open_run(run)
    if to == WEB:
        check_known(run)
    options: dict[str, Any] = {
        "packed": zip,
        "dataset": None if data is None else read_dataset(data),
        "cases": cases,
        "weights": weights,
        "trust": trust,
        "progress": progress,
        **({} if tolerance is None else {"tolerance": tolerance}),
    }
    if to in FORMS:
        return hand_on(run, to, place, **options)
    options |= {
        "windows": windows,
        "window_bytes": None if window_memory is None else bytes_of(str(window_memory)),
    }
    if to == WEB:
        return export_page(run, place, folder=folder, **{k: v for k, v in options.items() if k != "packed"})
    return export_run(
        run,
        to,
        place,
        max_dice_drop=max_dice_drop,
        calibration_cases=calibration_cases,
        even_if_slower=even_if_slower,
        codes=told,
        series=series,
        **options,
    )


def _of_others(path: Path) -> bool:
    """Whether `path` is a model that others trained; what is nothing at all, a run's error tells."""
    if not path.exists() or Run(path).experiment.is_file() or is_artefact(path):
        return False
    from ..teachers.opening import recognised

    return recognised(path)


def _opened(path: Path | str, asked: TeacherOptions | None) -> Teacher:
    from ..teachers.opening import open_teacher
    from ..teachers.teacher import TeacherOptions

    options = asked or TeacherOptions()
    return open_teacher(path, replace(options, mirror=bool(options.mirror), device="cpu"))
