"""demo, fetch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ..progress import counting
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
        float, typer.Option(min=0, help="How long the whole may take, on two CPU cores.")
    ] = 10.0,
    data: Annotated[
        str | None, typer.Option(help="A dataset; otherwise hippocampus MR, found or fetched.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where runs, predictions and the report go.")] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, help="Of split, weights and patches.")] = 0,
    device: Device = "auto",
) -> None:
    """The whole line: a large teacher, a small student without and with its answers, judged and shipped."""
    from .. import commands
    from ..report import print_comparison
    from ..training.machine import Machine

    start = time.perf_counter()
    machine = Machine(device=device)
    made = commands.demo(minutes=minutes, data=data, out=out, seed=seed, machine=machine, say=show.say)
    print_comparison(commands.compare(made.runs), show.console())
    if made.artefact is not None:
        show.say(
            f"the taught student as one file, without torch: {made.artefact}"
            f" ({made.artefact.stat().st_size / 1e6:.1f} MB), {made.times_as_fast:.0f} times as fast as"
            " the teacher"
        )
    show.say(f"a scan predicted with it: {out / 'predictions'}")
    if made.page is not None:
        show.say(f"the same student as a page, for a browser and your own scans: {made.page}")
    show.say(f"report: {out / 'report.html'}")
    show.say(f"{(time.perf_counter() - start) / 60:.1f} minutes in all")


def fetch(
    name: Annotated[str, typer.Argument(help="hippocampus")],
    to: Annotated[Path | None, typer.Option(help="A folder; otherwise the user's cache.")] = None,
) -> None:
    """Download a public dataset; repeated, it resumes."""
    from .. import commands

    with counting(f"fetching {name}") as progress:
        folder = commands.fetch(name, to=to, progress=progress)
    show.say(str(folder))
