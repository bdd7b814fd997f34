"""What names hold is neither obeyed by a terminal nor taken for markup, where a line or a bar tells them."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from distilseg import progress
from distilseg.cli import main, show
from distilseg.cli.training import _ending
from distilseg.runs import Run
from distilseg.training import observers
from distilseg.training.loop import Step

HOSTILE = "a\x1b[31mred\x9b2J\u202e[bold]b[/x]"
SHOWN = "a\\x1b[31mred\\x9b2J\\u202e[bold]b[/x]"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A terminal on stderr, as rich and we take it for one; its own colours are off."""
    written = io.StringIO()

    def console(**_: Any) -> Console:
        return Console(file=written, force_terminal=True, width=200, no_color=True, legacy_windows=False)

    monkeypatch.setattr("rich.console.Console", console)
    monkeypatch.setattr(observers, "Console", console)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    return written


def test_a_line_for_whoever_watches(capsys: pytest.CaptureFixture[str]) -> None:
    progress.say(f"{HOSTILE}: found")
    assert capsys.readouterr().err == f"{SHOWN}: found\n"


def test_the_bar_of_a_training(terminal: io.StringIO) -> None:
    bar = observers.Bar(HOSTILE, labelled_by=HOSTILE)
    bar.after_validation(1, {"mean": 0.5}, True)
    bar.after_step(Step(step=1, progress=0.5, learning_rate=0.1, total=1.0, terms={HOSTILE: 1.0}))
    bar.close()
    for told in ("\x1b[31m", "\x9b", "\u202e"):
        assert told not in terminal.getvalue()
    assert SHOWN in terminal.getvalue()


def test_other_bars(terminal: io.StringIO) -> None:
    list(progress.counted([1], f"judging {HOSTILE}"))
    assert f"judging {SHOWN}" in terminal.getvalue()
    with progress.counting(f"fetching {HOSTILE}") as move:
        move(1, 1)
    assert f"fetching {SHOWN}" in terminal.getvalue()
    assert "\x1b[31m" not in terminal.getvalue()


def test_json_for_programs_is_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"name": HOSTILE + "\x7f"}
    show.say_json(value)
    out = capsys.readouterr().out
    assert out.replace("\n", "").isascii()
    assert out.replace("\n", "").isprintable()
    assert json.loads(out) == value


def test_a_teacher_is_summed_up_without_being_obeyed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    told = {
        "name": HOSTILE,
        "kind": "ONNX",
        "licence": HOSTILE,
        "classes": {HOSTILE: 1},
        "files": {HOSTILE: "0"},
    }
    monkeypatch.setattr("distilseg.commands._teacher.teacher", lambda *_: told)
    model = tmp_path / "my model"
    for more in ([], ["--json"]):
        assert main(["teacher", str(model), *more]) == 0
        out = capsys.readouterr().out
        assert out.replace("\n", "").isprintable()
        command = next((line for line in out.splitlines() if line.startswith("segment with it: ")), "")
        words = shlex.split(command.removeprefix("segment with it: "))
        assert words == ([] if more else ["distilseg", "predict", str(model), "SCANS", "OUT"])


def test_a_bug_tells_names_as_they_are_spelt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(name: str | None = None) -> None:
        raise LookupError(HOSTILE)

    monkeypatch.setattr("distilseg.commands._recipes.recipes", fails)
    assert main(["recipes", "supervised"]) == 1
    err = capsys.readouterr().err
    assert err.replace("\n", "").isprintable()
    assert f"LookupError: {SHOWN}" in err
    assert "please report it" in err


def test_the_command_after_a_training_can_be_pasted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path / "my runs" / "it's" / "supervised-1")
    run.folder.mkdir(parents=True)
    run.experiment.write_text(json.dumps({"recipe": "supervised"}))
    _ending([run], judged=False)
    line = capsys.readouterr().out.splitlines()[-1].removeprefix("predict with it: ")
    assert shlex.split(line) == ["distilseg", "predict", str(run.folder), "SCAN.nii.gz", "PREDICTIONS"]
