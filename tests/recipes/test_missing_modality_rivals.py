"""The rivals' recipes: all modalities, their own objective, and runs that resume bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from distilseg.data.formats import read_dataset
from distilseg.data.phantom.volumes import write_phantom
from distilseg.data.planning.normalisation import Normalisation
from distilseg.data.planning.plan import Plan
from distilseg.data.planning.splits import Split
from distilseg.networks import load_network
from distilseg.networks.modality_encoders import any_subset
from distilseg.recipes import find
from distilseg.runs import read_rows
from distilseg.training.budget import Budget
from distilseg.training.experiment import Study

from ..training.test_trained import assert_same, make, trained_until

NAMES = ("u_hemis", "u_hved")
TINY = {"filters": [4, 8, 8]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rivals")


@pytest.fixture(scope="module")
def study(folder: Path) -> Study:
    write_phantom(folder / "scans", cases=5, shape=(20, 20, 20), spacing_mm=(1, 1, 1))
    dataset = read_dataset(folder / "scans")
    plan = Plan(
        dataset=dataset.name,
        modalities=dataset.modalities,
        labels=dict(dataset.labels),
        spacing_mm=(1.0, 1.0, 1.0),
        normalisation={name: Normalisation(kind="zscore") for name in dataset.modalities},
        patch=(16, 16, 16),
        strides=((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2), (1, 1, 1)),
    )
    ids = tuple(case.id for case in dataset.cases)
    return Study(dataset, plan, Split(ids[:3], ids[3:4], ids[4:]), seed=0)


@pytest.mark.parametrize("name", NAMES)
def test_all_modalities_and_as_many_levels_as_the_network_has(name: str, study: Study) -> None:
    experiment = find(name)(study)
    spec = experiment.networks["student"]
    assert (spec.name, spec.in_channels) == (name, 3)
    assert spec.options["strides"] == [[1, 1, 1], [2, 2, 2], [2, 2, 2], [2, 2, 2]]
    assert experiment.control is None
    assert not experiment.teachers
    assert len(find(name)(study, network_options=TINY).networks["student"].options["strides"]) == 3


def test_the_weights_of_u_hved_reach_its_objective_and_its_identity(study: Study) -> None:
    shapes = {"reconstruction": (1, 3, 16, 16, 16), "posterior.0": (1, 8, 16, 16, 16)}
    published, other = find("u_hved")(study), find("u_hved")(study, kl=0.5, reconstruction=0.0)
    assert published.method({"student": shapes}).weights == {"seg": 1.0, "kl": 0.1, "reconstruction": 0.1}
    assert other.method({"student": shapes}).weights == {"seg": 1.0, "kl": 0.5, "reconstruction": 0.0}
    assert published.run_name() != other.run_name()


@pytest.mark.parametrize("name", NAMES)
def test_a_run_learns_and_resumes_bit_for_bit(name: str, study: Study, folder: Path) -> None:
    """Subsets and samples are drawn from the seed of the step."""
    experiment = find(name)(study, network_options=TINY).with_settings(
        Budget(steps=8), validations=1, learning_rate=5e-3
    )
    whole = make(experiment, folder / "whole", folder)
    totals = [float(row["total"]) for row in read_rows(whole.losses)]
    assert sum(totals[-3:]) < sum(totals[:3])
    assert not trained_until(experiment, 5, folder / "halved", folder).finished
    assert_same(whole, make(experiment, folder / "halved", folder))

    network, _, _ = load_network(whole.best)
    assert any_subset(network)
    image = torch.randn(1, 3, 16, 16, 16)
    image[:, :2] = torch.nan
    with torch.no_grad():
        assert network(image).isfinite().all()
