"""Thickened networks by recipe: a view, its control, three views by one command, in the scan's own space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilseg.cli import main
from distilseg.data.formats import read_dataset
from distilseg.data.phantom.volumes import write_phantom
from distilseg.data.scans.reading import read_scan
from distilseg.errors import UserError
from distilseg.recipes import find
from distilseg.runs import Run, find_runs, read_rows
from distilseg.training.experiment import Experiment, Study
from tests.costs import unmeasured

from ..training.small import small_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return small_study(tmp_path_factory.mktemp("scans"), cases=5)


def options_of(experiment: Experiment) -> dict[str, Any]:
    return dict(experiment.networks["student"].options)


def test_a_view_is_an_axis_of_the_volume(study: Study) -> None:
    for view, axis in (("axial", 2), ("coronal", 1), ("sagittal", 0)):
        experiment = find("thickened")(study, view=view, thickness=6)
        patch = experiment.study.plan.patch
        assert patch == tuple(6 if n == axis else 32 for n in range(3))
        assert options_of(experiment)["axis"] == axis
        slabs = {"kind": "slabs", "patch": list(patch), "axis": axis, "stride": 1, "divisor": 16}
        assert experiment.inferer == slabs
        assert experiment.views == ()


def test_the_control_is_the_plain_thickened_network(study: Study) -> None:
    control = find("thickened")(study, view="coronal", thickness=6).control
    assert control is not None
    assert (options_of(control)["multiplexing"], options_of(control)["head"]) == (False, "none")
    assert control.run_name() == find("thickened_plain")(study, view="coronal", thickness=6).run_name()
    batch = find("thickened")(study, thickness=6, reduce="batch").control
    assert batch is not None
    assert batch.options["reduce"] == "batch"  # the control minimises what its student does
    assert control.control is None


@pytest.mark.parametrize(
    ("recipe", "head"), [("thickened_esm", "none"), ("thickened_concat", "concat"), ("thickened_dot", "dot")]
)
def test_an_ablation_changes_the_head(recipe: str, head: str, study: Study) -> None:
    experiment = find(recipe)(study, thickness=6)
    assert (options_of(experiment)["head"], options_of(experiment)["multiplexing"]) == (head, True)
    assert experiment.recipe == recipe


def test_three_views_are_three_experiments(study: Study) -> None:
    experiment = find("thickened")(study, view="all", thickness=6, fuse="mean")
    assert [one.options["view"] for one in (experiment, *experiment.views)] == [
        "axial",
        "coronal",
        "sagittal",
    ]
    assert experiment.run_name() == find("thickened")(study, thickness=6).run_name()  # found, if there is one
    shorter = experiment.with_settings(learning_rate=1e-5)
    assert {one.optimisation.learning_rate for one in (shorter, *shorter.views)} == {1e-5}


def test_impossible_slabs_are_refused(study: Study) -> None:
    with pytest.raises(UserError, match="slabs of 4 slices; give 1 or a multiple of 3"):
        find("thickened")(study, thickness=4)
    with pytest.raises(UserError, match="unknown view 'axail'; did you mean 'axial'"):
        find("thickened")(study, view="axail")


def test_three_views_by_one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained, fused, judged with each view beside it, and predicted with."""
    monkeypatch.setattr("distilseg.judge.measure_costs", unmeasured)
    data = write_phantom(tmp_path / "scans", cases=4, shape=(24, 34, 18), modalities=("CT",))
    words = ["train", "thickened", "--data", str(data), "--view", "all", "--thickness", "3", "--steps", "1"]
    words += ["--batch-size", "2", "--device", "cpu", "--precision", "32-true", "--validations", "1"]
    assert main([*words, "--runs", str(tmp_path / "runs"), "--cache", str(tmp_path / "cache")]) == 0
    found: dict[str, list[Run]] = {}
    for run in find_runs(tmp_path / "runs"):
        found.setdefault(run.name.rpartition("-")[0], []).append(run)
    assert {name: len(runs) for name, runs in found.items()} == {
        "thickened": 3,
        "thickened_plain": 1,
        "fused-vote": 1,
    }
    fused = found["fused-vote"][0]
    assert read_rows(fused.metrics)
    assert main(["predict", str(fused.folder), str(data / "imagesTr"), str(tmp_path / "out")]) == 0
    for case in read_dataset(data).cases:
        predicted = read_scan(tmp_path / "out" / f"{case.id}.nii.gz")
        assert case.label is not None
        reference = read_scan(case.label)
        assert predicted.array.shape == reference.array.shape
        np.testing.assert_allclose(predicted.geometry.affine, reference.geometry.affine)


def test_single_slices_by_one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distilseg.judge.measure_costs", unmeasured)
    data = write_phantom(tmp_path / "scans", cases=4, shape=(24, 34, 18), modalities=("CT",))
    words = ["train", "thickened", "--data", str(data), "--thickness", "1", "--steps", "1"]
    words += ["--device", "cpu", "--precision", "32-true", "--validations", "1", "--batch-size", "4"]
    assert main([*words, "--runs", str(tmp_path / "runs"), "--cache", str(tmp_path / "cache")]) == 0
    run = next(run for run in find_runs(tmp_path / "runs") if not run.name.startswith("thickened_plain"))
    assert len(run.read(run.experiment)["networks"]["student"]["patch"]) == 2
    assert read_rows(run.metrics)
