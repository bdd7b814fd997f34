"""The papers' tables: every command can be typed and makes the run that its row names; published counts."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest

from distilseg import commands
from distilseg.cli import main
from distilseg.cli.options import values_of
from distilseg.errors import UserError
from distilseg.networks import describe
from distilseg.networks.build import options_from_text
from distilseg.recipes import find
from distilseg.recipes.papers import Paper, Row, find_paper, papers
from distilseg.training.experiment import Continued, Experiment, Prototypes, Study

from ..docs.snippets import named
from ..training.small import other_volumes, small_study

ROWS = [
    pytest.param(paper, row, id=f"{name}: {table.title}: {row.name}")
    for name, paper in papers().items()
    for table in paper.tables
    for row in table.rows
]
COMMANDS = sorted({row.command for _, row in (param.values for param in ROWS) if row.command})  # type: ignore
NAMED_IN_NOTES = re.compile(r"distilseg [\w-]+ RUN(?: --[\w-]+(?: \w+)?)*")
# Published numbers that no network has: MISSU's, MDViT's as thop counts shared layers, a misprint.
NOBODYS = {"4.24 / 154.38", "30.30 / 24.95", "1.35 / 75.68"}
NEVER_RUN = {"unetr": 18_432}  # MONAI's norms for cross-attention


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Of two modalities, with a vessel among the structures."""
    return small_study(tmp_path_factory.mktemp("own") / "scans", modalities=("CT", "PET"))


@pytest.fixture(scope="module")
def volumes(study: Study, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Options that name other patients with the same structures."""
    return other_volumes(tmp_path_factory.mktemp("others"), study)


def test_the_five_papers() -> None:
    names = ["dual_self_distillation", "kd_net", "prototype_distillation", "teach_former", "thickened"]
    assert list(papers()) == names
    with pytest.raises(UserError, match=f"unknown paper 'kdnet'.*mean 'kd_net'.*known: {', '.join(names)}"):
        find_paper("kdnet")


@pytest.mark.parametrize("name", papers())
def test_rows_are_told_apart_and_data_are_named(name: str) -> None:
    paper = find_paper(name)
    for table in paper.tables:
        rows = [row.name for row in table.rows]
        assert len(set(rows)) == len(rows), table.title
        assert all(row.command or row.note for row in table.rows), table.title
    folders = {data.folder for data in paper.data}
    used = {
        word
        for row in _rows(paper)
        for word in shlex.split(row.command)
        if re.fullmatch("[A-Z][A-Z0-9_]{3,}", word)
    }
    assert used <= folders
    assert {data.folder for data in paper.data if data.public} <= used
    for data in paper.data:
        assert data.where.startswith("http") or not data.public


@pytest.mark.parametrize("name", papers())
def test_commands_in_notes_exist(name: str) -> None:
    paper = find_paper(name)
    notes = [paper.note, *(table.note for table in paper.tables), *(row.note for row in _rows(paper))]
    for line in (found for note in notes for found in NAMED_IN_NOTES.findall(note)):
        command, rest = named(shlex.split(line)[1:])
        command.make_context(line, rest)


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("distilseg networks")])
def test_networks_that_are_counted_have_these_options(line: str) -> None:
    given = _parsed(line)
    options = options_from_text(given["name"], given["network_option"] or [])
    assert options.keys() <= describe(given["name"]).options.keys()


@pytest.mark.parametrize(
    ("paper", "row"), [param for param in ROWS if "distilseg train" in param.values[1].command]
)  # type: ignore
def test_a_command_makes_the_run_that_its_row_names(
    paper: Paper, row: Row, study: Study, volumes: dict[str, str]
) -> None:
    made = _experiment(row.command, study, volumes)
    for one in _trained(made):
        for spec in one.networks.values():
            assert spec.options.keys() <= describe(spec.name).options.keys()
    if "control" in row.run:
        assert made.control is not None
    if match := re.fullmatch(r"the teacher (\w+)", row.run):
        assert match[1] in made.teachers
    if row.run == "the teacher":
        assert list(made.teachers) == ["teacher"]
    if row.run == "the teacher of volumes":
        assert isinstance(made.prototypes, Prototypes)
    if "before" in row.run:
        assert isinstance(made.continues, Continued)


@pytest.mark.parametrize("name", papers())
def test_no_two_rows_of_a_table_are_one_run(name: str, study: Study, volumes: dict[str, str]) -> None:
    """Rows with a published value of their own are trained apart."""
    for table in find_paper(name).tables:
        made = [
            (
                _experiment(row.command, study, volumes).run_name(),
                row.run,
                row.command.partition(" --subjects")[0],
            )
            for row in table.rows
            if "distilseg train" in row.command
        ]
        assert len(set(made)) == len(made), table.title


@pytest.mark.parametrize(
    ("name", "row", "changed"),
    [
        ("dual_self_distillation", "DS", {"alpha": 0, "beta": 0, "deep_supervision": 1}),
        ("dual_self_distillation", "SDD", {"alpha": 0, "beta": 1, "deep_supervision": 1}),
        ("dual_self_distillation", "SDE", {"alpha": 1, "beta": 0, "deep_supervision": 1}),
        ("dual_self_distillation", "T = 4", {"temperature": 4, "alpha": 1, "beta": 1}),
        ("dual_self_distillation", "reversed", {"teacher": "reversed"}),
        ("kd_net", "GT + KL, 0 skips", {"soft_share": 0, "gt_weight": 1, "alpha": 10}),
        ("kd_net", "GT + KD, 4 skips", {"soft_share": 0.75, "gt_weight": None, "alpha": 0}),
        ("teach_former", "PWD", {"attention": 0, "soft_labels": 1}),
        ("thickened", "DeepLab, 3 slices", {"thickness": 3, "head": "none", "multiplexing": False}),
        ("thickened", "ESM", {"thickness": 12, "head": "none", "multiplexing": True}),
    ],
)
def test_an_ablations_row_changes_what_its_name_says(
    name: str, row: str, changed: dict[str, Any], study: Study, volumes: dict[str, str]
) -> None:
    command = next(one.command for one in _rows(find_paper(name)) if one.name == row)
    options = _experiment(command, study, volumes).options
    assert {option: options[option] for option in changed} == changed


COUNTED = [param for param in ROWS if "networks" in param.values[1].command]  # type: ignore


@pytest.mark.parametrize(("paper", "row"), COUNTED)
def test_counts_as_published(paper: Paper, row: Row) -> None:
    given = _parsed(row.command)
    (counted,) = commands.networks(
        given["name"],
        patch=tuple(int(n) for n in given["patch"].split(",")),
        modalities=given["modalities"],
        classes=given["classes"],
        network_options=options_from_text(given["name"], given["network_option"] or []),
        count=given["count"],
    )
    first, second = (float(number) for number in row.published.split(" / "))
    if counted.thop is None:
        assert counted.parameters is not None
        own = counted.parameters - NEVER_RUN.get(given["name"], 0)
        assert f"{own / 1e6:.3f}" == f"{first:.3f}"
        assert second > first  # the heads
    else:  # rounded or cut off, as it came
        off = [counted.thop.parameters / 1e6 - first, counted.thop.multiply_accumulates / 1e9 - second]
        assert (max(map(abs, off)) < 0.011) == (row.published not in NOBODYS)


def test_printed(capsys: pytest.CaptureFixture[str]) -> None:
    for name, paper in papers().items():
        assert main(["recipes", "--paper", name]) == 0
        lines = capsys.readouterr().out.splitlines()
        for row in _rows(paper):
            assert any(row.name in line and row.published in line for line in lines), row.name
            assert not row.command or f"      {row.command}" in lines
        for data in paper.data:
            (told,) = [line for line in lines if line.startswith(f"  {data.folder}: ")]
            assert data.where in told
            assert ("ask for it" in told) == data.asked_for
            assert ("not to be had" in told) == (not data.public)


def test_a_recipe_and_a_paper_are_not_asked_for_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "kd_net", "--paper", "kd_net"]) == 2
    assert "name one of them" in capsys.readouterr().err


def _rows(paper: Paper) -> list[Row]:
    return [row for table in paper.tables for row in table.rows]


def _parsed(line: str) -> dict[str, Any]:
    """The command's parameters as the command line reads them."""
    command, rest = named(shlex.split(line)[1:])
    context = command.make_context(line, rest)
    return dict(context.params)


def _experiment(line: str, study: Study, volumes: dict[str, str]) -> Experiment:
    """What the command would train, on scans of ours."""
    recipe = find(shlex.split(line)[2])
    values = values_of(recipe, _parsed(line))
    if "data_3d" in values:
        values |= volumes
    return recipe(study, **values)


def _trained(made: Experiment) -> list[Experiment]:
    teachers = [teacher for teacher in made.teachers.values() if isinstance(teacher, Experiment)]
    return [made, *([made.control] if made.control else []), *teachers, *made.views]
