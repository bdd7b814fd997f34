"""MISSU's recipe: its weight, its control, another network, and a run that resumes bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from distilseg.distillation import MISSU, Supervised
from distilseg.networks import NetworkSpec, build, feature_shapes, load_network
from distilseg.recipes import find
from distilseg.runs import read_rows
from distilseg.training.budget import Budget
from distilseg.training.experiment import Study

from ..training.small import small_study
from ..training.test_trained import assert_same, make, trained_until

TINY = {"filters": [4, 8, 8, 8], "hidden": 16, "mlp": 24, "layers": 1, "heads": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("missu")


@pytest.fixture(scope="module")
def study(folder: Path) -> Study:
    return small_study(folder / "scans")


def shapes(spec: NetworkSpec) -> dict[str, dict[str, tuple[int, ...]]]:
    return {"student": feature_shapes(build(spec), (1, spec.in_channels, *spec.patch))}


def test_the_weight_reaches_the_objective_and_the_identity(study: Study) -> None:
    one, half = (find("missu")(study, network_options=TINY, self_distillation=w) for w in (1.0, 0.5))
    method = half.method(shapes(half.networks["student"]))
    assert isinstance(method, MISSU)
    assert method.weights == {"seg": 1.0, "self_distillation": 0.5}
    assert {teacher for _, teacher in method.pairs} == {"encoder.0", "encoder.1", "encoder.2"}
    assert one.run_name() != half.run_name()
    assert one.options["self_distillation"] == 1.0


def test_the_control_differs_in_the_objective_alone(study: Study) -> None:
    experiment = find("missu")(study, network_options=TINY)
    control = experiment.control
    assert control is not None
    assert control.run_name() == find("missu_control")(study, network_options=TINY).run_name()
    assert control.run_name() == find("supervised")(study, network="missu", network_options=TINY).run_name()
    assert isinstance(control.method({}), Supervised)
    assert control.networks == experiment.networks
    assert control.sampling == experiment.sampling
    assert control.optimisation == experiment.optimisation


def test_without_its_term_it_is_the_control(study: Study, folder: Path) -> None:
    small = Budget(steps=3)
    without = find("missu")(study, network_options=TINY, self_distillation=0.0).with_settings(small)
    control = find("missu_control")(study, network_options=TINY).with_settings(small)
    losses = [
        [row["total"] for row in read_rows(make(experiment, folder / "zero", folder).losses)]
        for experiment in (without, control)
    ]
    assert losses[0] == losses[1]


def test_on_another_network(study: Study) -> None:
    on_dynunet = find("missu")(study, network="dynunet", network_options={"filters": [4, 8, 8]})
    assert isinstance(on_dynunet.method(shapes(on_dynunet.networks["student"])), MISSU)


def test_a_run_learns_and_resumes_bit_for_bit(study: Study, folder: Path) -> None:
    """Dropout is drawn from the seed of the step."""
    experiment = find("missu")(study, network_options=TINY).with_settings(Budget(steps=8), validations=1)
    whole = make(experiment, folder / "whole", folder)
    totals = [float(row["total"]) for row in read_rows(whole.losses)]
    assert sum(totals[-3:]) < sum(totals[:3])
    assert not trained_until(experiment, 5, folder / "halved", folder).finished
    assert_same(whole, make(experiment, folder / "halved", folder))
    network, _, _ = load_network(whole.best)
    with torch.no_grad():
        assert network(torch.randn(1, 1, 16, 16, 16)).isfinite().all()
