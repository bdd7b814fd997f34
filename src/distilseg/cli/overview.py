"""recipes, networks."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UserError
from . import show
from .text import examples, whole_numbers

if TYPE_CHECKING:
    from ..networks.overview import NetworkRow


def add_to(app: typer.Typer, panel: str, words: Sequence[str]) -> None:
    of_recipes = examples(
        "distilseg recipes",
        "distilseg recipes dual_self_distillation",
        "distilseg recipes --paper kd_net",
        "distilseg recipes my_file.py:my_recipe",
    )
    of_networks = examples(
        "distilseg networks --patch 32,48,32",
        "distilseg networks unetr --modalities 4",
        "distilseg networks ux_net --patch 144,144,144 --modalities 2 --count thop",
    )
    app.command(rich_help_panel=panel, epilog=of_recipes)(recipes)
    app.command(rich_help_panel=panel, epilog=of_networks)(networks)


def recipes(
    name: Annotated[str | None, typer.Argument(help="One recipe, also my_file.py:function.")] = None,
    paper: Annotated[
        str | None,
        typer.Option(help="A command for each row of its tables, beside what was published.", metavar="NAME"),
    ] = None,
) -> None:
    """What can be trained; with a NAME, its options; with a paper, its rows."""
    from .. import commands
    from .options import flag, metavar

    if paper is not None:
        from ..recipes.papers import find_paper
        from .paper import print_paper

        if name is not None:
            raise UserError(f"the recipe {name} and the paper {paper} are both asked for", "name one of them")
        print_paper(find_paper(paper))
        return
    if name is None:
        from ..recipes.papers import papers

        show.print_recipes()
        show.say("its options: distilseg recipes NAME; train it: distilseg train NAME --data DATASET")
        show.say(f"the rows of a paper's tables: distilseg recipes --paper NAME, of: {', '.join(papers())}")
        return
    (recipe,) = commands.recipes(name)
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
    network_option: Annotated[
        list[str] | None, typer.Option(help="An option of NAME; can be repeated.", metavar="OPTION=VALUE")
    ] = None,
    count: Annotated[
        str | None, typer.Option(help="Count once more as papers do that used this tool.", metavar="thop")
    ] = None,
) -> None:
    """The networks with what each costs for one patch; with a NAME, its options."""
    from .. import commands
    from ..networks.build import describe, options_from_text

    sizes = whole_numbers(patch, "--patch") or ()
    texts = network_option or []
    options = options_from_text(name, texts) if name else dict.fromkeys(texts)  # refused without a NAME
    found = commands.networks(
        name, patch=sizes, modalities=modalities, classes=classes, network_options=options, count=count
    )
    numbers = ["parameters", "GFLOPs", *(["thop parameters", "thop GFLOPs"] if count else [])]
    rows = [(row.name, *_numbers(row, len(numbers)), row.dims, row.constraint, row.summary) for row in found]
    columns = ["network", *numbers, "dims", "patches", "what it is"]
    show.console().print(show.table(columns, rows, right=numbers))
    shape = "x".join(map(str, sizes))
    show.say(
        "GFLOPs: multiply-accumulates of one forward pass / 10^9, as the field counts, for one patch;"
        f" patch {shape}, modalities {modalities}, classes {classes}"
    )
    if count:
        show.say(
            "thop: no attention products, no interpolation, norms counted, transposed convolutions too high;"
            " parameters only of layers that it has a rule for"
        )
    if name is not None:
        lines = [(f"{o}={v.default}", v.kind) for o, v in describe(name).options.items()]
        show.console().print(show.table(["--network-option", "type"], lines))


def _numbers(row: NetworkRow, wanted: int) -> list[str]:
    """What the row has counted, as text; dashes where the network cannot take the patch."""
    if row.parameters is None or row.gmacs is None:
        return ["–"] * wanted
    numbers = [f"{row.parameters:,}", f"{row.gmacs:.2f}"]
    if row.thop is not None:
        numbers += [f"{row.thop.parameters:,}", f"{row.thop.multiply_accumulates / 1e9:.2f}"]
    return numbers
