"""teacher, distil: models that others trained."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from ..names import pasted
from . import show
from .arguments import AsJson, Card, Configuration, Folds, Mirror, Orientation, Step, TrustModel
from .text import examples, runs_of
from .text import words as listed

if TYPE_CHECKING:
    from ..recipes import Recipe

_ONE_RUN = ("folds", "fold", "subjects", "one_slice_per_subject", "slice_view", "evaluate", "only")
_HELP = {
    "data": "Scans, labelled all, in part, or by nobody: a folder or a CSV table.",
    "unlabelled": "More scans without labels, beside those of the dataset: folders by comma.",
}
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
        "distilseg distil MODEL --data DATASET --plan plan.json --cache /shared/cache --part 3/100",
    )
    app.command(rich_help_panel=panel, epilog=of_teacher)(teacher)
    # Its options are found only where they are asked for, as that takes a moment.
    command = _distil() if "distil" in words else _nothing
    app.command("distil", rich_help_panel=panel, epilog=of_distil)(command)


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
    as_json: AsJson = False,
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
        show.say_json(told)
        return
    plain = {name: value for name, value in told.items() if name not in _SHOWN and value != ""}
    rows = [(name.replace("_", " "), _shown(value)) for name, value in plain.items()]
    heads = told.get("classes") or told.get("regions") or {}
    kind = "classes" if "classes" in told else "regions"
    rows.append(
        (f"{len(heads)} {kind}", ", ".join(f"{name} {_shown(value)}" for name, value in heads.items()))
    )
    rows += [(f"sha of {name}", str(digest)[:16]) for name, digest in told.get("files", {}).items()]
    show.console().print(show.table(["", str(told.get("name", model))], rows))
    in_files = told["kind"] == "answers in files"
    show.say(
        "its answers can be read; nothing is computed"
        if in_files
        else "it can be rebuilt here, layer by layer as its files say"
    )
    show.say(f"segment with it: {pasted('distilseg', 'predict', model, 'SCANS', 'OUT')}")
    show.say(f"distil it:       {pasted('distilseg', 'distil', model, '--data', 'SCANS', '--minutes', '60')}")


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


def _nothing() -> None:
    """A small student of a model that others trained, beside its control; judged, and ready to export."""


def _distil() -> Callable[..., None]:
    """The command, whose options are those of the recipe and of every training."""
    from ..recipes import find
    from .options import parameters_of
    from .settings import parameters_of_training

    recipe = find("distil")
    own = [p for p in parameters_of(recipe, "Options of the recipe") if p.name != "teacher"]
    parameters = [
        *inspect.signature(_named, eval_str=True).parameters.values(),
        *(_student(p) if p.name == "network" else p for p in own),
        *(_told(p) for p in parameters_of_training(recipe) if p.name not in _ONE_RUN),
    ]

    def command(**given: Any) -> None:
        _run_distil(recipe, given)

    command.__doc__ = _nothing.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def _named(
    *,
    model: Annotated[str, typer.Argument(metavar="MODEL[,MODEL...]", help="Models that others trained.")],
    recipe: Annotated[
        str, typer.Option(help="Another way: distil_dsd, or an ablation such as distil_hard.")
    ] = "distil",
    part: Annotated[
        str | None,
        typer.Option(
            metavar="K/N",
            help="Record what the models answer for the K-th of N parts of the scans, and train nothing.",
        ),
    ] = None,
) -> None:
    """What this command has beside the recipe's options and training's."""


def _told(shared: inspect.Parameter) -> inspect.Parameter:
    """An option that every training has, with what it means here."""
    kind, option = get_args(shared.annotation)
    option = copy(option)
    option.help = _HELP.get(shared.name, option.help)
    return shared.replace(annotation=Annotated[kind, option])


def _student(network: inspect.Parameter) -> inspect.Parameter:
    """`--network`, also as `--student`."""
    kind, option = get_args(network.annotation)
    option = copy(option)
    option.param_decls = ("--student", "--network")
    return network.replace(annotation=Annotated[kind, option])


def _run_distil(recipe: Recipe, given: Mapping[str, Any]) -> None:
    from .. import commands
    from ..report import print_comparison
    from .options import values_of
    from .settings import parameters_of_training, values_of_training

    usual = {p.name: p.default for p in parameters_of_training(recipe)}
    shared = usual | {name: value for name, value in given.items() if name not in recipe.options}
    model, way, part = shared.pop("model"), shared.pop("recipe"), shared.pop("part")
    options = values_of(recipe, given)
    classes = options.pop("classes", ())
    training = {name: value for name, value in values_of_training(shared).items() if name not in _ONE_RUN}
    models, data = runs_of(Path(model)) if model else [], training.pop("data")
    told = {"unlabelled": training.pop("unlabelled"), "classes": classes, "options": options, "recipe": way}
    if part is not None:
        from ..commands._distil import record_part

        record_part(models, data, part, say=show.say, **told, **training)
        show.say("recorded; when all parts are there: the same command without --part trains")
        return
    made = commands.distil(models, data, say=show.say, **told, **training)
    page = made.student.folder / "report.html"
    if made.student.metrics.is_file():
        print_comparison(commands.report(made.runs, page), show.console())
        show.say(f"report: {page}")
    show.say(f"the student: {made.student.folder}")
    command = pasted("distilseg", "export", made.student.folder, "--to", "openvino", "--zip")
    show.say(f"ship it: {command}")


def _shown(value: Any) -> str:
    """A plain value in a line."""
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_shown(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_shown(one) for one in value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
