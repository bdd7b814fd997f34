"""export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..names import pasted
from ..progress import counting
from . import show
from .arguments import Configuration, Folds, Orientation, Step, Trust, Weights
from .teachers import options_of_teacher
from .text import examples
from .text import words as listed

if TYPE_CHECKING:
    from ..export.artefact import Exported
    from ..export.for_others import HandedOn
    from ..export.web.making import Page


def add_to(app: typer.Typer, panel: str, words: Sequence[str]) -> None:
    of_export = examples(
        "distilseg export runs/DATASET/RUN",
        "distilseg export runs/DATASET/RUN --to openvino --zip",
        "distilseg export runs/DATASET/RUN --to openvino-int8 --max-dice-drop 0.3",
        "distilseg export runs/DATASET/RUN --to openvino --windows fitted --window-memory 500MB",
        "distilseg export runs/DATASET/RUN --out student --cases case_01,case_07",
        "distilseg export nnUNet_results/DATASET/MODEL --to openvino --data SCANS --out model",
        "distilseg export nnUNet_results/DATASET/MODEL --data SCANS --folds 0 --mirror --zip",
        "distilseg predict student SCANS predictions",
        "distilseg export runs/DATASET/RUN --to nnunet --zip",
        "distilseg export runs/DATASET/RUN --to monai-bundle --out bundle",
        "distilseg export runs/DATASET/RUN --to web --out page.html",
        "distilseg export student --to web --folder --out site",
    )
    app.command(rich_help_panel=panel, epilog=of_export)(export)


def export(
    run: Annotated[
        Path,
        typer.Argument(
            help="A run folder, or a model of others: nnU-Net v2, a MONAI bundle; to web, an artefact too."
        ),
    ],
    to: Annotated[
        str,
        typer.Option(
            help="onnx (runs anywhere), openvino (fastest on a processor), openvino-int8 or torch; web, a"
            " page that segments in a browser; nnunet or monai-bundle, for those programs."
        ),
    ] = "onnx",
    out: Annotated[
        Path | None,
        typer.Option(
            help="A folder, or a .zip; else RUN/export/<what --to says>, of a model of others here."
        ),
    ] = None,
    zip: Annotated[bool, typer.Option("--zip", help="One file instead of a folder.")] = False,
    folder: Annotated[
        bool, typer.Option("--folder", help="web: files for a web server, with threads, instead of one page.")
    ] = False,
    cases: Annotated[
        str | None,
        typer.Option(help="Compared (int8: judged) on these, by comma; otherwise on 5 (20) test cases."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Where the run's dataset lies, if it moved; of a model of others, scans to compare on."
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="The most that a logit may differ, and Dice be below 1, else 0.01; in other programs Dice"
            " alone, else 0.1; of a model of others, the share of voxels with another label, else 0.001.",
        ),
    ] = None,
    max_dice_drop: Annotated[
        float, typer.Option(min=0, help="int8: the most points of mean Dice lost; beyond, float is kept.")
    ] = 0.5,
    calibration_cases: Annotated[
        int, typer.Option(min=1, help="int8: training cases that set the ranges.")
    ] = 10,
    even_if_slower: Annotated[
        bool,
        typer.Option("--even-if-slower", help="int8: keep it where it is slower than float on this machine."),
    ] = False,
    windows: Annotated[
        str,
        typer.Option(help="Those of training, or fitted to each scan, where no Dice is lost by that."),
    ] = "training",
    window_memory: Annotated[
        str | None,
        typer.Option(help="What fitted windows may take at once, such as 500MB; otherwise 1GB."),
    ] = None,
    weights: Weights = "best",
    trust: Trust = None,
    configuration: Configuration = None,
    folds: Folds = None,
    mirror: Annotated[
        bool,
        typer.Option(
            "--mirror", help="Of a model of others: average over mirrored scans, 4 or 8 times as slow."
        ),
    ] = False,
    step: Step = None,
    orientation: Orientation = None,
    codes: Annotated[
        Path | None,
        typer.Option(
            help="What the classes are in SNOMED CT, JSON, for DICOM SEG, else as the plan says; a file that"
            " is not there yet is suggested."
        ),
    ] = None,
    series: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULE",
            help="Which series of DICOM it takes, such as description=venous; of several modalities"
            " PET:modality=PT, repeated.",
        ),
    ] = None,
) -> None:
    """A run or a model of others as one folder or zip that predicts without torch, or a run in nnU-Net or
    MONAI; compared on real cases."""
    from .. import commands
    from ..export.for_others import HandedOn
    from ..export.web.making import Page

    asked = (configuration, folds, step, orientation)
    options = options_of_teacher(
        configuration=configuration,
        folds=folds,
        mirror=mirror,
        step=step,
        orientation=orientation,
        card=None,
        trust=None,
    )

    with counting("comparing") as progress:
        exported = commands.export(
            run,
            to,
            out=out,
            zip=zip,
            folder=folder,
            cases=listed(cases),
            data=data,
            tolerance=tolerance,
            max_dice_drop=max_dice_drop,
            calibration_cases=calibration_cases,
            even_if_slower=even_if_slower,
            windows=windows,
            window_memory=window_memory,
            weights=weights,
            trust=trust,
            teacher=options if mirror or any(value is not None for value in asked) else None,
            codes=codes,
            series=series or (),
            progress=progress,
        )
    if isinstance(exported, HandedOn):
        _tell_handed_on(exported)
    elif isinstance(exported, Page):
        _tell_page(exported)
    else:
        _tell_artefact(exported, in_torch=to == "torch")


def _tell_page(page: Page) -> None:
    if page.exported is not None:
        _tell_parity(page.exported)
    show.say(f"written to {page.path}, {page.bytes / 1e6:.1f} MB")
    if page.folder:
        show.say(f"look at it: {pasted('python', page.path / 'serve.py')}; any web server will do")
    else:
        show.say("open it by a double click: scans stay on the machine that opens it")


def _tell_artefact(exported: Exported, *, in_torch: bool) -> None:
    _tell_parity(exported)
    if (int8 := exported.quantised) is not None:
        scores = [
            (name, f"{100 * before:.2f}", f"{100 * int8.dice_int8[name]:.2f}")
            for name, before in int8.dice_float.items()
        ]
        show.console().print(show.table([int8.judged, "float", "int8"], scores, right=["float", "int8"]))
        for sentence in int8.sentences():
            show.say(sentence)
    show.say(f"written to {exported.path}")
    command = pasted("distilseg", "predict", exported.path, "SCANS", "PREDICTIONS")
    show.say(f"predict with it{', no torch needed' * (not in_torch)}: {command}")


def _tell_parity(exported: Exported) -> None:
    rows = [
        (one.case, f"{one.logit_difference:.2g}", f"{one.dice:.4f}", f"{one.voxels} of {one.of_voxels}")
        for one in exported.parity
    ]
    columns = ["largest difference of a logit", "least Dice", "other voxels"]
    show.console().print(show.table([f"artefact against {exported.of}", *columns], rows, right=columns))
    if exported.windows is not None:
        for sentence in exported.windows.sentences():
            show.say(sentence)


def _tell_handed_on(made: HandedOn) -> None:
    rows = [(one.case, f"{one.least:.4f}", f"{one.voxels} of {one.of_voxels}") for one in made.agreements]
    columns = ["least Dice", "other voxels"]
    show.console().print(show.table([f"{made.program} against run", *columns], rows, right=columns))
    for sentence in made.differs:
        show.say(sentence)
    show.say(f"written to {made.path}")
    show.say(f"predict with it in {made.program}:")
    for line in made.use:
        show.say(line)
