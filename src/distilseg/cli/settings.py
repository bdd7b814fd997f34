"""The options of every training.

Those of its data and its run are written here. Those of its settings are fields, each of which says itself
what it is (`training/setting.py`); what is not given is as the recipe decides.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from ..recipes import Recipe
from ..training.budget import Budget
from ..training.experiment import Optimisation, Sampling, Validation
from ..training.machine import Machine
from ..training.setting import setting_fields
from .arguments import Cache, Layout, Modalities, SliceView
from .text import drawn_view, whole_numbers, words


def parameters_of_training(recipe: Recipe) -> list[inspect.Parameter]:
    """The options that `recipe` shares with all others, as typer understands them; its own go before."""
    budget, manner = "Budget: at least one, the first that ends counts", "Where and how"
    shared = [
        *_written(_slices if "data_3d" in recipe.options else _scans, "Data"),
        *_written(_study, "Data"),
        *_said(Budget, budget),
        *_said(Sampling, "Patches"),
        *_said(Optimisation, "Learning"),
        *_said(Validation, "Validation"),
        *_written(_run, manner),
        *_said(Machine, manner, default=True),
        *_written(_extent, manner),
    ]
    return [parameter for parameter in shared if parameter.name not in recipe.options]


def values_of_training(given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of these options, as `commands.train` takes them."""
    values = dict(given)
    told = {kind: _taken(kind, values) for kind in (Machine, Budget, Sampling, Optimisation, Validation)}
    machine = Machine(**told.pop(Machine))
    view = drawn_view(values.pop("one_slice_per_subject"), values.pop("slice_view"))
    return {
        **values,
        "modalities": words(values["modalities"]),
        "one_slice_per_subject": view,
        "subjects": _subjects(words(values["subjects"])),
        "unlabelled": words(values["unlabelled"]) or (),
        "machine": machine,
        **{name: value for settings in told.values() for name, value in settings.items()},
    }


def _taken(kind: type, values: dict[str, Any]) -> dict[str, Any]:
    """Takes the fields of `kind` out of `values`; those that were given, as it takes them."""
    found: dict[str, Any] = {}
    for field in setting_fields(kind):
        value = values.pop(field.name, None)
        if value is None or value == []:
            continue
        if field.kind is tuple:
            value = () if value == ["none"] else whole_numbers(value, f"--{field.name.replace('_', '-')}")
        found[field.name] = None if value == field.setting.none else value
    return found


def _subjects(asked: Sequence[str] | None) -> list[int | str] | None:
    """Words that are numbers as numbers."""
    if asked is None:
        return None
    return [int(word) if word.removeprefix("-").isdecimal() else word for word in asked]


def _scans(data: Annotated[str, typer.Option(help="A folder of labelled scans, or a CSV table.")]) -> None:
    """What a recipe of one dataset learns from."""


def _slices(
    data: Annotated[
        str,
        typer.Option(
            "--data-2d",
            "--data",
            help="Labelled slices, or volumes to take slices of: a folder or a CSV table.",
        ),
    ],
) -> None:
    """What a recipe learns from that learns from volumes beside it."""


def _study(
    layout: Layout = None,
    modalities: Modalities = None,
    one_slice_per_subject: Annotated[
        bool,
        typer.Option(
            "--one-slice-per-subject",
            help="Only one slice of each patient's volumes, drawn by --split-seed among those that show a"
            " structure.",
        ),
    ] = False,
    slice_view: SliceView = None,
    plan: Annotated[
        Path | None,
        typer.Option(help="Of `distilseg plan`, perhaps edited; of one for a budget also the network."),
    ] = None,
    split: Annotated[Path | None, typer.Option(help="JSON lists train, validation, test.")] = None,
    folds: Annotated[
        int | None, typer.Option(help="Cross-validation: all folds, unless --fold names one.")
    ] = None,
    fold: Annotated[int | None, typer.Option(help="Which of them, from 0.")] = None,
    subjects: Annotated[
        str | None,
        typer.Option(
            metavar="N,M,all",
            help="Train on so many patients; of several numbers, on each, and draw the curve.",
        ),
    ] = None,
    unlabelled: Annotated[
        str | None,
        typer.Option(
            metavar="SCANS",
            help="Scans without labels that teachers answer for: folders by comma; own: the dataset's; rest:"
            " those that --subjects leaves.",
        ),
    ] = None,
    split_seed: Annotated[int, typer.Option(min=0, help="Draws the split.")] = 0,
) -> None:
    """How they are read, prepared and split."""


def _run(
    seed: Annotated[int, typer.Option(min=0, help="Of weights, patches and augmentation.")] = 0,
    runs: Annotated[Path, typer.Option(help="Where runs are kept.")] = Path("runs"),
    cache: Cache = None,
) -> None:
    """Which run it is, and where it lies."""


def _extent(
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of the network.")] = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also write its logs.")] = False,
    control: Annotated[bool, typer.Option(help="Also the undistilled control.")] = True,
    evaluate: Annotated[bool, typer.Option(help="Judge on the test cases.")] = True,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Of the runs that this needs, the one with this key in `submit`'s lines; data: scans are"
            " prepared, answers recorded, nothing is trained.",
        ),
    ] = None,
) -> None:
    """What is done beside it."""


def _written(function: Callable[..., None], panel: str) -> Iterator[inspect.Parameter]:
    """The parameters of a function above."""
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        kind, option = get_args(parameter.annotation)
        option = copy(option)
        option.rich_help_panel = panel
        yield parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=Annotated[kind, option])


def _said(of: type, panel: str, *, default: bool = False) -> Iterator[inspect.Parameter]:
    """The fields of a dataclass that have settings; with their `default`, or None: as the recipe decides."""
    for field in setting_fields(of):
        option = typer.Option(
            min=field.setting.least,
            max=field.setting.most,
            help=field.setting.told,
            metavar=field.setting.metavar,
            envvar=field.setting.variable,
            rich_help_panel=panel,
        )
        kind: Any = list[str] if field.kind is tuple else field.kind
        yield inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default if default else None,
            annotation=Annotated[kind if default else kind | None, option],
        )
