"""Every mistake of the catalogue ends in one line that names it, what was expected, and what to do."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from distilseg.cli import main

from .catalogue import CATALOGUE, REFUSED, TRAIN
from .world import make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return make_world(tmp_path_factory.mktemp("world"))


def ended(command: str, world: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    """Exit code, and the lines on stderr."""
    capsys.readouterr()
    code = main([word.format(w=world) for word in command.split()])
    return code, capsys.readouterr().err.splitlines()


def test_there_are_enough() -> None:
    assert len(CATALOGUE) + len(REFUSED) >= 30


@pytest.mark.parametrize("name", CATALOGUE)
def test_mistake_is_told_in_one_line(
    name: str, world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(world / "user_cache"))
    command, patterns = CATALOGUE[name]
    code, lines = ended(command, world, capsys)
    assert code == 2, lines
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: "), lines
    for pattern in patterns:
        assert re.search(pattern, lines[0]), f"{pattern!r} is not in: {lines[0]}"


@pytest.mark.parametrize("name", REFUSED)
def test_refused_scan_is_told_in_one_line(name: str, world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command, patterns = REFUSED[name]
    code, lines = ended(command, world, capsys)
    assert code == 1, lines
    assert len(lines) == 1, lines
    for pattern in patterns:
        assert re.search(pattern, lines[0]), f"{pattern!r} is not in: {lines[0]}"


def test_tensorboard_that_is_not_installed(
    world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    code, lines = ended(TRAIN + " --tensorboard --seed 9", world, capsys)
    assert code == 2
    assert len(lines) == 1
    assert re.search(r"TensorBoard is not installed; pip install", lines[0])


def test_debug_shows_where(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("--debug plan {w}/nowhere", "plan {w}/nowhere --debug"):
        code, lines = ended(command, world, capsys)
        assert code == 2
        assert lines[0].startswith("Traceback")
        assert lines[-1].startswith("error: there is no dataset")


def test_check_lists_every_problem(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, said in {
        "missing_file": "phantom_003",
        "truncated": "phantom_003",
        "wrong_value": "9",
        "other_shape": "resample",
        "not_finite": "NaN",
    }.items():
        assert main(["check", str(world / name)]) == 2
        out = capsys.readouterr().out
        assert said in out, out
        assert "1 errors" in out or "2 errors" in out, out
