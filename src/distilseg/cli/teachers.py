"""teacher, distil: models that others trained."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from . import show
from .arguments import Cache, Card, Configuration, Folds, Mirror, Modalities, Orientation, Step, TrustModel
from .text import examples
from .text import words as listed

_BUDGET = "Budget: at least one, the first that ends counts"
_TEACHER = "The teacher"
_STUDENT = "The student"
_SHOWN = ("classes", "regions", "files")  # at length, after the others


def add_to(app: typer.Typer, panel: str, words: Sequence[str]) -> None:
    of_teacher = examples(
        "distilseg teacher nnUNet_results/Dataset004_Hippocampus/nnUNetTrainer__nnUNetPlans__3d_fullres",
        "distilseg teacher exported.zip --json",
        "distilseg teacher nnUNet_results/Dataset004_Hippocampus --configuration 2d --folds 0",
    )
    of_distil = examples(
        "distilseg distil MODEL --data DATASET --minutes 60",
        "distilseg distil MODEL --data DATASET --unlabelled MORE_SCANS --student student_tiny --minutes 30",
        "distilseg distil MODEL --data DATASET --classes kidney=kidney_left+kidney_right,liver --steps 2000",
        "distilseg distil MODEL_1,MODEL_2 --data DATASET --answers hard --minutes 60",
    )
    app.command(rich_help_panel=panel, epilog=of_teacher)(teacher)
    app.command(rich_help_panel=panel, epilog=of_distil)(distil)


def teacher(
    model: Annotated[
        Path,
        typer.Argument(
            help="nnU-Net v2 (folder, .pth, zip), TotalSegmentator, MONAI bundle, ONNX, a run or artefact of"
            " ours, a folder of answers."
        ),
    ],
    configuration: Configuration = None,
    folds: Folds = None,
    mirror: Mirror = None,
    step: Step = None,
    orientation: Orientation = None,
    card: Card = None,
    trust_model: TrustModel = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """What a model that others trained is, and whether it can be rebuilt here; nothing in it is executed."""
    from .. import commands

    told = commands.teacher(
        model,
        options_of_teacher(
            configuration=configuration,
            folds=folds,
            mirror=mirror,
            step=step,
            orientation=orientation,
            card=card,
            trust=trust_model,
        ),
    )
    if as_json:
        print(json.dumps(told, indent=2, ensure_ascii=False))
        return
    rows = [(name.replace("_", " "), _shown(value)) for name, value in told.items() if name not in _SHOWN]
    heads = told.get("classes") or told.get("regions") or {}
    kind = "classes" if "classes" in told else "regions"
    rows.append(
        (f"{len(heads)} {kind}", ", ".join(f"{name} {_shown(value)}" for name, value in heads.items()))
    )
    rows += [(f"sha of {name}", str(digest)[:16]) for name, digest in told.get("files", {}).items()]
    show.console().print(show.table(["", str(told.get("name", model))], rows))
    show.say("it can be rebuilt here, layer by layer as its files say")
    show.say(f"segment with it: distilseg predict {model} SCANS OUT")
    show.say(f"distil it:       distilseg distil {model} --data SCANS --minutes 60")


def options_of_teacher(
    *,
    configuration: str | None,
    folds: str | None,
    mirror: bool | None,
    step: float | None,
    orientation: str | None,
    card: Path | None,
    trust: str | None,
) -> Any:
    """The options of the command line as a teacher takes them."""
    from ..teachers.teacher import TeacherOptions

    return TeacherOptions(
        configuration=configuration,
        folds=tuple(listed(folds) or ()) or None,
        mirror=mirror,
        step=step,
        orientation=orientation,
        card=card,
        trust=tuple(listed(trust) or ()),
    )


def distil(
    teacher: Annotated[str, typer.Argument(metavar="MODEL[,MODEL...]", help="Models that others trained.")],
    data: Annotated[Path, typer.Option(help="A dataset, labelled in part or whole.", rich_help_panel="Data")],
    unlabelled: Annotated[
        str | None,
        typer.Option(help="More scans, without labels: folders by comma.", rich_help_panel="Data"),
    ] = None,
    modalities: Modalities = None,
    plan: Annotated[Path | None, typer.Option(help="Of `distilseg plan`.", rich_help_panel="Data")] = None,
    split: Annotated[
        Path | None, typer.Option(help="JSON lists train, validation, test.", rich_help_panel="Data")
    ] = None,
    split_seed: Annotated[int, typer.Option(min=0, help="Draws the split.", rich_help_panel="Data")] = 0,
    student: Annotated[
        str, typer.Option(help="A network: student_tiny, student_small, ...", rich_help_panel=_STUDENT)
    ] = "student_small",
    classes: Annotated[
        str | None,
        typer.Option(
            help="That it learns, of the labels': kidney=kidney_left+kidney_right,liver; else all.",
            rich_help_panel=_STUDENT,
        ),
    ] = None,
    answers: Annotated[str, typer.Option(help="soft or hard.", rich_help_panel=_STUDENT)] = "soft",
    temperature: Annotated[
        float | None, typer.Option(help="Softens the answers.", rich_help_panel=_STUDENT)
    ] = None,
    recipe: Annotated[
        str, typer.Option(help="distil, distil_dsd or an ablation.", rich_help_panel=_STUDENT)
    ] = "distil",
    teacher_modalities: Annotated[
        str | None,
        typer.Option(help="Of the dataset, in the teacher's order.", rich_help_panel=_TEACHER),
    ] = None,
    configuration: Configuration = None,
    folds: Folds = None,
    mirror: Mirror = None,
    step: Step = None,
    orientation: Orientation = None,
    card: Card = None,
    trust_model: TrustModel = None,
    steps: Annotated[int | None, typer.Option(min=1, rich_help_panel=_BUDGET)] = None,
    epochs: Annotated[float | None, typer.Option(rich_help_panel=_BUDGET)] = None,
    minutes: Annotated[float | None, typer.Option(help="Of each training.", rich_help_panel=_BUDGET)] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, patches and augmentation.")] = 0,
    runs: Annotated[Path, typer.Option(help="Where runs are kept.")] = Path("runs"),
    cache: Cache = None,
    control: Annotated[bool, typer.Option(help="Also the undistilled control.")] = True,
) -> None:
    """A small student of a model that others trained, beside its control; judged, and ready to export."""
    from .. import commands
    from ..report import print_comparison

    options: dict[str, Any] = {
        "answers": answers,
        "temperature": temperature,
        "teacher_modalities": listed(teacher_modalities),
        "teacher_configuration": configuration,
        "teacher_folds": listed(folds),
        "teacher_mirror": mirror,
        "teacher_step": step,
        "teacher_orientation": orientation,
        "teacher_card": card and str(card),
        "trust_teacher": listed(trust_model),
    }
    if recipe != "distil":
        del options["answers"]
    made = commands.distil(
        listed(teacher) or [],
        data,
        unlabelled=listed(unlabelled) or (),
        student=student,
        classes=listed(classes) or (),
        options={name: value for name, value in options.items() if value is not None},
        recipe=recipe,
        modalities=listed(modalities),
        plan=plan,
        split=split,
        split_seed=split_seed,
        seed=seed,
        steps=steps,
        epochs=epochs,
        minutes=minutes,
        runs=runs,
        cache=cache,
        control=control,
        say=show.say,
    )
    page = made.student.folder / "report.html"
    if made.student.metrics.is_file():
        print_comparison(commands.report(made.runs, page), show.console())
        show.say(f"report: {page}")
    show.say(f"the student: {made.student.folder}")
    show.say(f"ship it: distilseg export {made.student.folder} --to openvino --zip")


def _shown(value: Any) -> str:
    """A plain value in a line."""
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_shown(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_shown(one) for one in value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
