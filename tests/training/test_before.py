"""What a run needs is found or made in an order that fails early."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from distilseg.errors import UserError
from distilseg.recipes import find
from distilseg.runs import Run
from distilseg.training.before import Before, before
from distilseg.training.experiment import Continued, Experiment, Finished, Prototypes, Study
from distilseg.training.machine import Machine

from .small import NETWORK, small_experiment, small_study

CPU = Machine(device="cpu", precision="32-true")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return small_study(tmp_path_factory.mktemp("scans"))


def never(needed: Experiment) -> Run:
    raise AssertionError(f"{needed.recipe} is trained")


def finished(folder: Path) -> Finished:
    """A run of which only the weights matter."""
    folder.mkdir()
    Run(folder).best.touch()
    return Finished(folder)


def test_a_run_that_needs_nothing(study: Study) -> None:
    assert before(small_experiment(study, "supervised"), never, CPU, None) == Before({}, {}, None, None)


def test_a_finished_start_is_taken_as_it_is(study: Study, tmp_path: Path) -> None:
    start = finished(tmp_path / "start")
    experiment = replace(small_experiment(study, "supervised"), continues=Continued(start))
    assert before(experiment, never, CPU, None).start == Run(start.folder)


def test_a_start_is_made_once_and_needs_weights(study: Study, tmp_path: Path) -> None:
    experiment = find("prototype_distillation_control")(study, network="dynunet", network_options=NETWORK)
    assert experiment.continues is not None
    asked = []

    def without_weights(needed: Experiment) -> Run:
        asked.append(needed)
        return Run(tmp_path)

    with pytest.raises(UserError, match=rf"^{tmp_path} has no trained weights to go on from; repeat its"):
        before(experiment, without_weights, CPU, None)
    assert asked == [experiment.continues.run]


def test_prototypes_come_before_the_start(study: Study, tmp_path: Path) -> None:
    """A file that is gone, a teacher without weights: told before hours of the student's training."""
    alone = find("prototype_distillation_control")(study, network="dynunet", network_options=NETWORK)
    with pytest.raises(UserError, match="there is no prototype file"):
        before(replace(alone, prototypes=tmp_path / "gone.json"), never, CPU, None)
    asked: list[str] = []

    def make(needed: Experiment) -> Run:
        asked.append(needed.recipe)
        return Run(tmp_path)

    teacher = find("supervised")(study, network_options=NETWORK)
    with pytest.raises(UserError, match="has no trained weights yet"):
        before(replace(alone, prototypes=Prototypes(teacher)), make, CPU, None)
    assert asked == ["supervised"]
