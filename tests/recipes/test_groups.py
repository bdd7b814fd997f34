"""Recipes are listed by paper, ablations below their recipe; what is misspelt gets the nearest three."""

from __future__ import annotations

import re

import pytest

from distilseg.cli import main
from distilseg.errors import UserError
from distilseg.recipes import Group, find, groups, recipes


def test_every_recipe_stands_in_one_group_once() -> None:
    names = [
        one.name for group in groups() for main_, below in group.recipes.items() for one in (main_, *below)
    ]
    assert sorted(names) == sorted(recipes())


def test_ablations_stand_below_their_recipe() -> None:
    below = {
        main_.name: [one.name for one in of] for group in groups() for main_, of in group.recipes.items()
    }
    assert below["kd_net_control"] == ["kd_net_control_no_skips"]
    assert "kd_net_gt_kd_no_skips" in below["kd_net"]
    assert {"dsd_basic", "dsd_sdd", "dsd_t3"} <= {
        *below["dual_self_distillation"]
    }  # also one made of another
    assert below["supervised"] == []
    titles = [group.title for group in groups()]
    assert titles[0] == "Labels alone: the control of the others"
    assert titles[-1] == "Two methods together"


@pytest.mark.parametrize("group", groups(), ids=lambda group: group.title)
def test_below_a_paper_stands_when_it_pays(group: Group, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence that fits a line; its figures are held to the results by tests of the evidence."""
    assert re.fullmatch(r"[A-Z][^.]*(\.\d[^.]*)*\.", group.when)
    assert len(group.when) <= 108
    assert main(["recipes"]) == 0
    assert f"{group.title}\n  {group.when}\n" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["recipes"], ["train", "--help"]])
def test_a_recipe_is_a_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    place = lines.index("Dual self-distillation (Banerjee et al., 2025)")
    assert lines[place + 2].startswith("  dual_self_distillation  ")
    assert lines[place + 3].startswith("    dsd_basic  ")
    for name, recipe in recipes().items():
        (line,) = [line for line in lines if line.split()[:1] == [name]]
        assert line.endswith(recipe.summary)


def test_the_nearest_three_are_named() -> None:
    with pytest.raises(UserError) as told:
        find("dsd_sd")
    assert told.value.fix == "did you mean 'dsd_sde', 'dsd_sdd' or 'dsd_ds'? `distilseg recipes` lists all"
