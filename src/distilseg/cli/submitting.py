"""submit, status: a command on many machines, and how far it is."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..engines import ENGINES
from ..errors import UserError
from ..names import pasted
from ..progress import counting
from . import show
from .arguments import AsJson
from .teachers import options_of_teacher
from .text import examples, runs_of, whole_numbers
from .text import words as listed

if TYPE_CHECKING:
    from ..commands._handed_out import Line
    from ..commands._status import Status
    from ..commands._submit import Submitted

SLURM, CLUSTER = "SLURM, Ray", "Dask, Ray"
_SHOWN = 10  # names in a list


def add_to(app: typer.Typer, panel: str, words: Sequence[str]) -> None:
    of_submit = examples(
        'distilseg submit "predict student.zip SCANS predictions" --workers 4',
        'distilseg submit "predict student.zip SCANS predictions" --engine slurm --parts 100 --time 1:00:00',
        'distilseg submit "train --data D --steps 2000" --recipes kd_net,missu --seeds 0,1,2 --folds 5',
        'distilseg submit "train kd_net --data D --epochs 9" --seeds 0,1,2 --engine slurm --gpus 1 --dry-run',
    )
    of_status = examples("distilseg status predictions", "distilseg status runs --json")
    app.command(rich_help_panel=panel, epilog=of_submit)(submit)
    app.command(rich_help_panel=panel, epilog=of_status)(status)


def submit(
    command: Annotated[
        str, typer.Argument(help='A command line in quotes: "predict MODEL SCANS OUT", "train RECIPE ...".')
    ],
    engine: Annotated[str, typer.Option(help=f"{', '.join(ENGINES)}.")] = "local",
    parts: Annotated[
        int | None, typer.Option(help="Into how many the cases are cut; else as many as run at a time.")
    ] = None,
    recipes: Annotated[str | None, typer.Option(metavar="A,B", help="train: each of these.")] = None,
    seeds: Annotated[str | None, typer.Option(metavar="0,1,2", help="train: with each of these.")] = None,
    folds: Annotated[int | None, typer.Option(help="train: each fold of so many.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Of local, dask and ray: so many at a time; else one a core.")
    ] = None,
    cpus: Annotated[int | None, typer.Option(help="Cores of each; also its --threads.")] = None,
    gpus: Annotated[int, typer.Option(help="Of each.", rich_help_panel=SLURM)] = 0,
    memory: Annotated[str | None, typer.Option(help="Of each, such as 8G.", rich_help_panel=SLURM)] = None,
    time: Annotated[
        str | None,
        typer.Option(help="Of each, such as 1:00:00; it goes on in another.", rich_help_panel=SLURM),
    ] = None,
    partition: Annotated[str | None, typer.Option(help="Of the cluster.", rich_help_panel=SLURM)] = None,
    sbatch: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="More for sbatch, such as account=NAME; repeated.",
            rich_help_panel=SLURM,
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Of a cluster that runs; else one is started here.", rich_help_panel=CLUSTER),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be handed out.")] = False,
) -> None:
    """A command shared out among processes, a queue or a cluster; the same again hands out what lacks."""
    from .. import commands
    from ..commands._submit import Sweep
    from ..engines.resources import Resources

    words = _words(command)
    numbers = whole_numbers(seeds, "--seeds") or ()
    with counting("elements") as progress:
        done = commands.submit(
            words,
            read,
            engine=engine,
            parts=parts,
            sweep=Sweep(tuple(listed(recipes) or ()), numbers, folds),
            workers=workers,
            address=address,
            resources=Resources(cpus, gpus, memory, time, partition),
            sbatch=sbatch or (),
            dry_run=dry_run,
            progress=progress,
            say=show.say,
        )
    if dry_run or done.jobs:
        _say_handed_out(done, dry_run)
        return
    code = _say_status(commands.status(done.submission.results, read), only=done.submission.folder)
    raise typer.Exit(code)


def status(
    out: Annotated[Path, typer.Argument(help="The OUT of what was submitted, or its folder of runs.")],
    as_json: AsJson = False,
) -> None:
    """How much of what was submitted is done, refused, running, missing; exit 3 if something lacks."""
    from .. import commands

    found = commands.status(out, read)
    if as_json:
        show.say_json([_plain(one) for one in found])
        raise typer.Exit(_code(found))
    raise typer.Exit(_say_status(found))


def read(words: Sequence[str]) -> Line:
    """What a command line asks for, by its own parser; raises UserError for what is none."""
    from ..commands._handed_out import Line
    from .parsing import read as read_line

    (command, *of), given = read_line(words)
    results = {"predict": "inputs", "train": "runs", "distil": "runs"}.get(command, "out")
    place = given.get(results)
    if isinstance(place, list):
        place = place[-1]
    asked = dict(given)
    if command == "train":
        from ..recipes import find
        from .training import asked_by

        asked = asked_by(find(of[0]), given)
    elif command == "predict":
        asked = _of_predict(given)
    return Line(command, None if place is None else Path(place), asked, "threads" in given)


def _of_predict(given: Mapping[str, Any]) -> dict[str, Any]:
    """What decides which cases there are, and what their results are called."""
    if len(given["inputs"]) < 2:
        raise UserError(
            "predict needs a run, at least one scan, and where to write", "distilseg predict RUN SCAN OUT"
        )
    *scans, out = given["inputs"]
    own = ("configuration", "folds", "mirror", "step", "orientation", "card")
    teacher = options_of_teacher(**{name: given[name] for name in own}, trust=given["trust_model"])
    alike = {name: given[name] for name in ("modality", "fuse", "trust", "dicom_tilt", "write_as")}
    named = {"run": runs_of(given["run"]), "inputs": scans, "out": out}
    return {**named, "teacher": teacher, "series": given["series"] or (), **alike}


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:  # a quotation mark that is never closed
        raise UserError(f"{command!r} is no command line ({error})", "close it") from None
    return words[1:] if words[:1] == ["distilseg"] else words


def _say_handed_out(done: Submitted, dry_run: bool) -> None:
    for path, text in done.scripts:
        show.say(f"{path}:\n")
        show.say(text)
    elements = done.submission.elements
    if dry_run:
        numbers = [number for stage in done.stages for number in stage]
        for number in [*numbers[:3], *numbers[-1:]] if len(numbers) > 4 else numbers:
            show.say(f"{number}: {pasted('distilseg', *elements[number - 1].words)}")
    stages = ", then ".join(f"{len(stage):,}" for stage in done.stages) or "none"
    show.say(f"{stages} of {len(elements):,} {'would be' if dry_run else 'were'} handed out")
    if done.jobs:
        show.say(f"jobs {', '.join(done.jobs)}; how far they are: {_status_of(done.submission.results)}")


def _say_status(found: Sequence[Status], only: Path | None = None) -> int:
    shown = [one for one in found if only is None or (one.submission and one.submission.folder == only)]
    for one in shown:
        state = one.state
        if one.submission is not None:
            show.say(f"distilseg {one.submission.command}")
        running = f"{len(state.running):,} running, " if state.running else ""
        told = f"{len(state.refused):,} refused, {running}{len(state.missing):,} missing"
        show.say(f"{state.total:,} {state.of}: {state.done:,} done, {told}")
        for name, reason in list(state.refused.items())[:_SHOWN]:
            show.say(f"  refused: {name}: {reason}")
        for what, names in (("running", state.running), ("missing", state.missing)):
            if names:
                more = f" and {len(names) - _SHOWN:,} more" * (len(names) > _SHOWN)
                show.say(f"  {what}: {'; '.join(names[:_SHOWN])}{more}")
    return _code(shown)


def _code(found: Sequence[Status]) -> int:
    """0 where all is done, 1 where some was refused, 3 where something lacks."""
    if any(one.state.missing or one.state.running for one in found):
        return 3
    return 1 if any(one.state.refused for one in found) else 0


def _plain(one: Status) -> dict[str, Any]:
    state, submission = one.state, one.submission
    told = {} if submission is None else {"command": submission.command, "engine": submission.engine}
    return {
        **told,
        "of": state.of,
        "total": state.total,
        "done": state.done,
        "refused": state.refused,
        "running": state.running,
        "missing": state.missing,
    }


def _status_of(results: Path) -> str:
    return pasted("distilseg", "status", results)
