"""evaluate, compare, predict, report."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UserError
from ..progress import counting
from . import predicting, show
from .arguments import (
    AnyDevice,
    Card,
    Configuration,
    Data,
    Device,
    Folds,
    Mirror,
    Orientation,
    Step,
    Threads,
    Trust,
    TrustModel,
    Weights,
)
from .teachers import options_of_teacher
from .text import examples, pairs, runs_of
from .text import words as listed

DICOM = "Of DICOM"
MANY = "On many machines"
Metrics = Annotated[str, typer.Option(help="By comma; the verdict is about the first.")]
Control = Annotated[Path | None, typer.Option(help="The run to measure against; else what the runs name.")]
RunFolders = Annotated[list[Path], typer.Argument(help="Run folders, or folders that hold some.")]
Relevant = Annotated[
    float, typer.Option(help="Smaller differences of Dice, IoU and NSD are said not to matter, however sure.")
]
Fuse = Annotated[
    str | None, typer.Option(help="Several runs as one: vote (the default), mean, threshold or organs.")
]
Threshold = Annotated[float, typer.Option(help="Of the fused probability: --fuse threshold or organs.")]


def add_to(app: typer.Typer, panel: str, words: Sequence[str]) -> None:
    of_evaluate = examples(
        "distilseg evaluate runs/DATASET/RUN",
        "distilseg evaluate runs/DATASET/RUN --cases case_01,case_07 --again",
        "distilseg evaluate runs/DATASET/u_hemis-1a2b3c4d --modalities CT",
        "distilseg evaluate REFERENCES PREDICTIONS --labels 1=anterior,2=posterior --out metrics.csv",
        "distilseg evaluate runs/DATASET/RUN --by slice --empty one  # as some papers score",
        "distilseg evaluate RUN_AXIAL,RUN_CORONAL,RUN_SAGITTAL --fuse vote --also slice_similarity",
        "distilseg evaluate REFERENCES PREDICTIONS --out metrics.csv --part 3/100  # then all with --join",
    )
    of_compare = examples(
        "distilseg compare runs/DATASET --out table.csv --html report.html",
        "distilseg compare runs/DATASET --out table.tex --per-case cases.csv",
        "distilseg compare runs/DATASET --by slice  # after: distilseg evaluate ... --by slice",
    )
    of_predict = examples(
        "distilseg predict runs/DATASET/RUN scan.nii.gz predictions",
        "distilseg predict runs/DATASET/RUN FOLDER_OF_SCANS predictions --overwrite",
        "distilseg predict runs/DATASET FOLDER_OF_SCANS predictions  # for each case, the best for its scans",
        "distilseg predict RUN_AXIAL,RUN_CORONAL,RUN_SAGITTAL scan.nii.gz predictions --fuse vote",
        "distilseg predict student.zip FOLDER_OF_SCANS predictions --threads 4  # needs no torch",
        "distilseg predict axial.zip,coronal.zip,sagittal.zip FOLDER_OF_SCANS predictions --fuse vote",
        "distilseg predict student.zip FOLDER_OF_SCANS predictions --times --skip-empty",
        "distilseg predict student.zip DICOM_FOLDER predictions --series description=venous",
        "distilseg predict student.zip DICOM_FOLDER predictions --as seg --codes codes.json --report",
        "distilseg predict nnUNet_results/DATASET/MODEL FOLDER_OF_SCANS predictions --probabilities",
        "distilseg predict student.zip FOLDER_OF_SCANS predictions --part 3/100",
        "distilseg predict student.zip FOLDER_OF_SCANS predictions --missing > lacking.txt",
        "distilseg predict student.zip FOLDER_OF_SCANS predictions --list lacking.txt",
    )
    of_report = examples(
        "distilseg report runs/DATASET --out report.html",
        "distilseg report runs/DATASET --pictures figures",
    )
    app.command(rich_help_panel=panel, epilog=of_evaluate)(evaluate)
    app.command(rich_help_panel=panel, epilog=of_compare)(compare)
    app.command(rich_help_panel=panel, epilog=of_predict)(predict)
    app.command(rich_help_panel=panel, epilog=of_report)(report)


def evaluate(
    run: Annotated[
        Path, typer.Argument(help="A run folder, several by comma, or a folder of reference label maps.")
    ],
    predictions: Annotated[Path | None, typer.Argument(help="A folder of label maps to judge.")] = None,
    cases: Annotated[str | None, typer.Option(help="By comma; else the test cases, or all files.")] = None,
    modalities: Annotated[
        str | None,
        typer.Option(help="Hold other scans back, by comma (networks for any subset, such as u_hemis)."),
    ] = None,
    fuse: Fuse = None,
    threshold: Threshold = 0.5,
    weights: Weights = "best",
    data: Data = None,
    again: Annotated[bool, typer.Option("--again", help="Even if the run was judged this way.")] = False,
    device: Device = "auto",
    trust: Trust = None,
    labels: Annotated[
        str | None, typer.Option(help="Two folders: 1=anterior,2=posterior or a dataset.json.")
    ] = None,
    unit: Annotated[str, typer.Option(help="Two folders: mm or voxel.")] = "mm",
    tolerance_mm: Annotated[float, typer.Option(min=0, help="Of the NSD.")] = 1.0,
    empty: Annotated[str, typer.Option(help="Empty structures: nan, monai, brats, worst or one.")] = "nan",
    by: Annotated[
        str, typer.Option(help="case, or slice: each slice a case of its own, Dice and IoU.")
    ] = "case",
    also: Annotated[
        str | None, typer.Option(help="More metrics, by comma: slice_similarity, nsd_voxel, hd.")
    ] = None,
    slice_axis: Annotated[
        int | None,
        typer.Option(help="By slice, or of slice_similarity: 0, 1 or 2; else across the largest spacing."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A CSV table: case, label, metric, value.")] = None,
    part: Annotated[
        str | None,
        typer.Option(
            metavar="K/N",
            help="Two folders: the K-th of N parts, its rows beside --out.",
            rich_help_panel=MANY,
        ),
    ] = None,
    join: Annotated[
        bool, typer.Option("--join", help="Two folders: --out of all its parts.", rich_help_panel=MANY)
    ] = False,
) -> None:
    """Judge a run on cases it never saw, or one folder of label maps against another."""
    from .. import commands

    if predictions is None and (labels is not None or unit != "mm"):
        raise UserError(
            "--labels and --unit are for two folders", "give REFERENCES and PREDICTIONS, or leave them out"
        )
    # The judge of a run shows a bar of its own.
    bar = counting("evaluating") if predictions is not None else nullcontext()
    with bar as progress:
        found = commands.evaluate(
            runs_of(run) if predictions is None else run,
            predictions,
            fuse=fuse,
            threshold=threshold,
            data=data,
            cases=listed(cases),
            modalities=listed(modalities),
            weights=weights,
            again=again,
            device=device,
            trust=trust,
            labels=_labels(labels),
            unit=unit,
            tolerance_mm=tolerance_mm,
            empty=empty,
            by=by,
            also=listed(also) or [],
            slice_axis=slice_axis,
            out=out,
            part=part,
            join=join,
            progress=progress,
        )
    if found.told:
        show.say(f"{found.told}; when all parts are there: the same command with --join")
    else:
        show.print_scores(found.rows, by=by, labelled_by=found.labelled_by)
    if (written := found.written or found.kept) is not None:
        show.say(f"written to {written}")
    if found.sheared:
        show.say(
            f"sheared affine (a gantry tilt?) in: {', '.join(found.sheared)}; their distances in mm are left"
            " out, --unit voxel measures them in voxels"
        )
    if found.without_reference:
        show.say(f"no reference for: {', '.join(found.without_reference)}")
    if found.without_prediction:
        show.say(
            f"NO PREDICTION FOR: {', '.join(found.without_prediction)}; these are not in the numbers above"
        )
        raise typer.Exit(1)


def _labels(text: str | None) -> dict[int, str] | Path | None:
    if text is None or "=" not in text:
        return None if text is None else Path(text)
    named = pairs([text], "--labels")
    if strange := [value for value in named if not value.isdecimal()]:
        raise UserError(
            f"--labels: {strange[0]!r} is no label value", "write it as --labels 1=anterior,2=posterior"
        )
    return {int(value): name for value, name in named.items()}


def compare(
    runs: RunFolders,
    control: Control = None,
    metrics: Annotated[
        str | None,
        typer.Option(help="By comma; the verdict is about the first. Else dice,hd95,nsd, by slice dice,iou."),
    ] = None,
    by: Annotated[str, typer.Option(help="case, or slice: a case's mean over its slices.")] = "case",
    relevant: Relevant = 0.005,
    out: Annotated[Path | None, typer.Option(help="A table: .csv (all numbers), .md or .tex.")] = None,
    per_case: Annotated[
        Path | None, typer.Option(help="Also every case's values: .csv, .md or .tex.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="A page with figures.")] = None,
) -> None:
    """Runs beside their control: what was won, what was lost, and how sure that is."""
    from .. import commands
    from ..report import print_comparison

    chosen = None if metrics is None else listed(metrics) or []
    comparison = commands.compare(
        runs,
        control=control,
        metrics=chosen,
        by=by,
        relevant=relevant,
        out=out,
        per_case=per_case,
        html=html,
    )
    print_comparison(comparison, show.console())
    for path in (out, per_case, html):
        if path is not None:
            show.say(f"written to {path}")


def report(
    runs: RunFolders,
    out: Annotated[Path, typer.Option(help="The page.")] = Path("report.html"),
    control: Control = None,
    metrics: Metrics = "dice,hd95,nsd",
    relevant: Relevant = 0.005,
    pictures: Annotated[Path | None, typer.Option(help="A folder: also every figure as an SVG file.")] = None,
) -> None:
    """One self-contained page about runs: tables, figures, verdicts."""
    from .. import commands

    commands.report(
        runs, out, control=control, metrics=listed(metrics) or [], relevant=relevant, pictures=pictures
    )
    show.say(f"written to {out}")
    if pictures is not None:
        show.say(f"figures written to {pictures}")


def predict(
    run: Annotated[
        Path,
        typer.Argument(
            help="An artefact (folder or zip) or a run folder; several by comma, as one; a folder of runs:"
            " each case gets the best of it; or a model that others trained."
        ),
    ],
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT... OUT", help="Scans, folders, datasets; last, where to.")
    ],
    modality: Annotated[
        str | None, typer.Option(help="Folder of runs: of files whose name does not say it (CASE_CT.nii.gz).")
    ] = None,
    fuse: Fuse = None,
    threshold: Threshold = 0.5,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Also label maps that are there.")] = False,
    weights: Weights = "best",
    device: AnyDevice = "auto",
    threads: Threads = 0,
    skip_empty: Annotated[
        bool, typer.Option("--skip-empty", help="Windows of one value, such as air, are shown once for all.")
    ] = False,
    times: Annotated[bool, typer.Option("--times", help="Say how long each stage took.")] = False,
    part: Annotated[
        str | None,
        typer.Option(
            metavar="K/N", help="Only the K-th of N parts of the cases, such as 3/100.", rich_help_panel=MANY
        ),
    ] = None,
    list: Annotated[
        str | None,
        typer.Option(
            "--list",
            metavar="FILE",
            help="Only the cases that it names: a name or a path a line.",
            rich_help_panel=MANY,
        ),
    ] = None,
    missing: Annotated[
        bool,
        typer.Option(
            "--missing",
            help="Predict nothing; print the cases without a label map, exit 3 if there are some.",
            rich_help_panel=MANY,
        ),
    ] = False,
    trust: Trust = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Others' models: also CASE.npz, as nnU-Net saves them.")
    ] = False,
    configuration: Configuration = None,
    folds: Folds = None,
    mirror: Mirror = None,
    step: Step = None,
    orientation: Orientation = None,
    card: Card = None,
    trust_model: TrustModel = None,
    series: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULE",
            help="DICOM: which series, by number=, modality=, description= (a regular expression) or part=;"
            " of several modalities PET:modality=PT, repeated.",
            rich_help_panel=DICOM,
        ),
    ] = None,
    dicom_tilt: Annotated[
        str,
        typer.Option(
            help="A gantry tilt: refuse, or resample (to a straight grid; labels go back onto the slices).",
            rich_help_panel=DICOM,
        ),
    ] = "refuse",
    write_as: Annotated[
        str,
        typer.Option("--as", help="nifti, or seg: an artefact writes DICOM SEG.", rich_help_panel=DICOM),
    ] = "nifti",
    seg: Annotated[
        str, typer.Option(help="SEG: binary, or labelmap (fewer readers know it).", rich_help_panel=DICOM)
    ] = "binary",
    codes: Annotated[
        Path | None,
        typer.Option(
            help="SEG: SNOMED codes of the classes, JSON, instead of the model's own; a file that is not"
            " there yet is suggested.",
            rich_help_panel=DICOM,
        ),
    ] = None,
    report: Annotated[
        bool,
        typer.Option(
            "--report",
            help="SEG: beside each, CASE_report.dcm, a structured report of volumes.",
            rich_help_panel=DICOM,
        ),
    ] = False,
) -> None:
    """Label maps of new scans, in each scan's own space; exit 1 if some were refused."""
    code = predicting.predict(
        run,
        inputs,
        modality=modality,
        fuse=fuse,
        threshold=threshold,
        overwrite=overwrite,
        weights=weights,
        device=device,
        threads=threads,
        skip_empty=skip_empty,
        times=times,
        trust=trust,
        probabilities=probabilities,
        teacher=options_of_teacher(
            configuration=configuration,
            folds=folds,
            mirror=mirror,
            step=step,
            orientation=orientation,
            card=card,
            trust=trust_model,
        ),
        series=series or (),
        dicom_tilt=dicom_tilt,
        write_as=write_as,
        seg=seg,
        codes=codes,
        report=report,
        part=part,
        list=list,
        missing=missing,
    )
    if code:
        raise typer.Exit(code)
