"""The command line as a whole: help at once and without torch, and every way to end."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distilseg import __version__, commands
from distilseg.cli import main
from distilseg.cli.options import flag, kind_of, metavar, values_of
from distilseg.errors import UserError
from distilseg.recipes import find

HEAVY = ("torch", "monai", "scipy", "matplotlib", "SimpleITK", "nibabel", "lightning_fabric")
HERE = str(Path(__file__).parent)  # a folder that is there, where none is read
HELPED = [[name, "--help"] for name in commands.__all__]
HELPED += [["--help"], ["train", "dual_self_distillation", "--help"], ["recipes"], ["recipes", "supervised"]]

ASK = """
import json, resource, sys
from distilseg.cli import main
codes = [main(words) for words in json.loads(sys.argv[1])]
used = resource.getrusage(resource.RUSAGE_SELF)
heavy = [name for name in json.loads(sys.argv[2]) if name in sys.modules]
print(json.dumps({"codes": codes, "heavy": heavy, "cpu_s": used.ru_utime + used.ru_stime}), file=sys.stderr)
"""


def asked(*lines: list[str]) -> tuple[str, dict[str, Any]]:
    """What a fresh process prints for these command lines, and what it says of itself."""
    words = [sys.executable, "-c", ASK, json.dumps(lines), json.dumps(HEAVY)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return done.stdout, json.loads(done.stderr.splitlines()[-1])


def test_help_needs_nothing_heavy() -> None:
    out, told = asked(*HELPED)
    assert told["codes"] == [0] * len(HELPED)
    assert told["heavy"] == []
    assert out.count("Examples:") >= len(commands.__all__)


def test_help_answers_at_once() -> None:
    """0.25 s of processor time when nothing else runs; twice the aim is allowed for a busy machine."""
    best = min(asked(["--help"])[1]["cpu_s"] for _ in range(3))
    assert best < 1.0


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert [name for name in commands.__all__ if f" {name} " not in out] == []


def test_help_of_a_recipe_shows_its_own_options_and_the_common_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["train", "dual_self_distillation", "--help"]) == 0
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for option in (
        "--temperature",
        "--detach-teacher",
        "deepest or mean or reversed",
        "--data",
        "--patience",
        "--plan",
    ):
        assert option in out
    assert main(["train", "supervised", "--help"]) == 0
    assert "--temperature" not in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"distilseg {__version__}\n"


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    captured = capsys.readouterr()
    assert "Usage: distilseg" in captured.out
    assert captured.err == ""


def test_the_module_runs() -> None:
    words = [sys.executable, "-m", "distilseg", "plan", "no/such/folder"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: there is no dataset at no/such/folder: no such folder; correct the path\n"


def ends(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code where the command `recipes` raises `error`."""

    def fails(name: str | None = None) -> None:
        raise error

    monkeypatch.setattr("distilseg.commands._recipes.recipes", fails)
    return main(["recipes", "supervised"])


def test_interrupted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert ends(KeyboardInterrupt(), monkeypatch) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_what_resumes_says_so_when_interrupted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*words: object, **given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("distilseg.commands._train.train", interrupted)
    assert main(["train", "supervised", "--data", HERE]) == 130
    assert capsys.readouterr().err == "interrupted; the same command goes on where it stopped\n"


def test_a_file_that_ends_too_early_is_no_interruption(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Typer makes an abort of it; "the same command goes on" would be told for ever."""
    assert ends(EOFError("ran out of input"), monkeypatch) == 1
    told = capsys.readouterr().err
    assert "EOFError: ran out of input" in told
    assert "interrupted" not in told


def test_a_bug_keeps_its_traceback_and_asks_for_a_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends(KeyError("nothing"), monkeypatch) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-2] == "KeyError: 'nothing'"
    assert "please report it" in lines[-1]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.ENOTDIR])
def test_what_the_system_refuses_is_no_bug(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends(OSError(number, "the reason", "some/file"), monkeypatch) == 2
    assert capsys.readouterr().err.startswith("error: some/file: the reason; ")


def test_too_little_memory_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends(MemoryError(), monkeypatch) == 2
    assert "--batch-size" in capsys.readouterr().err


def test_an_error_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert ends(UserError("a cause\n  of two lines", "a fix"), monkeypatch) == 2
    assert capsys.readouterr().err == "error: a cause of two lines; a fix\n"


OWN_RECIPE = '''
from typing import Literal

def mine(study, *, network="dynunet", network_options: Options = None, depth=3, mode: Literal["a", "b"] = "a",
         strict: bool = False, shares: tuple[float, ...] = (0.5,), batch_size: int | None = None, extra=None,
         members: Sequence[str] = ()):
    """My own."""
'''


@pytest.fixture
def own(tmp_path: Path) -> str:
    file = tmp_path / "own.py"
    file.write_text("from __future__ import annotations\n" + OWN_RECIPE)
    return f"{file}:mine"


def test_options_of_a_recipe_of_ones_own(own: str) -> None:
    """Annotations are text, may name what is not imported, or be absent; then the default tells."""
    recipe = find(own)
    names = recipe.make.__globals__
    kinds = {name: kind_of(option, names)[0] for name, option in recipe.options.items()}
    assert kinds == {
        "network": "text",
        "network_options": "mapping",
        "depth": "integer",
        "mode": "choice",
        "strict": "flag",
        "shares": "list",
        "batch_size": "integer",
        "extra": "text",
        "members": "names",
    }
    assert flag(recipe, "network_options") == "--network-option"
    assert flag(recipe, "strict") == "--strict/--no-strict"
    assert metavar(recipe, "mode") == "a|b"


def test_values_of_a_recipe_of_ones_own(own: str) -> None:
    recipe = find(own)
    given = {
        "network_options": ["filters=[4,8,8]"],
        "mode": "b",
        "shares": "0.2,0.8",
        "strict": None,
        "depth": 4,
        "members": "0,all",
    }
    assert values_of(recipe, given) == {
        "network_options": {"filters": [4, 8, 8]},
        "mode": "b",
        "shares": (0.2, 0.8),
        "depth": 4,
        "members": ("0", "all"),  # as they are written
    }
    with pytest.raises(UserError, match=r"--mode 'c'.*known: a, b"):
        values_of(recipe, {"mode": "c"})


def test_own_option_goes_before_a_common_one(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe's `batch_size` is the recipe's; everything else reaches `train` under its name."""
    seen = taken(
        monkeypatch,
        *("train", own, "--data", HERE, "--batch-size", "3", "--steps", "5", "--clip", "0", "--strict"),
        *(
            "--flip-axes",
            "1,2",
            "--seed",
            "4",
            "--fold",
            "1",
            "--folds",
            "5",
            "--no-control",
            "--no-evaluate",
        ),
    )
    assert seen["options"] == {"batch_size": 3, "strict": True}
    assert "batch_size" not in seen
    assert (seen["steps"], seen["clip"], seen["flip_axes"], seen["seed"]) == (5, None, (1, 2), 4)
    assert (seen["fold"], seen["folds"], seen["control"], seen["evaluate"]) == (1, 5, False, False)
    assert "learning_rate" not in seen


def test_torchrun_says_how_many_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("GROUP_WORLD_SIZE", "3")
    machine = taken(monkeypatch, "train", "supervised", "--data", HERE, "--device", "cpu")["machine"]
    assert (machine.devices, machine.nodes, machine.device) == (2, 3, "cpu")


def taken(monkeypatch: pytest.MonkeyPatch, *words: str) -> dict[str, Any]:
    """What `commands.train` is called with."""
    seen: dict[str, Any] = {}

    def train(recipe: str, data: str, **given: Any) -> list[Any]:
        seen.update(given, recipe=recipe, data=data)
        raise UserError("seen enough")

    monkeypatch.setattr("distilseg.commands._train.train", train)
    assert main(list(words)) == 2
    return seen


def test_completion_knows_the_recipes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_DISTILSEG_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "distilseg train dual")
    monkeypatch.setenv("COMP_CWORD", "2")
    with pytest.raises(SystemExit):
        main([])
    assert "dual_self_distillation" in capsys.readouterr().out


def refuses(call: Callable[[], object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        call()


def test_ranges_of_windows() -> None:
    from distilseg.cli.text import ranges

    assert ranges(["CT=-160:240", "CT=-1000:-400"], "--tissue-window") == {"CT": [(-160, 240), (-1000, -400)]}
    assert ranges(None, "--tissue-window") == {}
    for wrong in ("CT", "CT=-160", "CT=a:b", "CT=1:2:3"):
        with pytest.raises(UserError, match=r"is no range; write it as --tissue-window CT=-160:240"):
            ranges([wrong], "--tissue-window")


def test_lists_sizes_and_pairs() -> None:
    from distilseg.cli.text import lengths, pairs, whole_numbers, words

    assert whole_numbers("32,48,32", "--patch") == whole_numbers("32x48x32", "--patch") == (32, 48, 32)
    assert whole_numbers(["1", "2"], "--flip-axes") == (1, 2)
    assert lengths("1,1,2.5", "--spacing") == (1.0, 1.0, 2.5)
    assert words("a, b") == ["a", "b"]
    assert words(None) is lengths(None, "") is None
    assert pairs(["CT=range:-175:250,MR=zscore"], "") == {"CT": "range:-175:250", "MR": "zscore"}
    refuses(lambda: whole_numbers("1.5,2", "--patch"), "--patch '1.5,2' holds no whole numbers")
    refuses(lambda: lengths("a", "--spacing"), "--spacing 'a' is no list of numbers")
    refuses(lambda: pairs(["CT"], "--labels"), "--labels 'CT' is no pair")
