"""`distilseg predict`: label maps of new scans, by an artefact, a run, several as one, or the best for each.

An artefact is predicted from where no torch is installed: what needs it is imported where it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.formats.chosen import chosen
from ..data.formats.dicom import AS_THEY_ARE, DicomOptions
from ..errors import UserError, unknown
from ..runs import Run, find_runs, open_run
from ..runtime.artefact import DESCRIPTION, is_artefact, open_artefact
from ..runtime.compiled import keeping, usual_folder
from ..runtime.jobs import PredictSummary
from ..runtime.pipeline import Segmenter, predict_files
from ..runtime.stores import addresses, predict_in_stores
from ..runtime.views import load_artefact_views, load_shipped

WRITTEN_AS = ("nifti", "seg")

if TYPE_CHECKING:
    from ..teachers.teacher import TeacherOptions


def predict(
    run: Path | str | Sequence[Path | str],
    inputs: Path | str | Sequence[Path | str],
    out: Path | str,
    *,
    modality: str | None = None,
    fuse: str | None = None,
    threshold: float = 0.5,
    overwrite: bool = False,
    weights: str = "best",
    device: str = "auto",
    threads: int = 0,
    skip_empty: bool = False,
    trust: str | None = None,
    probabilities: bool = False,
    teacher: TeacherOptions | None = None,
    series: Sequence[str] = (),
    dicom_tilt: str = "refuse",
    write_as: str = "nifti",
    seg: str = "binary",
    codes: Path | str | None = None,
    report: bool = False,
    part: str | None = None,
    list: Path | str | Sequence[str] | None = None,
    progress: Callable[[int, int], object] | None = None,
    say: Callable[[str], object] = lambda line: None,
) -> PredictSummary:
    """Label maps of scans, folders of scans or datasets, by an artefact or a run; see `predict_files`.

    `run` may be an artefact, a folder or a zip that `distilseg export` made: then neither torch nor MONAI is
    needed (see `runtime.views.load_shipped` for `device`). `threads`: 0 is what suits the machine.
    `run` may also be a folder of runs: each case is then predicted by the best student for the scans that it
    has (`students`), `say` is told which and why, and `modality` is that of files whose name does not say it.
    Several runs or several artefacts, such as one for each view, answer as one: `fuse` says how ("vote", the
    default, "mean", "threshold", "organs"; see `inference.fusion`), with `threshold` where there is one.
    `skip_empty`: windows of one value are shown to the network once (see `functional.empty_windows`).
    What OpenVINO compiles of an artefact is kept in the user's cache (see `runtime.compiled`).
    `trust` names the network of a file of one's own ("my_file.py:function") that the run may execute.
    `run` may be a model that others trained (see `teachers.teacher`): then it answers itself, in its own
    label values, with `probabilities` too, opened as `teacher` says.
    Of folders of DICOM, `series` says which series is meant, in rules as of `data.formats.dicom`; planes that
    lean, as a gantry tilt makes them, are refused, or with `dicom_tilt` "resample" resampled to a grid with
    right angles, and the labels put back on them. Both are for artefacts and runs. With `write_as` "seg" an
    artefact writes DICOM SEG, `seg` is "binary" or "labelmap", `codes` a file as of `runtime.seg`, and with
    `report` a structured report of volumes lies beside each.
    Of all cases only a `part` is predicted, such as "3/100", or those that a `list` names: a file with a
    case's name or a scan's path a line, or these lines. See `data.formats.chosen`.
    An artefact also predicts what lies in an object store into one, by addresses such as "s3://bucket/scans"
    (`runtime.stores`).
    """
    if write_as not in WRITTEN_AS:
        raise unknown("value of --as", write_as, WRITTEN_AS)
    dicom, ours = DicomOptions(tuple(series), dicom_tilt), chosen(part, list)
    if write_as != "seg" and (codes is not None or seg != "binary" or report):
        raise UserError(
            "--seg, --codes and --report say how DICOM SEG is written", "add --as seg, or leave them out"
        )
    named, remote = named_runs(run, fuse), addresses(inputs, out)
    if remote is not None and not is_artefact(named[0]):
        raise UserError(
            f"{named[0]} is no artefact, which alone predicts scans in stores", "distilseg export it first"
        )
    if artefacts := [path for path in named if is_artefact(path)]:
        if modality is not None or weights != "best" or len(artefacts) < len(named):
            raise UserError(
                f"{artefacts[0]} is an artefact: one model, with its own modalities and weights",
                "leave out --modality, --weights and models that are none",
            )
        _refuse(
            f"{artefacts[0]} is an artefact, whose folds, windows and mirroring were chosen at its export",
            {"--probabilities": probabilities, "options of models of others": _says_something(teacher)},
        )
        with keeping(usual_folder()):
            predictor = (
                load_artefact_views(
                    named,
                    fuse or "vote",
                    threshold=threshold,
                    threads=threads,
                    device=device,
                    skip_empty=skip_empty,
                )
                if len(named) > 1
                else _artefact(named[0], threads, device, trust, skip_empty)
            )
        if remote is not None:
            _refuse(
                "scans in stores are single files",
                {"--as seg": write_as == "seg", "--series and --dicom-tilt": dicom != AS_THEY_ARE},
            )
            return predict_in_stores(predictor, *remote, overwrite=overwrite, chosen=ours, progress=progress)
        writer = None
        if write_as == "seg":
            from ..runtime.seg import seg_writer

            opened = [open_artefact(path) for path in named]
            writer = seg_writer(opened, predictor.plan, seg, Path(codes) if codes else None, say)
        return predict_files(
            predictor,
            inputs,
            out,
            overwrite=overwrite,
            dicom=dicom,
            seg=writer,
            report=report,
            chosen=ours,
            progress=progress,
        )
    if write_as == "seg":
        raise UserError(
            f"{named[0]} is no artefact, whose SHA-256 a DICOM SEG names", "distilseg export it first"
        )
    if absent := [path for path in named if not path.exists()]:
        raise UserError(
            f"there is no {absent[0]}", "give a run folder, or an artefact that `distilseg export` made"
        )
    if len(named) > 1:
        for path in named:
            open_run(path)
    elif not is_run(named[0]):
        _without_dicom(dicom, named[0])
        from ..teachers.opening import open_teacher, recognised

        if recognised(named[0]):
            from ..teachers.predicting import predict_with_teacher
            from ..teachers.teacher import TeacherOptions

            _refuse(
                f"{named[0]} is a model that others trained, whose weights and modalities are its own",
                {
                    "--weights": weights != "best",
                    "--modality": modality is not None,
                    "--trust": trust is not None,
                    "--skip-empty": skip_empty,
                },
            )
            asked = teacher or TeacherOptions()
            if device != "auto":
                asked = replace(asked, device=device)
            if threads:
                asked = replace(asked, threads=threads)
            opened_teacher = open_teacher(named[0], asked)  # what is none is refused where torch is not, too
            from ..inference.threads import use_threads

            use_threads(threads)
            return predict_with_teacher(
                opened_teacher,
                inputs,
                out,
                probabilities=probabilities,
                overwrite=overwrite,
                chosen=ours,
                progress=progress,
                say=say,
            )
        if not find_runs(named[0]):
            raise UserError(
                f"{named[0]} is neither a run nor a folder that holds finished runs, no artefact (no"
                f" {DESCRIPTION} in it) and no model of others that is known",
                "give what `distilseg train` or `distilseg export` made",
            )
    if probabilities:
        raise UserError(
            f"{named[0]} is no model of others, whose probabilities can be written",
            "leave out --probabilities",
        )

    from ..inference.threads import use_threads
    from ..students import find_students, predict_with_best
    from ..views import load_segmenter, load_views

    use_threads(threads)
    told: dict[str, Any] = {"weights": weights, "device": device, "trust": trust, "skip_empty": skip_empty}
    if len(named) > 1 or Run(named[0]).experiment.is_file():
        if modality is not None:
            raise UserError(
                "--modality is for a folder of students", "a run knows its own modalities; leave it out"
            )
        predictor = (
            load_views(named, fuse or "vote", threshold=threshold, **told)
            if len(named) > 1
            else load_segmenter(Run(named[0]), **told)
        )
        return predict_files(
            predictor, inputs, out, overwrite=overwrite, dicom=dicom, chosen=ours, progress=progress
        )
    _without_dicom(dicom, named[0])
    summary, choices = predict_with_best(
        find_students(named[0], trust=trust),
        inputs,
        out,
        modality=modality,
        overwrite=overwrite,
        chosen=ours,
        progress=progress,
        **told,
    )
    for case, choice in choices.items():
        say(f"{case}: {choice.student.run.name}; {choice.reason}")
    return summary


def _without_dicom(dicom: DicomOptions, named: Path) -> None:
    if dicom.are_given:
        raise UserError(
            f"{named} is no run and no artefact, which --series and --dicom-tilt are for", "leave them out"
        )


def is_run(path: Path) -> bool:
    """A run folder, or a folder of runs."""
    return Run(path).experiment.is_file() or any(path.glob("*/experiment.json"))


def _artefact(path: Path, threads: int, device: str, trust: str | None, skip_empty: bool) -> Segmenter:
    artefact = open_artefact(path)
    if artefact.about.engine != "torch":
        return load_shipped(artefact, threads=threads, device=device, skip_empty=skip_empty)
    from ..inference.threads import use_threads
    from ..predict import load_torch_artefact

    use_threads(threads)
    return load_torch_artefact(artefact, device=device, trust=trust, skip_empty=skip_empty)


def named_runs(run: Path | str | Sequence[Path | str], fuse: str | None) -> list[Path]:
    """One folder, or several that answer as one; UserError where one is to be fused, or none is named."""
    named = [Path(run)] if isinstance(run, str | Path) else [Path(one) for one in run]
    if not named:
        raise UserError("no run is named", "give a run folder, or several")
    if fuse is not None and len(named) == 1:
        raise UserError(
            f"--fuse {fuse} is for several runs, {named[0]} is one", "name them all: RUN_1,RUN_2,RUN_3"
        )
    return named


def _says_something(teacher: TeacherOptions | None) -> bool:
    """Whether any of the options of models of others was given."""
    return teacher is not None and teacher != type(teacher)()


def _refuse(what: str, given: Mapping[str, bool]) -> None:
    """Raises UserError where an option was given that would change nothing."""
    if ignored := [option for option, is_given in given.items() if is_given]:
        raise UserError(what, f"leave out {', '.join(ignored)}")
