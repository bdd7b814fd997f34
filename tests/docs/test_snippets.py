"""What the documents show runs: every snippet, page by page, as a reader would (see `snippets.py`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from distilseg.cli import main
from distilseg.data.phantom.volumes import write_phantom
from tests.teachers.nnunet.small import write_model

from .snippets import ROOT, Block, alike, blocks, mentions, named, pages

RUN = [page for page in pages() if any(block.run for block in blocks(page))]
# Pages that exist to be followed: one without a snippet that runs has lost it.
FOLLOWED = ["tutorials", "how-to"]
MODEL = {"background": 0, "liver": 1, "spleen": 2, "kidney_left": 3, "kidney_right": 4}  # what it tells apart
COST = {
    "parameters": 1,
    "multiply_accumulates": 1,
    "counted_on": [1, 1, 16, 16, 16],
    "seconds_per_case": 1.0,
    "device": "cpu",
    "threads": 1,
    "processor": "none",
}
SHOWN_ONLY = {"several-devices.md", "on-a-gpu.md", "which-method.md"}  # torchrun and SLURM; a GPU; a table


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


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    described = {
        "channel_names": {"0": "MR"},
        "labels": MODEL,
        "file_ending": ".nii.gz",
        "licence": "CC-BY 4.0",
    }
    return write_model(tmp_path_factory.mktemp("results"), dataset=described)


@pytest.mark.parametrize("page", RUN, ids=name)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_snippets_of(
    page: Path,
    scans: Path,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("distilseg.cli.show.WIDTH", 84)  # what fits on a page
    # What a run costs is measured in a process of its own, seconds for each run, and tested elsewhere.
    monkeypatch.setattr("distilseg.judge.measure_costs", lambda models, **options: [COST for _ in models])
    (tmp_path / "SCANS").symlink_to(scans)
    (tmp_path / "MODEL").symlink_to(model)
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
        for words, shown in block.dialogue:
            capsys.readouterr()
            code = main(words)
            told = capsys.readouterr()
            assert code == 0, f"{where}: distilseg {' '.join(words)} ended with {code}: {told.err}"
            printed = iter([alike(line) for line in (told.err + told.out).splitlines()])
            for line in shown:
                assert alike(line) in printed, f"{where}: not printed, or not there: {line}\n{told.out}"


SHOWN = [
    pytest.param(words, id=f"{name(block.page)}:{block.line}: {' '.join(words)}")
    for page in pages()
    for block in blocks(page)
    if not block.run
    for words in block.commands
]
MENTIONED = [
    pytest.param(words, id=f"{name(page)}: {' '.join(words)}") for page in pages() for words in mentions(page)
]


@pytest.mark.parametrize("words", SHOWN)
def test_commands_that_are_only_shown_can_be_parsed(words: list[str]) -> None:
    command, rest = named(words)
    command.make_context(" ".join(words), rest)


@pytest.mark.parametrize("words", MENTIONED)
def test_commands_and_options_in_prose_exist(words: list[str]) -> None:
    command, rest = named(words)
    known = {option for p in command.params for option in (*p.opts, *p.secondary_opts)} | {
        "--help",
        "--debug",
    }
    for word in rest:
        if word.startswith("--"):
            assert word.partition("=")[0] in known, f"{' '.join(words)}: no option {word}"


@pytest.mark.parametrize("line", ["gone SCANS", "compare", "compare runs/A --gone", "plan SCANS --patch"])
def test_a_command_line_that_went_stale_is_found(line: str) -> None:
    with pytest.raises(Exception, match=r"(?i)no such|unknown|missing|requires"):
        test_commands_that_are_only_shown_can_be_parsed(line.split())


def test_printed_lines_are_compared_by_their_words() -> None:
    assert alike("│ liver   −0.001 │ 24x24 │") == alike("│ liver │ 0.12 │ 16x16 │")
    assert alike("runs/Phantom/supervised-1560c95b") == alike("runs/Phantom/supervised-deadbeef")
    assert alike("12 cases, 0 errors") != alike("12 cases, 0 warnings")
