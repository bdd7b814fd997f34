"""Derived recipes: what they offer, how they are called, and what is refused while a file is read."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from distilseg.errors import UserError
from distilseg.recipes import Recipe, find
from distilseg.recipes.dual_self_distillation import dsd_sdd, dual_self_distillation
from distilseg.recipes.kd_net import kd_net_gt_kd
from distilseg.recipes.supervised import supervised
from distilseg.recipes.thickened import thickened_dot
from distilseg.recipes.variant import Given, Variant, inherits, variant
from distilseg.training.experiment import Experiment, Study

from ..training.small import small_study

Size = Literal["small", "big"]
FILTERS = {"small": [4, 8, 8], "big": [8, 16, 16]}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return small_study(tmp_path_factory.mktemp("scans"))


def sized(study: Study, *, size: Size = "big", rate: float = 0.5, axes: Sequence[int] = ()) -> Experiment:
    """A DynUNet of two sizes.

    Only for tests: nobody trains it.

    size: how wide it is;
    small is for tests.
    rate: of learning.
    """
    made = supervised(study, network_options={"filters": FILTERS[size]})
    return made.with_settings(learning_rate=rate, flip_axes=tuple(axes))


small = variant(sized, "Ablation: a small one.", size="small")
slow_and_small = variant(small, "The small one, slowly.", rate=0.125)
only_rate = variant(sized, "One option.", offers=("rate", "size"), size="small")
the_same = variant(sized, "The same by another name.")


@inherits(sized, "axes", size="small")
def twice_as_fast(study: Study, given: Given, *, rate: float = 1.0) -> Experiment:
    """Twice as fast.

    axes: to be mirrored.
    """
    return sized(study, rate=2 * rate, **given)


@inherits(twice_as_fast)
@inherits(dual_self_distillation, "alpha", "teacher")
def of_two(study: Study, of_dsd: Given, of_twice: Given) -> Experiment:
    """Both."""
    made = twice_as_fast(study, **of_twice)
    dsd = dual_self_distillation(study, **of_dsd)
    return made.with_settings(weight_decay=dsd.options["alpha"])


def test_a_variant_is_its_recipe_but_for_what_it_fixes(study: Study) -> None:
    made, by_hand = small(study, rate=0.25), sized(study, size="small", rate=0.25)
    assert made.networks["student"].options["filters"] == [4, 8, 8]
    assert made.optimisation.learning_rate == 0.25
    assert {**made.identity, "recipe": ""} == {**by_hand.identity, "recipe": ""}


def test_it_is_called_as_its_variable(study: Study) -> None:
    assert small.__name__ == "small"
    assert small.__module__ == __name__
    assert small(study).recipe == "small"
    assert slow_and_small(study).recipe == "slow_and_small"
    assert dsd_sdd.__module__ == "distilseg.recipes.dual_self_distillation"
    with pytest.raises(AttributeError, match="called as the variable of its file that holds it"):
        _ = variant(sized, "Held by no variable.", size="small").__name__


def test_where_nothing_is_fixed_it_is_the_same_run(study: Study) -> None:
    assert the_same(study).run_name() == sized(study).run_name()
    assert small(study).run_name() != sized(study, size="small").run_name()


def test_a_variant_of_a_variant_fixes_more(study: Study) -> None:
    made = slow_and_small(study)
    assert made.networks["student"].options["filters"] == [4, 8, 8]
    assert made.optimisation.learning_rate == 0.125
    assert [*Recipe("", slow_and_small).options] == ["axes"]


def test_other_views_are_runs_of_the_variant_too(study: Study) -> None:
    made = thickened_dot(study, view="all", thickness=3)
    assert [view.recipe for view in made.views] == ["thickened_dot"] * 2


def _signature(recipe: Callable[..., Any]) -> str:
    return str(inspect.signature(recipe)).replace("distilseg.training.experiment.", "")


def test_signature_and_types_are_derived() -> None:
    axes = "axes: collections.abc.Sequence[int] = ()"
    assert _signature(small) == f"(study: Study, *, rate: float = 0.5, {axes}) -> Experiment"
    assert _signature(only_rate) == "(study: Study, *, rate: float = 0.5) -> Experiment"
    size = "size: Literal['small', 'big'] = 'small'"
    assert _signature(twice_as_fast) == f"(study: Study, *, {axes}, {size}, rate: float = 1.0) -> Experiment"
    assert [*inspect.signature(of_two).parameters] == ["study", "axes", "size", "rate", "alpha", "teacher"]
    assert typing.get_type_hints(kd_net_gt_kd)["student_sees"] == Sequence[str]
    assert typing.get_type_hints(of_two)["teacher"] == Literal["deepest", "mean", "reversed"]


def test_help_is_derived() -> None:
    assert inspect.getdoc(small) == "Ablation: a small one.\n\nrate: of learning."
    assert inspect.getdoc(twice_as_fast) == (
        "Twice as fast.\n\naxes: to be mirrored.\nsize: how wide it is;\nsmall is for tests."
    )
    assert inspect.getdoc(the_same) == (
        "The same by another name.\n\nsize: how wide it is;\nsmall is for tests.\nrate: of learning."
    )
    assert "axes: to be mirrored." in (inspect.getdoc(of_two) or "")
    assert "alpha: weight of the encoder's term." in (inspect.getdoc(of_two) or "")


def test_inherited_options_reach_the_function(study: Study) -> None:
    made = twice_as_fast(study, axes=(1, 2))
    assert made.networks["student"].options["filters"] == [4, 8, 8]
    assert made.optimisation.learning_rate == 2.0
    assert made.sampling.flip_axes == (1, 2)
    both = of_two(study, alpha=0.25, size="big", rate=0.5)
    assert both.networks["student"].options["filters"] == [8, 16, 16]
    assert both.optimisation.learning_rate == 1.0
    assert both.optimisation.weight_decay == 0.25


@pytest.mark.parametrize("recipe", [small, only_rate, twice_as_fast])
def test_other_options_are_not_taken(recipe: Callable[..., Any], study: Study) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'width'"):
        recipe(study, width=3)


def test_what_is_fixed_is_no_option(study: Study) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'size'"):
        small(study, size="big")
    with pytest.raises(TypeError, match="unexpected keyword argument 'axes'"):
        only_rate(study, axes=(1,))


@pytest.mark.parametrize(
    "derive",
    [
        lambda: variant(sized, "Wrong.", sizes="small"),
        lambda: variant(sized, "Wrong.", offers=("sizes",)),
        lambda: inherits(sized, "sizes"),
        lambda: inherits(sized, sizes="small"),
    ],
)
def test_a_wrong_name_is_refused_at_once(derive: Callable[[], object]) -> None:
    with pytest.raises(UserError, match="unknown option of sized 'sizes'; did you mean 'size'"):
        derive()


def test_an_option_cannot_be_inherited_and_ones_own() -> None:
    with pytest.raises(TypeError, match="sized inherits size and has it, too"):
        inherits(sized, "size")(sized)


def test_variants_in_a_file_of_ones_own(study: Study, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    text = (
        "from distilseg.recipes.kd_net import kd_net, kd_net_gt_kd\n"
        "from distilseg.recipes.variant import variant\n"
        'warm = variant(kd_net, "Warm.", temperature=9.0)\n'
    )
    file.write_text(text)
    recipe = find(f"{file}:warm")
    assert isinstance(recipe.make, Variant)
    assert (recipe.name, recipe.summary) == ("warm", "Warm.")
    assert recipe(study).options["temperature"] == 9.0
    assert recipe(study).recipe == "warm"
    with pytest.raises(UserError, match="has no recipe 'kd_net_gt_kd'; it has warm"):
        find(f"{file}:kd_net_gt_kd")
    file.write_text(text.replace("temperature", "temprature"))
    with pytest.raises(UserError, match=r"cannot be imported .*option of kd_net 'temprature'; did you mean"):
        find(f"{file}:warm")
