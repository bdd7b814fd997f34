"""prototypes: a trained network's class prototypes as a file that can be given away."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..data.planning.views import VIEWS
from ..errors import UserError
from ..training.setting import one_of
from . import show
from .arguments import Cache, Data, Device, Trust
from .text import examples, lengths
from .text import words as listed

if TYPE_CHECKING:
    from ..data.prototypes import PrototypeFile

MOST_CHANNELS = 10  # that a line of the table holds


def add_to(app: typer.Typer, panel: str, words: Sequence[str]) -> None:
    of_prototypes = examples(
        "distilseg prototypes runs/VOLUMES/RUN --out prototypes.json",
        "distilseg prototypes runs/VOLUMES/RUN --organs liver,spleen --extent 0.2,0.8 --out middle.json",
        "distilseg prototypes runs/VOLUMES/RUN --scores scores.json --score-range 30,60",
        "distilseg train prototype_distillation --data-2d SLICES --prototypes prototypes.json --minutes 30",
    )
    app.command(rich_help_panel=panel, epilog=of_prototypes)(prototypes)


def prototypes(
    run: Annotated[Path, typer.Argument(help="A finished run of volumes.")],
    out: Annotated[Path | None, typer.Option(help="Where to; else in the run's folder.")] = None,
    feature: Annotated[str, typer.Option(help="logits, or a feature such as decoder.0.")] = "logits",
    reduce: Annotated[
        str, typer.Option(help="slice_mean, the mean of each slice's mean, or pixel_mean.")
    ] = "slice_mean",
    softmax: Annotated[bool, typer.Option("--softmax", help="Of the feature, before any mean.")] = False,
    view: Annotated[str, typer.Option(help=f"Slices: {one_of(VIEWS)}")] = "axial",
    organs: Annotated[
        str | None, typer.Option(metavar="A,B", help="Whose extent says which slices count; else all.")
    ] = None,
    extent: Annotated[
        str, typer.Option(metavar="FROM,TO", help="The part of it that counts, from 0 to 1.")
    ] = "0,1",
    scores: Annotated[
        Path | None,
        typer.Option(help="Body-part scores in place of the extent: JSON, case to a number per slice."),
    ] = None,
    score_range: Annotated[str | None, typer.Option(metavar="LOWEST,HIGHEST", help="Of the scores.")] = None,
    data: Data = None,
    cache: Cache = None,
    device: Device = "auto",
    trust: Trust = None,
) -> None:
    """What a 3D network answers on average over each class, for students of single slices."""
    from .. import commands

    between = _two(extent, "--extent")
    assert between is not None
    path, file = commands.prototypes(
        run,
        out=out,
        feature=feature,
        reduce=reduce,  # type: ignore[arg-type]
        softmax=softmax,
        view=view,
        organs=listed(organs) or [],
        extent=between,
        scores=scores,
        score_range=_two(score_range, "--score-range"),
        data=data,
        cache=cache,
        device=device,
        trust=trust,
    )
    _print(file)
    show.say(f"prototypes: {path}")


def _print(file: PrototypeFile) -> None:
    """A row for each class: how often it was seen, and its prototype."""
    rows = []
    for name, values in file.prototypes.items():
        shown = "none" if values is None else " ".join(f"{value:.2f}" for value in values[:MOST_CHANNELS])
        more = " ..." if values is not None and len(values) > MOST_CHANNELS else ""
        rows.append((name, file.slices[name], file.voxels[name], shown + more))
    show.console().print(
        show.table(["class", "slices", "voxels", f"mean {file.feature}"], rows, right=["slices", "voxels"])
    )


def _two(text: str | None, option: str) -> tuple[float, float] | None:
    numbers = lengths(text, option)
    if numbers is not None and len(numbers) != 2:
        raise UserError(f"{option} {text} are not two numbers", f"write it as {option} 0.2,0.8")
    return None if numbers is None else (numbers[0], numbers[1])
