"""A judged run: metrics in millimetres of the scans' own space, label maps, cost, pictures; judged once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from distilseg.data.formats import read_dataset
from distilseg.data.scans.reading import read_scan
from distilseg.errors import UserError
from distilseg.evaluation import evaluate_case
from distilseg.export.artefact import export_run
from distilseg.export.cost import Model, measure_costs
from distilseg.judge import judge, judge_slices, time_in_turns, to_time
from distilseg.networks.build import NetworkSpec, build
from distilseg.networks.checkpoint import load_network, save_weights
from distilseg.networks.count import parameters
from distilseg.report import compare_runs
from distilseg.runs import Run, read_rows
from distilseg.training.experiment import Study, file_digest
from distilseg.training.machine import Machine
from distilseg.training.trained import trained

from .training.small import small_experiment, small_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return small_study(tmp_path_factory.mktemp("phantom") / "scans")


@pytest.fixture(scope="module")
def judged(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("judged")
    experiment = small_experiment(study, "supervised", steps=150)
    machine = Machine(device="cpu", precision="32-true")
    run = trained(experiment, runs=folder / "runs", machine=machine, cache=folder / "cache")
    with mock.patch("distilseg.judge.measure_costs", measure_costs):  # in a fresh process, as for users
        judge(run, study.dataset, device="cpu")
    return run


def test_metrics_are_those_of_the_written_label_maps(judged: Run, study: Study) -> None:
    rows = read_rows(judged.metrics)
    assert {row["case"] for row in rows} == set(study.split.test)
    assert {"dice", "hd95", "nsd"} <= {row["metric"] for row in rows}
    for id in study.split.test:
        case = study.dataset.case(id)
        assert case.label is not None
        reference, written = read_scan(case.label), read_scan(judged.predictions / f"{id}.nii.gz")
        np.testing.assert_array_equal(written.geometry.affine, reference.geometry.affine)
        again = evaluate_case(
            reference.array,
            written.array,
            case=id,
            labels=study.plan.labels,
            spacing_mm=reference.geometry.spacing_mm,
        )
        told = {(r["label"], r["metric"]): float(r["value"]) for r in rows if r["case"] == id}
        assert told == pytest.approx({(r["label"], r["metric"]): r["value"] for r in again}, nan_ok=True)


def test_it_learned_the_large_organ(judged: Run) -> None:
    dice = [
        float(r["value"]) for r in read_rows(judged.metrics) if (r["label"], r["metric"]) == ("liver", "dice")
    ]
    assert np.mean(dice) > 0.6


def test_runs_that_are_compared_are_timed_together_once(
    judged: Run, study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [Run(tmp_path / name) for name in ("one", "two")]
    for run in runs:
        shutil.copytree(judged.folder, run.folder)
        judge(run, study.dataset, device="cpu", again=True, timed=False)
        assert not run.cost.is_file()  # of the judgement before
    asked: list[list[str]] = []

    def measured(models: Sequence[Model], **told: object) -> list[dict[str, Any]]:
        asked.append([model.path.name for model in models])
        assert all([*model.cases] == list(study.split.test) for model in models)
        return [{"in_turns_with": [m.path.name for m in models if m is not one]} for one in models]

    monkeypatch.setattr("distilseg.judge.measure_costs", measured)
    for _ in range(2):
        time_in_turns([to_time(run, study.dataset) for run in runs])
    assert asked == [["one", "two"]]
    judge(runs[0], study.dataset, device="cpu")  # judged and timed already
    assert asked == [["one", "two"]]
    runs[1].cost.unlink()
    judge(runs[1], study.dataset, device="cpu")  # what is missing alone
    assert asked == [["one", "two"], ["two"]]
    time_in_turns([to_time(run, study.dataset) for run in runs])  # which is no time beside the other's
    assert asked[2:] == [["one", "two"]]


def test_cost_and_pictures(judged: Run, study: Study) -> None:
    cost = judged.read(judged.cost)
    spec = NetworkSpec.from_dict(judged.read(judged.experiment)["networks"]["student"])
    assert cost["parameters"] == parameters(build(spec))
    assert cost["seconds_per_case"] > 0
    assert list(cost["stages_s"]) == ["reading", "preparing", "network", "label export"]
    assert min(cost["stages_s"].values()) > 0
    assert 0 < sum(list(cost["stages_s"].values())[1:]) < 2 * cost["seconds_per_case"]
    assert cost["peak_memory_bytes"] > 50e6  # at least what importing torch takes
    assert cost["counted_on"] == [1, 1, 16, 16, 16]
    with np.load(judged.overlays) as pictures:
        titles = {str(pictures[f"title_{n}"]) for n in range(len(study.split.test))}
        assert titles == set(study.split.test)
        assert pictures["image_0"].shape == pictures["reference_0"].shape == pictures["prediction_0"].shape
        assert pictures["reference_0"].max() >= 1


def test_it_is_judged_once_and_again_on_request(judged: Run, study: Study) -> None:
    before = judged.metrics.stat().st_mtime_ns
    judge(judged, study.dataset, device="cpu")
    assert judged.metrics.stat().st_mtime_ns == before
    judge(judged, study.dataset, device="cpu", tolerance_mm=2.0)
    assert judged.metrics.stat().st_mtime_ns > before
    assert judged.read(judged.folder / "evaluation.json")["tolerance_mm"] == 2.0
    judge(judged, study.dataset, device="cpu")


def test_a_kill_between_numbers_and_record_leaves_no_record_of_other_numbers(
    judged: Run, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at each file that is written: what is told afterwards is what was asked for."""
    judge(judged, study.dataset, device="cpu", tolerance_mm=1.0)
    right = judged.metrics.read_bytes()
    record = judged.folder / "evaluation.json"
    for last in (judged.metrics, judged.overlays, record):

        def kill(aside: Path, path: Path, last: Path = last, replace: Any = os.replace) -> None:
            replace(aside, path)
            if Path(path) == last:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", kill)
            with pytest.raises(KeyboardInterrupt):
                judge(judged, study.dataset, device="cpu", tolerance_mm=0.01, again=True)
        assert record.exists() == (last == record)
        assert not judged.cost.exists()  # of weights that may have been others
        judge(judged, study.dataset, device="cpu", tolerance_mm=1.0)
        assert judged.metrics.read_bytes() == right
        assert judged.read(record)["tolerance_mm"] == 1.0
        assert judged.cost.is_file()
    judge(judged, study.dataset, device="cpu", tolerance_mm=2.0)


def test_slices_are_judged_beside_and_nothing_else_changes(
    judged: Run, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the label maps that are there; each row is that of the slice alone."""
    before = {path: path.read_bytes() for path in judged.folder.rglob("*") if path.is_file()}
    with monkeypatch.context() as patch:
        patch.setattr("distilseg.judge.load_segmenter", None)  # nothing is predicted again
        rows = judge_slices(judged, study.dataset, empty="one", slice_axis=1, device="cpu")
    changed = {path for path in judged.folder.rglob("*") if path.is_file() and path not in before}
    assert changed == {judged.slices / "metrics.csv", judged.slices / "evaluation.json"}
    assert all(path.read_bytes() == content for path, content in before.items())
    assert judged.read(judged.slices / "evaluation.json") == {
        "cases": list(study.split.test),
        "weights": "best",
        "weights_digest": [file_digest(judged.best)],
        "empty": "one",
        "by": "slice",
        "slice_axis": 1,
    }
    id = study.split.test[0]
    label = study.dataset.case(id).label
    assert label is not None
    truth, written = read_scan(label).array, read_scan(judged.predictions / f"{id}.nii.gz").array
    n = truth.shape[1] // 2
    alone = evaluate_case(
        truth[:, n],
        written[:, n],
        case=f"{id}#{n:03d}",
        labels=study.plan.labels,
        spacing_mm=(1, 1),
        metrics=("dice", "iou"),
        empty="one",
    )
    assert [row for row in rows if row["case"] == f"{id}#{n:03d}"] == alone

    # Asked again it reads what it wrote; without the label maps it predicts, to the same numbers.
    stored = judge_slices(judged, study.dataset, empty="one", slice_axis=1, device="cpu")
    assert [float(row["value"]) for row in stored] == [row["value"] for row in rows]
    predicted = judge_slices(judged, study.dataset, empty="one", slice_axis=1, device="cpu", again=True)
    assert predicted == rows


def test_slices_of_other_weights_are_predicted(
    judged: Run, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The label maps that are there are of the best weights: those of the last are not read from them."""

    def asked(folder: Path, *, weights: str, **options: object) -> None:
        raise UserError(f"the {weights} weights are asked for", "")

    monkeypatch.setattr("distilseg.judge.load_segmenter", asked)
    with pytest.raises(UserError, match="the last weights"):
        judge_slices(judged, study.dataset, weights="last", device="cpu")
    # What a judgement that was cut short left is younger than the record of the one before.
    (judged.predictions / f"{study.split.test[0]}.nii.gz").touch()
    with pytest.raises(UserError, match="the best weights"):
        judge_slices(judged, study.dataset, device="cpu")


def test_unlabelled_and_untrained_are_refused(judged: Run, study: Study, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown case in .* 'nobody'"):
        judge(judged, study.dataset, cases=["nobody"], device="cpu")
    empty = Run(tmp_path)
    empty.experiment.write_text(judged.experiment.read_text())
    with pytest.raises(UserError, match="has no trained weights yet"):
        judge(empty, device="cpu")


def test_the_dataset_is_found_where_the_run_says(judged: Run, study: Study) -> None:
    about = judged.read(judged.experiment)
    assert read_dataset(about["dataset"]["folder"]).name == study.dataset.name


@pytest.mark.parametrize("name", ["predictions", "by-slice", "export"])
def test_nothing_is_written_through_a_link_in_a_run(
    judged: Run, study: Study, tmp_path: Path, name: str
) -> None:
    run, theirs = Run(shutil.copytree(judged.folder, tmp_path / judged.name)), tmp_path / "theirs"
    shutil.rmtree(run.folder / name, ignore_errors=True)
    theirs.mkdir()
    (theirs / "kept").write_text("kept")
    (run.folder / name).symlink_to(theirs)
    uses: dict[str, Callable[[], object]] = {
        "predictions": lambda: judge(run, study.dataset, device="cpu", again=True),
        "by-slice": lambda: judge_slices(run, study.dataset, device="cpu", again=True),
        "export": lambda: export_run(run, "torch", dataset=study.dataset),
    }
    with pytest.raises(UserError, match=rf"{name} is a link, and nothing is written through one; remove it"):
        uses[name]()
    assert [path.name for path in theirs.iterdir()] == ["kept"]


def test_runs_may_lie_behind_a_link_of_the_user(study: Study, tmp_path: Path) -> None:
    """`runs/` on another disk: the folder above, or the run that is judged, may be a link; a new run not."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "runs").symlink_to(tmp_path / "disk")
    experiment, machine = small_experiment(study, "supervised", steps=2), Machine(device="cpu")
    run = trained(experiment, runs=tmp_path / "runs", machine=machine, cache=tmp_path / "cache")
    assert judge(run, study.dataset, device="cpu")
    assert run.metrics.resolve().is_relative_to((tmp_path / "disk").resolve())
    (tmp_path / "favourite").symlink_to(run.folder)
    linked = Run(tmp_path / "favourite")
    judge(linked, study.dataset, device="cpu", again=True)
    assert linked.scored() == run.scored()


def test_scores_whose_judgement_was_cut_short_are_not_compared(judged: Run, tmp_path: Path) -> None:
    run = Run(shutil.copytree(judged.folder, tmp_path / judged.name))
    assert compare_runs([run])
    (run.folder / "evaluation.json").unlink()
    with pytest.raises(UserError, match=r"no evaluation\.json.*cut short; run `distilseg evaluate"):
        compare_runs([run])


def test_a_run_that_trained_on_is_judged_anew(judged: Run, study: Study, tmp_path: Path) -> None:
    shutil.copytree(judged.folder, tmp_path / "run")
    run = Run(tmp_path / "run")
    before = judge(run, study.dataset, device="cpu")
    network, spec, extra = load_network(run.best)
    for parameter in network.parameters():
        parameter.data.zero_()  # such a network finds background alone
    save_weights(run.best, network, spec, extra)
    after = judge(run, study.dataset, device="cpu")
    dice = [float(row["value"]) for row in after if row["metric"] == "dice" and row["label"] == "liver"]
    assert dice == [0.0] * len(study.split.test)
    assert before != after
    stamp = run.metrics.stat().st_mtime_ns
    judge(run, study.dataset, device="cpu")
    assert run.metrics.stat().st_mtime_ns == stamp  # and once
