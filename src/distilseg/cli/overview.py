"""recipes, networks."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Annotated

import typer

from . import show
from .text import examples, whole_numbers


def add_to(app: typer.Typer, panel: str, words: Sequence[str]) -> None:
    of_recipes = examples(
        "distilseg recipes",
        "distilseg recipes dual_self_distillation",
        "distilseg recipes my_file.py:my_recipe",
    )
    of_networks = examples("distilseg networks --patch 32,48,32", "distilseg networks unetr --modalities 4")
    app.command(rich_help_panel=panel, epilog=of_recipes)(recipes)
    app.command(rich_help_panel=panel, epilog=of_networks)(networks)


def recipes(
    name: Annotated[str | None, typer.Argument(help="One recipe, also my_file.py:function.")] = None,
) -> None:
    """What can be trained; with a NAME, its options."""
    from .. import commands
    from .options import flag, metavar

    found = commands.recipes(name)
    if name is None:
        show.console().print(show.table(["recipe", "what it is"], [(r.name, r.summary) for r in found]))
        show.say("its options: distilseg recipes NAME; train it: distilseg train NAME --data DATASET")
        return
    (recipe,) = found
    show.say(f"{recipe.name}: {inspect.getdoc(recipe.make) or ''}")
    rows = [
        (flag(recipe, n), metavar(recipe, n), "" if p.default is None else p.default)
        for n, p in recipe.options.items()
    ]
    if rows:
        show.console().print(show.table(["option", "type", "default"], rows))


def networks(
    name: Annotated[str | None, typer.Argument(help="One network, also my_file.py:function.")] = None,
    patch: Annotated[str, typer.Option(help="Voxels per axis, two or three.", metavar="I,J,K")] = "64,64,64",
    modalities: Annotated[int, typer.Option(min=1, help="Channels of the image.")] = 1,
    classes: Annotated[int, typer.Option(min=2, help="The background included.")] = 2,
) -> None:
    """The networks with what each costs for one patch; with a NAME, its options."""
    from .. import commands

    sizes = whole_numbers(patch, "--patch") or ()
    found = commands.networks(name, patch=sizes, modalities=modalities, classes=classes)
    rows = [
        (
            row.name,
            "–" if row.parameters is None else f"{row.parameters:,}",
            "–" if row.gmacs is None else f"{row.gmacs:.2f}",
            row.dims,
            row.constraint,
            row.summary,
        )
        for row in found
    ]
    columns = ["network", "parameters", "GFLOPs", "dims", "patches", "what it is"]
    show.console().print(show.table(columns, rows, right=["parameters", "GFLOPs"]))
    shape = "x".join(map(str, sizes))
    show.say(
        "GFLOPs: multiply-accumulates of one forward pass / 10^9, as the field counts, for one patch;"
        f" patch {shape}, modalities {modalities}, classes {classes}"
    )
    if name is not None:
        from ..networks.build import describe

        options = [(f"{o}={v.default}", v.kind) for o, v in describe(name).options.items()]
        show.console().print(show.table(["--network-option", "type"], options))
