"""Recipes are found by their signature, say what they are, and each builds the objective it names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from distilseg.distillation.dual_self_distillation import DualSelfDistillation
from distilseg.errors import UserError
from distilseg.networks import NetworkSpec, build, feature_shapes, parameters
from distilseg.recipes import find, recipes
from distilseg.training.budget import Budget
from distilseg.training.experiment import Study

from ..training.small import NETWORK, method_of, small_study

DEEPER = {"filters": [4, 8, 8, 8], "strides": [[1] * 3, [2] * 3, [2] * 3, [2] * 3]}  # three levels a side
# Weights of the terms (deep_supervision, encoder, decoder), temperature, teacher: the paper's tables.
ABLATIONS = {
    "dsd_ds": (1, 0, 0, 3.0, "deepest"),
    "dsd_sdd": (1, 0, 1, 3.0, "deepest"),
    "dsd_sde": (1, 1, 0, 3.0, "deepest"),
    "dual_self_distillation": (1, 1, 1, 3.0, "deepest"),
    "dsd_t1": (1, 1, 1, 1.0, "deepest"),
    "dsd_t2": (1, 1, 1, 2.0, "deepest"),
    "dsd_t3": (1, 1, 1, 3.0, "deepest"),
    "dsd_t4": (1, 1, 1, 4.0, "deepest"),
    "dsd_mean_teacher": (1, 1, 1, 3.0, "mean"),
    "dsd_reversed": (1, 1, 1, 3.0, "reversed"),
    "dsd_feature_l2": (1, 1, 1, 3.0, "deepest"),
    "dsd_own_resolution": (1, 1, 1, 3.0, "deepest"),
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return small_study(tmp_path_factory.mktemp("phantom") / "scans")


def test_every_recipe_says_what_it_is() -> None:
    found = recipes()
    assert {"supervised", "dsd_basic", "dsd_paper_hippocampus", "dsd_paper_mmwhs", *ABLATIONS} <= found.keys()
    for recipe in found.values():
        assert recipe.summary.endswith("."), recipe.name
        assert {"network", "student", "backbone"} & recipe.options.keys(), recipe.name


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_changes_what_its_name_says(name: str, study: Study) -> None:
    method = method_of(find(name)(study, network_options=DEEPER))
    assert isinstance(method, DualSelfDistillation)
    supervision, encoder, decoder, temperature, teacher = ABLATIONS[name]
    weights = {"seg": 1, "deep_supervision": supervision, "encoder": encoder, "decoder": decoder}
    assert method.weights == {**weights, "feature_l2": 1e-4 if name == "dsd_feature_l2" else 0.0}
    assert (method.temperature, method.teacher) == (temperature, teacher)
    heads = {head.upsampling for head in method.heads.values()}
    assert heads == {"nearest" if name == "dsd_own_resolution" else "shared_x2"}


def test_terms_that_change_over_time(study: Study) -> None:
    """Constant ones leave the run's name as it was before there was a choice."""
    recipe = find("dual_self_distillation")
    fading = recipe(study, network_options=DEEPER, over_time="fading", beta=0.5)
    weights = method_of(fading).weights
    assert [str(weights[name]) for name in ("deep_supervision", "encoder", "decoder")] == [
        "1.0",
        "1 fading",
        "0.5 fading",
    ]
    constant = recipe(study, network_options=DEEPER, over_time="constant")
    assert constant.run_name() == recipe(study, network_options=DEEPER).run_name()
    assert fading.run_name() != recipe(study, network_options=DEEPER, beta=0.5).run_name()
    weights = method_of(find("dsd_growing")(study, network_options=DEEPER)).weights
    assert {name: str(weight) for name, weight in weights.items()} == {
        "seg": "1.0",
        "deep_supervision": "1 growing",
        "encoder": "0.1 growing",
        "decoder": "0.1 growing",
        "feature_l2": "0.0",
    }


@pytest.mark.parametrize(
    ("option", "weights"),
    [("over_time", {"alpha": 0.0, "beta": 0.0}), ("deep_supervision_over_time", {"deep_supervision": 0.0})],
)
def test_what_has_no_weight_cannot_change_over_time(
    study: Study, option: str, weights: dict[str, float]
) -> None:
    """One of the divergences is enough."""
    with pytest.raises(UserError, match=f"^{option} is growing, and what it changes has a weight of 0"):
        find("dual_self_distillation")(study, **{option: "growing"}, **weights)
    find("dual_self_distillation")(study, over_time="growing", alpha=0.0)


def test_basic_is_the_control_itself(study: Study) -> None:
    control = find("dual_self_distillation")(study, network_options=NETWORK).control
    assert control is not None
    assert find("dsd_basic")(study, network_options=NETWORK).run_name() == control.run_name()
    assert find("dsd_t3")(study).run_name() == find("dual_self_distillation")(study).run_name()


def test_budget_and_settings_reach_the_control(study: Study) -> None:
    experiment = find("dual_self_distillation")(study).with_settings(
        Budget(steps=7), learning_rate=0.5, patience=3
    )
    control = experiment.control
    assert control is not None
    for one in (experiment, control):
        assert (one.budget.steps, one.optimisation.learning_rate, one.validation.patience) == (7, 0.5, 3)
    assert control.asked == {"learning_rate": 0.5, "patience": 3}


def test_the_published_settings(study: Study) -> None:
    hippocampus = find("dsd_paper_hippocampus")(study)
    assert hippocampus.study.plan.patch == (32, 32, 32)
    assert hippocampus.study.plan.normalisation["MR"].kind == "minmax"
    assert hippocampus.budget == Budget(epochs=300)
    assert (hippocampus.optimisation.learning_rate, hippocampus.optimisation.schedule) == (1e-4, "constant")
    assert hippocampus.inferer["blend"] == "constant"
    mmwhs = find("dsd_paper_mmwhs")(study, network="unetr")
    assert (mmwhs.optimisation.learning_rate, mmwhs.optimisation.schedule) == (1e-3, "halving")
    assert mmwhs.budget == Budget(epochs=600)
    for experiment in (hippocampus, mmwhs):
        control = experiment.control
        assert control is not None
        assert (control.study, control.sampling, control.optimisation, control.budget, control.inferer) == (
            experiment.study,
            experiment.sampling,
            experiment.optimisation,
            experiment.budget,
            experiment.inferer,
        )


@pytest.mark.parametrize(("network", "count"), [("cotr", 41_931_280), ("transbts", 32_987_588)])
def test_rivals_on_brain_tumours(network: str, count: int, study: Study) -> None:
    """Their row is the control: each as its own paper has it, on the labels alone."""
    made = find("dsd_paper_brats")(study, network=network)
    control = made.control
    assert control is not None
    assert control.recipe == "supervised"
    for one in (made, control):
        assert one.study.plan.patch == (128, 128, 128)
        assert one.budget == Budget(epochs=325)
        assert (one.optimisation.learning_rate, one.optimisation.schedule) == (1e-4, "constant")
        spec = replace(one.networks["student"], in_channels=4, classes=4)
        with torch.device("meta"):
            assert (spec.name, parameters(build(spec))) == (network, count)

    spec = made.networks["student"]
    with torch.device("meta"):
        shapes = feature_shapes(build(spec), (1, spec.in_channels, *spec.patch))
    method = made.method({"student": shapes})
    assert isinstance(method, DualSelfDistillation)
    assert method.encoder == ("encoder.0", "encoder.1", "encoder.2")
    assert method.decoder == ("decoder.1", "decoder.2", "bottleneck")


@pytest.mark.parametrize(("light", "features", "count"), [(True, 16, 102_449_732), (False, 64, 143_142_404)])
def test_both_unetrs_of_brats(study: Study, light: bool, features: int, count: int) -> None:
    """With the counts of the authors' networks; MONAI has since added 12 norms that nothing runs."""
    made = find("dsd_paper_brats")(study, network="unetr", light=light)
    options = made.networks["student"].options
    assert options == {"feature_size": features}
    with torch.device("meta"):
        network = build(NetworkSpec("unetr", 4, 4, (128, 128, 128), options))
    assert parameters(network) == count + 12 * 2 * 768
    assert made.control is not None
    assert made.control.networks["student"].options == options


def test_no_other_network_of_brats_is_light(study: Study) -> None:
    with pytest.raises(UserError, match="there is no light dynunet in the paper; give network unetr"):
        find("dsd_paper_brats")(study, light=True)


def test_a_recipe_of_ones_own(study: Study, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from distilseg.recipes.supervised import supervised\n"
        "def slow(study, *, rate: float = 1e-5):\n"
        '    """Supervised, slowly."""\n'
        "    return supervised(study).with_settings(learning_rate=rate)\n"
    )
    recipe = find(f"{file}:slow")
    assert recipe.summary == "Supervised, slowly."
    assert recipe(study, rate=1e-6).optimisation.learning_rate == 1e-6
    before = recipe(study).run_name()
    file.write_text(file.read_text() + "# edited\n")
    assert find(f"{file}:slow")(study).run_name() != before  # what it now makes is another run
    with pytest.raises(UserError, match="has no recipe 'quick'; it has slow"):
        find(f"{file}:quick")


def test_wrong_names_are_answered_with_the_right_ones(study: Study) -> None:
    with pytest.raises(
        UserError, match="unknown recipe 'dual_distillation'; did you mean 'dual_self_distillation'"
    ):
        find("dual_distillation")
    with pytest.raises(
        UserError, match="unknown option of the recipe dsd_ds 'temperature'; known: network, network_op"
    ):
        find("dsd_ds")(study, temperature=2)
    with pytest.raises(UserError, match="unknown setting 'learning'; did you mean 'learning_rate'"):
        find("supervised")(study).with_settings(learning=1)
