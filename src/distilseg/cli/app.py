"""main(): one entry for every command, and one way to end.

0     done                               2     something that you can mend: one line, cause and fix
1     done in part, or a bug of ours     3     predict --missing: some are missing
130   interrupted, or ended by a queue

A prediction in plain words starts at once (`plain.py`); all else goes through typer (`tree.py`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from ..disk import refusal
from ..errors import UserError
from ..names import printable
from . import plain

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


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line (default: the process's own) and returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    given = [word for word in given if word != "--debug"]
    try:
        return _run(given)
    except UserError as error:
        return _refused(str(error), debug)
    except BrokenPipeError:
        return _unheard()
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
    except KeyboardInterrupt:
        return _interrupted(given)
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
            return _refused("there is not enough memory; give a smaller --batch-size or patch", debug)
        if told := refusal(error, "a file"):
            return _refused(str(told), debug)
        return _bug()


def _run(words: list[str]) -> int:
    asked = plain.prediction(words)
    if asked is not None:
        return plain.run(asked)
    from . import tree

    return tree.run(words)


def _refused(line: str, debug: bool) -> int:
    if debug:
        _print_traceback()
    print(f"error: {printable(' '.join(line.split()))}", file=sys.stderr)
    return 2


def _print_traceback() -> None:
    import traceback

    print(printable(traceback.format_exc().rstrip()), file=sys.stderr)


def _interrupted(words: Sequence[str]) -> int:
    resumes = {"train", "distil", "demo", "fetch", "predict"} & set(words)
    print(f"interrupted{'; the same command goes on where it stopped' * bool(resumes)}", file=sys.stderr)
    return 130


def _unheard() -> int:
    """Nobody reads what we print any more; nor is Python to try again when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _bug() -> int:
    _print_traceback()
    print(_REPORT, file=sys.stderr)
    return 1
