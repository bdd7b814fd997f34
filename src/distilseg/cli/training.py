"""train: one command per recipe, whose options are the recipe's own and those that every training has."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UserError
from . import show
from .text import drawn_view, examples, whole_numbers, words

if TYPE_CHECKING:
    from ..recipes import Recipe
    from ..runs import Run

_RECIPE, _DATA, _BUDGET = "Options of the recipe", "Data", "Budget: at least one, the first that ends counts"
_SAMPLING, _LEARNING, _VALIDATION, _WHERE = "Patches", "Learning", "Validation", "Where and how"

_EXAMPLES = examples(
    "distilseg train dual_self_distillation --data DATASET --minutes 30",
    "distilseg train dual_self_distillation --data DATASET --temperature 2 --network unetr --steps 2000",
    "distilseg train supervised --data DATASET --network-option filters=[8,16,32,64] --epochs 20",
    "distilseg train dual_self_distillation --help",
)


def add_to(app: typer.Typer, panel: str, words: Sequence[str]) -> None:
    """The command `train`; its recipes only where `words` ask for them, as finding them takes a moment."""
    train = typer.Typer(
        help="Train a recipe and its undistilled control, judge both, compare them.",
        epilog=_EXAMPLES,
        no_args_is_help=True,
        rich_markup_mode="markdown",
        subcommand_metavar="RECIPE --data DATASET [OPTIONS]",
    )
    train.callback()(_nothing)
    for recipe in _asked_for(words):
        train.command(
            recipe.name, help=_help(recipe), rich_help_panel="Recipes", epilog=_examples_of(recipe)
        )(_command(recipe))
    app.add_typer(train, name="train", rich_help_panel=panel)


def _nothing() -> None:
    pass


def _asked_for(words: Sequence[str]) -> list[Recipe]:
    if "train" not in words and "_DISTILSEG_COMPLETE" not in os.environ:
        return []
    from ..recipes import find, recipes

    after = words[words.index("train") + 1 :] if "train" in words else []
    if not after or after[0] == "--help" or "_DISTILSEG_COMPLETE" in os.environ:
        return list(recipes().values())
    if after[0].startswith("-"):
        raise UserError(
            f"train {after[0]}: the recipe comes first",
            "distilseg train RECIPE --data DATASET; `distilseg recipes` lists them",
        )
    return [replace(find(after[0]), name=after[0])]


def _examples_of(recipe: Recipe) -> str:
    train = f"distilseg train {recipe.name} --data DATASET"
    if "data_3d" in recipe.options:
        train = f"distilseg train {recipe.name} --data-3d VOLUMES --data-2d SLICES"
    more = [f"{train} --teachers h_denseformer,unetr --minutes 30"] if "teachers" in recipe.options else []
    more += [f"{train} --student-sees CT --minutes 30"] if "student_sees" in recipe.options else []
    more += [f"{train} --view all --minutes 30"] if "fuse" in recipe.options else []
    return examples(
        f"{train} --minutes 30",
        *more,
        f"{train} --plan plan.json --steps 2000 --seed 1",
        f"{train} --folds 3 --epochs 20",
        f"{train} --subjects 20,40,80,all --steps 2000",
    )


def _help(recipe: Recipe) -> str:
    """Its docstring without the paragraph that explains the options, which stand below with their text."""
    paragraphs = (inspect.getdoc(recipe.make) or "").split("\n\n")
    return "\n\n".join(p for p in paragraphs if p.partition(":")[0] not in recipe.options)


def common(
    data: Annotated[
        str, typer.Option(help="A folder of labelled scans, or a CSV table.", rich_help_panel=_DATA)
    ],
    layout: Annotated[
        str | None,
        typer.Option(help="msd, nnunet, brats, hecktor, picai, table or folders.", rich_help_panel=_DATA),
    ] = None,
    modalities: Annotated[
        str | None, typer.Option(metavar="A,B", help="Only these of the dataset.", rich_help_panel=_DATA)
    ] = None,
    one_slice_per_subject: Annotated[
        bool,
        typer.Option(
            "--one-slice-per-subject",
            help="Only one slice of each patient's volumes, drawn by --split-seed among those that show a"
            " structure.",
            rich_help_panel=_DATA,
        ),
    ] = False,
    slice_view: Annotated[
        str | None,
        typer.Option(help="Of these slices: axial, coronal or sagittal.", rich_help_panel=_DATA),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(
            help="Of `distilseg plan`, perhaps edited; of one for a budget also the network.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="JSON lists train, validation, test.", rich_help_panel=_DATA)
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(help="Cross-validation: all folds, unless --fold names one.", rich_help_panel=_DATA),
    ] = None,
    fold: Annotated[int | None, typer.Option(help="Which of them, from 0.", rich_help_panel=_DATA)] = None,
    subjects: Annotated[
        str | None,
        typer.Option(
            metavar="N,M,all",
            help="Train on so many patients; of several numbers, on each, and draw the curve.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    split_seed: Annotated[int, typer.Option(min=0, help="Draws the split.", rich_help_panel=_DATA)] = 0,
    steps: Annotated[int | None, typer.Option(help="Of the optimizer.", rich_help_panel=_BUDGET)] = None,
    epochs: Annotated[
        float | None, typer.Option(help="Until every case has given its patches.", rich_help_panel=_BUDGET)
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Of each run.", rich_help_panel=_BUDGET)] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Patches in a step, over all devices.", rich_help_panel=_SAMPLING),
    ] = None,
    patches_per_case: Annotated[
        int | None, typer.Option(min=1, help="In an epoch.", rich_help_panel=_SAMPLING)
    ] = None,
    foreground_fraction: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Patches around a structure.", rich_help_panel=_SAMPLING),
    ] = None,
    augmentation: Annotated[
        str | None,
        typer.Option(
            help="none, light, flips, dsd_hippocampus, dsd_mmwhs, hecktor21, picai22 or abdomen.",
            rich_help_panel=_SAMPLING,
        ),
    ] = None,
    flip_axes: Annotated[
        list[str] | None,
        typer.Option(
            metavar="I,J,K",
            help="Axes to mirror, or none; leave out left-right (0) where sides are labelled.",
            rich_help_panel=_SAMPLING,
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that draw patches.", rich_help_panel=_SAMPLING)
    ] = None,
    optimizer: Annotated[
        str | None, typer.Option(help="adamw, adam, sgd or momentum.", rich_help_panel=_LEARNING)
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Where the schedule begins.", rich_help_panel=_LEARNING)
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option(min=0, help="Pulls weights towards 0.", rich_help_panel=_LEARNING)
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            help="constant, cosine, polynomial, halving, steps or plateau.", rich_help_panel=_LEARNING
        ),
    ] = None,
    warmup: Annotated[
        float | None, typer.Option(min=0, max=1, help="Fraction of the budget.", rich_help_panel=_LEARNING)
    ] = None,
    plateau_patience: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Of the schedule plateau: validations before the rate falls.",
            rich_help_panel=_LEARNING,
        ),
    ] = None,
    plateau_factor: Annotated[
        float | None, typer.Option(help="... by this factor.", rich_help_panel=_LEARNING)
    ] = None,
    clip: Annotated[
        float | None, typer.Option(min=0, help="Largest gradient norm; 0: none.", rich_help_panel=_LEARNING)
    ] = None,
    accumulate: Annotated[
        int | None, typer.Option(min=1, help="Batches per step.", rich_help_panel=_LEARNING)
    ] = None,
    ema: Annotated[
        float | None, typer.Option(min=0, max=1, help="Decay of averaged weights.", rich_help_panel=_LEARNING)
    ] = None,
    validations: Annotated[
        int | None, typer.Option(min=1, help="Over the budget.", rich_help_panel=_VALIDATION)
    ] = None,
    validation_cases: Annotated[
        int | None, typer.Option(min=1, help="At most.", rich_help_panel=_VALIDATION)
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(min=1, help="Stop after this many without a new best.", rich_help_panel=_VALIDATION),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Of weights, patches and augmentation.", rich_help_panel=_WHERE)
    ] = 0,
    runs: Annotated[Path, typer.Option(help="Where runs are kept.", rich_help_panel=_WHERE)] = Path("runs"),
    cache: Annotated[
        Path | None, typer.Option(help="Prepared cases; else the user's cache.", rich_help_panel=_WHERE)
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.", rich_help_panel=_WHERE)] = "auto",
    precision: Annotated[
        str, typer.Option(help="auto, 32-true, bf16-mixed or 16-mixed.", rich_help_panel=_WHERE)
    ] = "auto",
    devices: Annotated[
        int, typer.Option(min=1, help="Per node.", envvar="LOCAL_WORLD_SIZE", rich_help_panel=_WHERE)
    ] = 1,
    nodes: Annotated[
        int, typer.Option(min=1, help="Machines.", envvar="GROUP_WORLD_SIZE", rich_help_panel=_WHERE)
    ] = 1,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of the network.", rich_help_panel=_WHERE)
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write its logs.", rich_help_panel=_WHERE)
    ] = False,
    control: Annotated[
        bool, typer.Option(help="Also the undistilled control.", rich_help_panel=_WHERE)
    ] = True,
    evaluate: Annotated[bool, typer.Option(help="Judge on the test cases.", rich_help_panel=_WHERE)] = True,
) -> None:
    """The options of every training; None means: as the recipe decides."""


def _command(recipe: Recipe) -> Callable[..., None]:
    """The function that typer reads and calls for one recipe. A recipe's own option goes before a common one
    of that name."""
    from .options import parameters_of

    own = parameters_of(recipe, _RECIPE)
    shared = inspect.signature(common, eval_str=True).parameters
    parameters = [
        *own,
        *(_shared(recipe, p) for p in shared.values() if p.name not in recipe.options),
    ]

    def command(**given: Any) -> None:
        _train(recipe, given)

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def _shared(recipe: Recipe, parameter: inspect.Parameter) -> inspect.Parameter:
    """A common option; --data is --data-2d too where a recipe learns from volumes beside it."""
    parameter = parameter.replace(kind=parameter.KEYWORD_ONLY)
    if parameter.name != "data" or "data_3d" not in recipe.options:
        return parameter
    told = "Labelled slices, or volumes to take slices of: a folder or a CSV table."
    option = typer.Option("--data-2d", "--data", help=told, rich_help_panel=_DATA)
    return parameter.replace(annotation=Annotated[str, option])


_SETTINGS = (
    *("batch_size", "patches_per_case", "foreground_fraction", "augmentation", "flip_axes", "workers"),
    *("optimizer", "learning_rate", "weight_decay", "schedule", "plateau_patience", "plateau_factor"),
    *("warmup", "clip", "accumulate", "ema"),
    *("validations", "validation_cases", "patience"),
)
_MACHINE = ("device", "precision", "devices", "nodes")


def _train(recipe: Recipe, given: Mapping[str, Any]) -> None:
    from .. import commands
    from ..training.machine import Machine, is_main_process
    from .options import values_of

    options = values_of(recipe, given)
    shared = {name: value for name, value in given.items() if name not in recipe.options}
    machine = Machine(**{name: shared.pop(name) for name in _MACHINE if name in shared})
    settings = {name: shared.pop(name) for name in _SETTINGS if name in shared}
    runs = commands.train(
        recipe.name,
        shared.pop("data"),
        modalities=words(shared.pop("modalities")),
        one_slice_per_subject=drawn_view(shared.pop("one_slice_per_subject"), shared.pop("slice_view")),
        subjects=_subjects(words(shared.pop("subjects"))),
        options=options,
        machine=machine,
        **_settings(settings),
        **shared,
    )
    if is_main_process():
        _ending(runs, judged=bool(given["evaluate"]))


def _settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those that were given, as `Experiment.with_settings` takes them."""
    settings = {name: value for name, value in given.items() if value is not None and value != []}
    if settings.get("clip") == 0:
        settings["clip"] = None
    if axes := settings.get("flip_axes"):
        settings["flip_axes"] = () if axes == ["none"] else whole_numbers(axes, "--flip-axes")
    return settings


def _subjects(asked: Sequence[str] | None) -> list[int | str] | None:
    """Words that are numbers as numbers."""
    if asked is None:
        return None
    return [int(word) if word.removeprefix("-").isdecimal() else word for word in asked]


def _ending(runs: Sequence[Run], *, judged: bool) -> None:
    """The comparison, the page, and the command that comes next."""
    from .. import commands
    from ..report import print_comparison

    run = runs[-1]
    of_recipe = [one for one in runs if _kind(one) == _kind(run)]
    sizes: dict[str, list[Run]] = {}
    for one in of_recipe:
        sizes.setdefault(_size(one), []).append(one)
    if judged and run.metrics.is_file():
        page = run.folder / "report.html"
        if len(of_recipe) > 1:  # a page of all folds and numbers of subjects lies beside them
            told = [f"{'-'.join(sizes)}-subjects"] if len(sizes) > 1 else []
            told += [f"{len(sizes[_size(run)])}-folds"] if len(sizes[_size(run)]) > 1 else []
            page = run.folder.parent / f"{run.name.rpartition('-')[0]}-{'-'.join(told)}.html"
        print_comparison(commands.report(runs, page), show.console())
        show.say(f"report: {page}")
    for size, of_size in sizes.items():
        for number, one in enumerate(of_size):
            told = [f"fold {number}"] if len(of_size) > 1 else []
            told += [f"{size} subject{'s' * (size != '1')}"] if len(sizes) > 1 else []
            show.say(f"the trained model{' of ' * bool(told)}{', '.join(told)}: {one.folder}")
    show.say(f"predict with it: distilseg predict {run.folder} SCAN.nii.gz PREDICTIONS")


def _kind(run: Run) -> tuple[str, bool]:
    """Its recipe, and whether it stands for several views."""
    about = run.read(run.experiment)
    return about["recipe"], "fusion" in about


def _size(run: Run) -> str:
    """How many training subjects were drawn for it."""
    about = run.read(run.experiment).get("subjects", {})
    return str(about["training"]) if about.get("drawn") else "all"
