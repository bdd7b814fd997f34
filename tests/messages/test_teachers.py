"""Every mistake with a model of others ends in one line, before anything is trained, and runs nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from distilseg.cli import main

from .teachers import TEACHERS
from .world_of_teachers import make_world_of_teachers


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world_of_teachers(tmp_path_factory.mktemp("world"))


def ended(command: str, world: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str], str]:
    """Exit code, the lines on stderr, and what was printed."""
    capsys.readouterr()
    code = main([word.format(w=world) for word in command.split()])
    told = capsys.readouterr()
    return code, told.err.splitlines(), told.out


def test_there_are_enough() -> None:
    assert len(TEACHERS) >= 30


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TEACHERS)
def test_mistake_is_told_in_one_line(
    name: str, world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(world / "user_cache"))
    command, patterns = TEACHERS[name]
    code, lines, _ = ended(command, world, capsys)
    assert code == 2, lines
    errors = [line for line in lines if line.startswith("error: ")]
    assert lines[-1:] == errors, lines
    for pattern in patterns:
        assert re.search(pattern, errors[0]), f"{pattern!r} is not in: {errors[0]}"
    assert not (world / "ran").exists()
    assert not (world / "runs").exists()


def test_an_unknown_trainer_whose_weights_fit_is_taken(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines, out = ended("teacher {w}/fitting_trainer", world, capsys)
    assert (code, lines) == (0, [])
    assert "nnUNetTrainerOfSomebody" in out
