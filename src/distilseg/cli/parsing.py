"""Commands as typer understands them: what --help prints, what is refused, what a line asks for.

All commands but those that hand out command lines of these (`submitting.py`); `tree.py` has them all.
"""

from __future__ import annotations

import contextlib
import functools
import io
import shlex
from collections.abc import Sequence
from types import ModuleType
from typing import Annotated, Any

import typer

from .. import __version__
from ..errors import UserError, unknown
from ..names import pasted
from . import cost, dataset, overview, prototypes, runs, serving, shipping, start, teachers, training
from .text import examples

_EXAMPLES = examples(
    "distilseg demo",
    "distilseg check DATASET",
    "distilseg train dual_self_distillation --data DATASET --minutes 30",
    "distilseg compare runs/DATASET",
    "distilseg predict runs/DATASET/RUN scan.nii.gz predictions",
)


PANELS: list[tuple[str, ModuleType]] = [
    ("First steps", start),
    ("Datasets", dataset),
    ("Training", training),
    ("Training", teachers),
    ("Training", prototypes),
    ("Runs", runs),
    ("Runs", shipping),
    ("Runs", serving),
    ("Runs", cost),
    ("What there is", overview),
]


def read(words: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """What a command line asks for: its command, of a training also the recipe, and all options by name.

    Nothing is run. Raises `UserError` for what `run` would refuse before it runs anything.
    """
    app, heard = app_of(PANELS, words), list[tuple[list[str], dict[str, Any]]]()

    def hear(named: list[str], info: Any) -> None:
        @functools.wraps(info.callback)
        def instead(**given: Any) -> None:
            heard.append((named, given))

        info.callback = instead

    for info in app.registered_commands:
        hear([str(info.name or getattr(info.callback, "__name__", ""))], info)
    for group in app.registered_groups:
        for info in group.typer_instance.registered_commands if group.typer_instance else ():
            hear([str(group.name), str(info.name)], info)
    with contextlib.redirect_stdout(io.StringIO()):  # the help of who gave no words
        run(app, list(words))
    if not heard:
        raise UserError(f"{shlex.join(words)!r} runs nothing", "give a command, as `distilseg --help` lists")
    return heard[0]


def run(app: typer.Typer, words: list[str]) -> int:
    """Runs one command line; raises what escapes its command, typer's refusals as `UserError`."""
    command = typer.main.get_command(app)
    try:
        result: Any = command.main(args=words, prog_name="distilseg", standalone_mode=False)
    except typer.Abort as stopped:
        # Typer also calls it an abort where a file ends too early, which no repetition mends.
        if isinstance(stopped.__cause__, EOFError):
            raise stopped.__cause__ from None
        raise KeyboardInterrupt from None
    except Exception as error:
        if not hasattr(error, "format_message"):  # typer's own refusals share no public class
            raise
        better = _said_better(error, words)
        if better is None:  # the help was printed
            return 2
        raise better from error
    if result == 130:  # typer's own answer to Ctrl-C
        raise KeyboardInterrupt
    return result if isinstance(result, int) else 0


def app_of(panels: Sequence[tuple[str, ModuleType]], words: Sequence[str]) -> typer.Typer:
    """The commands of these modules; what finds its options as they are asked for looks into `words`."""
    app = typer.Typer(
        help="Distil big medical segmentation models into small ones, and judge what was won and lost.",
        epilog=_EXAMPLES,
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
    )
    app.callback()(_everywhere)
    for panel, module in panels:
        module.add_to(app, panel, words)
    return app


def _everywhere(
    version: Annotated[
        bool,
        typer.Option("--version", callback=lambda asked: _version(asked), is_eager=True, help="Print it."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where an error arose; before or after the command.")
    ] = False,
) -> None:
    pass


def _version(asked: bool) -> None:
    if asked:
        print(f"distilseg {__version__}")
        raise typer.Exit


def _said_better(error: Any, words: Sequence[str]) -> UserError | None:
    """Typer's refusal with the value that came and what would be right."""
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "distilseg"
    if context is not None and type(error).__name__ == "NoSuchOption":
        own = [name for p in context.command.params for name in (*p.opts, *p.secondary_opts)]
        return unknown("option", error.option_name, [name for name in own if name.startswith("--")])
    if not error.format_message():  # no command: the help is printed
        return None
    cause = " ".join(error.format_message().split()).rstrip(".")
    for option in getattr(getattr(error, "param", None), "opts", ()):
        if option in words:
            last = len(words) - words[::-1].index(option)
            cause = f"{cause}, not {words[last]!r}" if last < len(words) else cause
    return UserError(cause[:1].lower() + cause[1:], f"see `{pasted(*where.split(' ', 2), '--help')}`")
