"""main(): one entry for every command, and one way to end.

0     done                               2     something that you can mend: one line, cause and fix
1     done in part, or a bug of ours     130   interrupted
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from types import ModuleType
from typing import Annotated, Any

import typer

from .. import __version__
from ..disk import refusal
from ..errors import UserError, unknown
from ..names import pasted, printable
from . import cost, dataset, overview, prototypes, runs, shipping, start, teachers, training
from .text import examples

# What the extra [train] brings; predicting with an artefact needs none of it.
_TRAINING = {
    "einops",
    "jinja2",
    "lightning_fabric",
    "matplotlib",
    "monai",
    "platformdirs",
    "safetensors",
    "scipy",
    "SimpleITK",
    "torch",
}
_REPORT = (
    "distilseg did not foresee this: please report it with the lines above, or mend them if they are yours"
)
_EXAMPLES = examples(
    "distilseg demo",
    "distilseg check DATASET",
    "distilseg train dual_self_distillation --data DATASET --minutes 30",
    "distilseg compare runs/DATASET",
    "distilseg predict runs/DATASET/RUN scan.nii.gz predictions",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line (default: the process's own) and returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    given = [word for word in given if word != "--debug"]
    try:
        return _run(given)
    except UserError as error:
        return _refused(str(error), debug)
    except OSError as error:
        told = refusal(error, error.filename2 or error.filename or "a file")  # 2: where a new file goes
        return _refused(str(told), debug) if told else _bug()
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _TRAINING:
            return _bug()
        return _refused(
            f"this needs {package}, which is not installed; pip install 'distilseg[train]'", debug
        )
    except (KeyboardInterrupt, typer.Abort) as stopped:
        # Typer also calls it an abort where a file ends too early, which no repetition mends.
        return _bug() if isinstance(stopped.__cause__, EOFError) else _interrupted(given)
    except Exception as error:
        if hasattr(error, "format_message"):  # typer's own refusals share no public class
            better = _said_better(error, given)
            return _refused(str(better), debug) if better else 2
        if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
            return _refused("there is not enough memory; give a smaller --batch-size or patch", debug)
        if told := refusal(error, "a file"):
            return _refused(str(told), debug)
        return _bug()


def _run(words: list[str]) -> int:
    command = typer.main.get_command(_app(words))
    result: Any = command.main(args=words, prog_name="distilseg", standalone_mode=False)
    if result == 130:  # typer's own answer to Ctrl-C
        return _interrupted(words)
    return result if isinstance(result, int) else 0


def _app(words: Sequence[str]) -> typer.Typer:
    app = typer.Typer(
        help="Distil big medical segmentation models into small ones, and judge what was won and lost.",
        epilog=_EXAMPLES,
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
    )
    app.callback()(_everywhere)
    panels: list[tuple[str, ModuleType]] = [
        ("First steps", start),
        ("Datasets", dataset),
        ("Training", training),
        ("Training", teachers),
        ("Training", prototypes),
        ("Runs", runs),
        ("Runs", shipping),
        ("Runs", cost),
        ("What there is", overview),
    ]
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


def _refused(line: str, debug: bool) -> int:
    if debug:
        _print_traceback()
    print(f"error: {printable(' '.join(line.split()))}", file=sys.stderr)
    return 2


def _print_traceback() -> None:
    print(printable(traceback.format_exc().rstrip()), file=sys.stderr)


def _interrupted(words: Sequence[str]) -> int:
    resumes = {"train", "distil", "demo", "fetch", "predict"} & set(words)
    print(f"interrupted{'; the same command goes on where it stopped' * bool(resumes)}", file=sys.stderr)
    return 130


def _bug() -> int:
    _print_traceback()
    print(_REPORT, file=sys.stderr)
    return 1
