"""train: one command per recipe, whose options are the recipe's own and those that every training has."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import typer

from ..errors import UserError
from ..names import component, pasted
from . import show
from .text import examples

if TYPE_CHECKING:
    from ..recipes import Recipe
    from ..runs import Run

_EXAMPLES = examples(
    "distilseg train dual_self_distillation --data DATASET --minutes 30",
    "distilseg train dual_self_distillation --data DATASET --temperature 2 --network unetr --steps 2000",
    "distilseg train supervised --data DATASET --network-option filters=[8,16,32,64] --epochs 20",
    "distilseg train dual_self_distillation --help",
)


def add_to(app: typer.Typer, panel: str, words: Sequence[str]) -> None:
    """The command `train`; its recipes only where `words` ask for them, as finding them takes a moment."""
    train = typer.Typer(
        cls=_Recipes,
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


class _Recipes(typer.core.TyperGroup):
    """Its help lists the recipes by paper, as `distilseg recipes` does."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        usage = " ".join(self.collect_usage_pieces(ctx))
        for line in (f"Usage: {ctx.command_path} {usage}", "", self.help or "", ""):
            show.say(line)
        show.print_recipes()
        for line in ("", *(line for line in _EXAMPLES.splitlines() if line), ""):
            show.say(line)
        show.say("Options of a recipe: distilseg train RECIPE --help")


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
    train = pasted("distilseg", "train", recipe.name, "--data", "DATASET")
    if "data_3d" in recipe.options:
        train = pasted("distilseg", "train", recipe.name, "--data-3d", "VOLUMES", "--data-2d", "SLICES")
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


def _command(recipe: Recipe) -> Callable[..., None]:
    """The function that typer reads and calls for one recipe."""
    from .options import parameters_of
    from .settings import parameters_of_training

    parameters = [*parameters_of(recipe, "Options of the recipe"), *parameters_of_training(recipe)]

    def command(**given: Any) -> None:
        _train(recipe, given)

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def _train(recipe: Recipe, given: Mapping[str, Any]) -> None:
    from ..data.formats import check_there

    check_there(given["data"])  # before torch is imported, which takes seconds
    from .. import commands
    from ..training.machine import is_main_process

    runs = commands.train(**asked_by(recipe, given))
    if runs and given["only"] is None and is_main_process():
        _ending(runs, judged=bool(given["evaluate"]))


def asked_by(recipe: Recipe, given: Mapping[str, Any]) -> dict[str, Any]:
    """What `commands.train` is called with, by the options that were given."""
    from .options import values_of
    from .settings import values_of_training

    shared = {name: value for name, value in given.items() if name not in recipe.options}
    return {"recipe": recipe.name, "options": values_of(recipe, given), **values_of_training(shared)}


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
            name = f"{run.name.rpartition('-')[0]}-{'-'.join(told)}"
            page = run.folder.parent / component(name, ".html", kind="page")
        print_comparison(commands.report(runs, page), show.console())
        show.say(f"report: {page}")
    for size, of_size in sizes.items():
        for number, one in enumerate(of_size):
            told = [f"fold {number}"] if len(of_size) > 1 else []
            told += [f"{size} subject{'s' * (size != '1')}"] if len(sizes) > 1 else []
            show.say(f"the trained model{' of ' * bool(told)}{', '.join(told)}: {one.folder}")
    command = pasted("distilseg", "predict", run.folder, "SCAN.nii.gz", "PREDICTIONS")
    show.say(f"predict with it: {command}")


def _kind(run: Run) -> tuple[str, bool]:
    """Its recipe, and whether it stands for several views."""
    about = run.read(run.experiment)
    return about["recipe"], "fusion" in about


def _size(run: Run) -> str:
    """How many training subjects were drawn for it."""
    about = run.read(run.experiment).get("subjects", {})
    return str(about["training"]) if about.get("drawn") else "all"
