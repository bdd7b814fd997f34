"""What the documents show runs: every snippet, page by page, as a reader would (see `snippets.py`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from distilseg.cli import main
from distilseg.cli.app import _app
from distilseg.data.phantom import write_phantom

from .snippets import ROOT, Block, blocks, pages

RUN = [page for page in pages() if any(block.run for block in blocks(page))]
# Pages that exist to be followed: one without a snippet that runs has lost it.
FOLLOWED = ["tutorials", "how-to"]
SHOWN_ONLY = {"several-devices.md"}  # torchrun and SLURM


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom(
        tmp_path_factory.mktemp("scans") / "SCANS", cases=6, shape=(24, 24, 24), modalities=("MR",)
    )


def test_pages_that_are_followed_have_something_to_run() -> None:
    folders = [ROOT / "docs" / folder for folder in FOLLOWED]
    expected = {page for folder in folders for page in folder.glob("*.md") if page.name not in SHOWN_ONLY}
    assert expected
    assert expected <= set(RUN)


@pytest.mark.parametrize("page", RUN, ids=name)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_snippets_of(
    page: Path,
    scans: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "120")
    # What a run costs is measured in a process of its own, seconds for each run, and tested elsewhere.
    monkeypatch.setattr("distilseg.judge.measure_cost", lambda *run, **options: {"parameters": 1})
    (tmp_path / "SCANS").symlink_to(scans)
    names: dict[str, Any] = {"__name__": "snippet"}
    for block in blocks(page):
        if block.run:
            _follow(block, names, capsys)


def _follow(block: Block, names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    where = f"{name(block.page)}:{block.line}"
    if block.file is not None:
        Path(block.file).write_text(block.body, encoding="utf-8")
    elif block.kind == "python":
        exec(compile(block.body, where, "exec"), names)
    else:
        for words in block.commands:
            code = main(words)
            told = capsys.readouterr()
            assert code == 0, f"{where}: distilseg {' '.join(words)} ended with {code}: {told.err}"


COMMANDS = [
    pytest.param(words, id=f"{name(block.page)}:{block.line}: {' '.join(words)}")
    for page in pages()
    for block in blocks(page)
    if not block.run
    for words in block.commands
]


@pytest.mark.parametrize("words", COMMANDS)
def test_options_that_are_only_shown_exist(words: list[str]) -> None:
    command: Any = get_command(_app(words))
    rest = list(words)
    while rest and hasattr(command, "commands") and rest[0] in command.commands:
        command = command.commands[rest.pop(0)]
    if words[0] == "train" and rest and rest[0] == "RECIPE":
        command = get_command(_app(["train"])).commands["train"].commands["supervised"]  # type: ignore[attr-defined]
    known = {option for p in command.params for option in (*p.opts, *p.secondary_opts)} | {
        "--help",
        "--debug",
    }
    for word in rest:
        if word.startswith("--"):
            assert word.partition("=")[0] in known, f"{words}: no option {word}"
