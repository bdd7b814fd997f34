"""demo, fetch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from . import show
from .arguments import Device
from .text import examples


def add_to(app: typer.Typer, panel: str, words: Sequence[str]) -> None:
    app.command(
        rich_help_panel=panel, epilog=examples("distilseg demo", "distilseg demo --minutes 5 --out /tmp/demo")
    )(demo)
    app.command(rich_help_panel=panel, epilog=examples("distilseg fetch hippocampus --to data"))(fetch)


def demo(
    minutes: Annotated[
        float, typer.Option(min=0, help="How long the whole may take, on 4 CPU cores.")
    ] = 10.0,
    data: Annotated[
        str | None, typer.Option(help="A dataset; otherwise hippocampus MR, if it is at hand.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where runs, predictions and the report go.")] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, help="Of split, weights and patches.")] = 0,
    device: Device = "auto",
) -> None:
    """The whole line: train a distilled model and its control, judge both, predict a scan."""
    from .. import commands
    from ..report import print_comparison
    from ..training.machine import Machine

    start = time.perf_counter()
    machine = Machine(device=device)
    runs = commands.demo(minutes=minutes, data=data, out=out, seed=seed, machine=machine, say=show.say)
    print_comparison(commands.compare(runs), show.console())
    show.say(f"report: {out / 'report.html'}")
    show.say(f"a predicted case: {out / 'predictions'}; all test cases: {runs[-1].predictions}")
    show.say(f"the trained model: {runs[-1].folder}")
    show.say(f"{(time.perf_counter() - start) / 60:.1f} minutes in all")


def fetch(
    name: Annotated[str, typer.Argument(help="hippocampus")],
    to: Annotated[Path | None, typer.Option(help="A folder; otherwise the user's cache.")] = None,
) -> None:
    """Download a public dataset; repeated, it resumes."""
    from .. import commands

    with show.progress(f"fetching {name}") as progress:
        folder = commands.fetch(name, to=to, progress=progress)
    show.say(str(folder))
