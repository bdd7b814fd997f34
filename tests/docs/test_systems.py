"""What `docs/explanation/systems.md` names exists, its counts are the networks', and nothing is missing."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise

import pytest
import torch

from distilseg.networks import NetworkSpec, build, names, parameters
from distilseg.networks.build import options_from_text
from distilseg.recipes import recipes
from distilseg.recipes.papers import papers

from .snippets import ROOT

PAGE = ROOT / "docs" / "explanation" / "systems.md"
PAPERS = {
    "Dual self-distillation": "dual_self_distillation",
    "KD-Net": "kd_net",
    "Prototype distillation": "prototype_distillation",
    "Teach-Former": "teach_former",
    "Thickened": "thickened",
}


def table(section: str) -> list[list[str]]:
    """The cells of the rows of the table in that section, its head left out."""
    text = PAGE.read_text(encoding="utf-8").partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


SYSTEMS, COUNTS = table("Systems"), table("Counts")


def test_both_tables_are_read() -> None:
    assert {len(row) for row in SYSTEMS} == {7}
    assert {len(row) for row in COUNTS} == {8}
    named = {name for row in SYSTEMS for name in row[0].split(", ")}
    assert named == {*PAPERS, "all"}
    assert set(PAPERS.values()) == set(papers())


@pytest.mark.parametrize("row", SYSTEMS, ids=lambda row: f"{row[0]}: {row[1]}")
def test_a_system_is_where_the_page_says(row: list[str]) -> None:
    where, held = code(row[2]), code(row[6])
    assert where
    assert held
    known = {*names(), *recipes()}
    for name in where:
        assert name in known or (ROOT / "src" / "distilseg" / name).is_file(), name
    for path in held:
        assert path.startswith("tests/")
        assert (ROOT / path).is_file(), path
    assert row[3]  # compared with something
    assert row[4] or "not here" in row[3]


@pytest.mark.parametrize("row", COUNTS, ids=lambda row: " ".join(row[:5]))
def test_a_count_is_what_the_network_has(row: list[str]) -> None:
    (name,), told = code(row[0]), code(row[1])
    patch = tuple(int(size) for size in row[4].split("x"))
    spec = NetworkSpec(name, int(row[2]), int(row[3]), patch, options_from_text(name, told))
    if name.startswith("swin_unetr"):  # it reads numbers from tensors while it is built
        network = build(spec)
    else:
        with torch.device("meta"):
            network = build(spec)
    here, authors = (int(cell.replace(",", "")) for cell in row[5:7])
    assert parameters(network) == here
    difference = re.match(r"[+-][\d,]+", row[7])
    assert here - authors == (int(difference[0].replace(",", "")) if difference else 0)


def test_every_network_and_recipe_of_the_papers_rows_is_on_the_page() -> None:
    named = {name for row in SYSTEMS for name in code(row[2])}
    for paper in papers().values():
        for line in (row.command for table in paper.tables for row in table.rows if row.command):
            words = shlex.split(line)
            used = [words[2]] if words[1] in ("train", "networks") else []
            used += [value for option, value in pairwise(words) if option in ("--network", "--student")]
            assert set(used) <= named, line


def test_every_network_that_is_counted_is_a_system() -> None:
    named = {name for row in SYSTEMS for name in code(row[2])}
    assert {code(row[0])[0] for row in COUNTS} <= named
