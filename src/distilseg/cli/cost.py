"""cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ..progress import counting
from . import show
from .arguments import AnyDevice, Data, Threads, Trust
from .text import examples
from .text import words as listed


def add_to(app: typer.Typer, panel: str, words: Sequence[str]) -> None:
    of_cost = examples(
        "distilseg cost runs/DATASET/RUN",
        "distilseg cost runs/DATASET/RUN student student-int8.zip --threads 4 --json cost.json",
        "distilseg cost student.zip --scans FOLDER_OF_SCANS  # an artefact brings no scans",
    )
    app.command(rich_help_panel=panel, epilog=of_cost)(cost)


def cost(
    models: Annotated[list[Path], typer.Argument(help="Run folders and artefacts, measured one by one.")],
    scans: Annotated[
        Path | None, typer.Option(help="A scan, a folder or a dataset; otherwise a run's test cases.")
    ] = None,
    cases: Annotated[str | None, typer.Option(help="Some of them, by comma.")] = None,
    data: Data = None,
    threads: Threads = 0,
    device: AnyDevice = "auto",
    trust: Trust = None,
    out: Annotated[
        Path | None, typer.Option("--json", "--out", help="A file for all numbers, as JSON.")
    ] = None,
) -> None:
    """Parameters, arithmetic, size, latency, memory and energy of runs and artefacts, side by side."""
    from .. import commands

    with counting("measuring") as progress:
        measured = commands.cost(
            models,
            scans=scans,
            cases=listed(cases),
            data=data,
            threads=threads,
            device=device,
            trust=trust,
            out=out,
            progress=progress,
        )
    names = list(measured)
    rows = [(title, *(cell(found) for found in measured.values())) for title, cell in _ROWS.items()]
    show.console().print(show.table(["", *names], rows, right=names))
    first = next(iter(measured.values()))
    show.say(f"{first['processor']}; label maps in memory, reading and writing files aside")
    if first["energy_j_per_case"] is None:
        show.say(f"energy: {first['energy']}")
    if out is not None:
        show.say(f"written to {out}")


def _counted(found: Mapping[str, Any], name: str, unit: float, decimals: int) -> str:
    value = found.get(name)
    return "-" if value is None else f"{value / unit:,.{decimals}f}"


def _quartiles(found: Mapping[str, Any]) -> str:
    low, high = found["quartiles_s"]
    return f"{found['seconds_per_case']:.3f} ({low:.3f} to {high:.3f})"


_ROWS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "runs in": lambda found: found.get("target", "torch"),
    "parameters": lambda found: _counted(found, "parameters", 1, 0),
    "GMAC a patch": lambda found: _counted(found, "multiply_accumulates", 1e9, 3),
    "patch": lambda found: "x".join(map(str, found["counted_on"][2:])),
    "on disk [MB]": lambda found: _counted(found, "bytes_on_disk", 1e6, 2),
    "first case, loading included [s]": lambda found: f"{found['first_s']:.2f}",
    "a case, median (quartiles) [s]": _quartiles,
    "cases timed": lambda found: str(found["cases_timed"]),
    "peak memory [MB]": lambda found: _counted(found, "peak_memory_bytes", 1e6, 0),
    "energy a case [J]": lambda found: _counted(found, "energy_j_per_case", 1, 2),
    "device, threads": lambda found: f"{found['device']}, {found['threads']}",
}
