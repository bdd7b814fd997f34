"""Every kind of network there is, shipped: on slices, slabs, regions, several modalities, and single slices.

`test_export` compares float artefacts of one modality with their runs; here are int8 and what 2D files are.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from distilseg.commands import cost, export, predict
from distilseg.data.formats import read_dataset
from distilseg.data.phantom.slices import write_phantom_slices
from distilseg.data.planning.decide import make_plan
from distilseg.data.planning.fingerprint import measure
from distilseg.data.planning.plan import load_plan
from distilseg.data.planning.splits import Split
from distilseg.data.scans.reading import read_scan
from distilseg.errors import UserError
from distilseg.export import quantise
from distilseg.export.openvino import write_openvino
from distilseg.networks.count import parameters
from distilseg.predict import load_predictor
from distilseg.runs import Run
from distilseg.runtime.artefact import open_artefact
from distilseg.training.experiment import Study
from distilseg.training.machine import Machine
from distilseg.training.trained import trained
from distilseg.views import fused

from ..training.small import of_seed, small_experiment, small_study
from .test_export import TRAINING, WITHOUT_TRAINING, experiment, label_maps
from .test_int8 import Awkward, kinds

CPU = Machine(device="cpu", precision="32-true")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kinds")


@pytest.fixture(scope="module")
def studies(folder: Path) -> dict[int, Study]:
    """By how many modalities a case has."""
    return {
        1: small_study(folder / "one" / "scans"),
        2: small_study(folder / "two" / "scans", modalities=("CT", "PET")),
    }


def run_of(kind: str, study: Study, folder: Path) -> Run:
    return trained(experiment(kind, study), runs=folder / "runs", machine=CPU, cache=folder / "cache")


@pytest.mark.parametrize(("kind", "modalities"), [("slices", 1), ("slabs", 2), ("regions", 2)])
def test_int8_is_judged_and_predicts(
    kind: str, modalities: int, studies: dict[int, Study], folder: Path, tmp_path: Path
) -> None:
    study = studies[modalities]
    run = run_of(kind, study, folder)
    how = {"max_dice_drop": 100, "calibration_cases": 2, "even_if_slower": True}
    made = export(run, "openvino-int8", out=tmp_path / "student", **how)
    assert all(parity.within(1e-3) for parity in made.parity)  # in float
    assert made.quantised is not None
    found = open_artefact(made.path)
    assert (found.about.target, made.quantised.kept) == ("openvino-int8", "int8")
    assert "FakeQuantize" in kinds(made.path / "network.xml")
    structures = found.plan.regions or found.plan.classes[1:]
    assert list(made.quantised.dice_int8) == list(made.quantised.dice_float) == list(structures)
    means = [100 * np.mean(list(s.values())) for s in (made.quantised.dice_float, made.quantised.dice_int8)]
    assert made.quantised.drop == pytest.approx(means[0] - means[1])

    scans = study.dataset.folder
    predict(run.folder, scans, tmp_path / "by-run")
    predict(made.path, scans, tmp_path / "by-artefact", threads=1)
    by_run, by_artefact = label_maps(tmp_path / "by-run"), label_maps(tmp_path / "by-artefact")
    assert by_run.keys() == by_artefact.keys()
    assert len(by_run) == 6
    agree = [(by_artefact[name] == labels).mean() for name, labels in by_run.items()]
    assert min(agree) > 0.5  # a network of two steps is unsure everywhere


def test_layers_are_given_back_on_slices(studies: dict[int, Study], folder: Path, tmp_path: Path) -> None:
    """Nothing is good enough: all that can be is given back, and then the network stays in float."""
    run = run_of("slices", studies[1], folder)
    made = export(run, "openvino-int8", out=tmp_path / "student", max_dice_drop=-100, calibration_cases=1)
    assert made.quantised is not None
    assert (made.quantised.kept, open_artefact(made.path).about.target) == ("float", "openvino")
    predict(run.folder, studies[1].dataset.folder, tmp_path / "by-run")
    predict(made.path, studies[1].dataset.folder, tmp_path / "by-artefact", threads=1)
    for name, labels in label_maps(tmp_path / "by-run").items():
        np.testing.assert_array_equal(label_maps(tmp_path / "by-artefact")[name], labels)


def test_windows_of_several_sizes_calibrate(tmp_path: Path) -> None:
    """Those of slabs are as large as their scan."""
    network, rounded = tmp_path / "network.xml", tmp_path / "rounded.xml"
    write_openvino(Awkward().eval(), network, modalities=1, patch=(16, 16), free=(0, 1))
    sizes = ((16, 16), (32, 16), (16, 48))
    windows = [np.random.default_rng(0).normal(size=(1, 1, *size)).astype(np.float32) for size in sizes]
    quantise.write_int8(network, rounded, windows)
    assert "FakeQuantize" in kinds(rounded)
    run = quantise.engine_of(rounded, threads=1)
    assert [run(window).shape for window in windows] == [(1, 2, *size) for size in sizes]
    assert sorted(quantise.by_harm(network, tmp_path, windows)) == sorted(quantise.layers(network))


@pytest.mark.parametrize("ending", [".png", ".nii.gz"])
@pytest.mark.parametrize("to", ["onnx", "openvino-int8"])
def test_single_slices_are_answered_in_kind(ending: str, to: str, tmp_path: Path) -> None:
    """A PNG gets a PNG and a 2D NIfTI a 2D NIfTI: byte by byte those of the run, where nothing is rounded."""
    scans = write_phantom_slices(tmp_path / "scans", cases=6, shape=(20, 24, 20), ending=ending)  # type: ignore[arg-type]
    dataset = read_dataset(scans)
    plan = make_plan(dataset, measure(dataset), patch=(16, 16, 1), levels=3)
    ids = [case.id for case in dataset.cases]
    study = Study(dataset, plan, Split(tuple(ids[:3]), (ids[3],), tuple(ids[4:])), 0)
    made = small_experiment(study, "supervised", steps=30)
    run = trained(made, runs=tmp_path / "runs", machine=CPU, cache=tmp_path / "cache")
    how = {"max_dice_drop": 100, "calibration_cases": 2, "even_if_slower": to == "openvino-int8"}
    exported = export(run, to, out=tmp_path / "student", **how)
    assert all(parity.within(1e-3) for parity in exported.parity)
    summary = predict(exported.path, scans / "images", tmp_path / "by-artefact", threads=1)
    predict(run.folder, scans / "images", tmp_path / "by-run")
    assert [path.name for path in summary.written.values()] == [f"{id}{ending}" for id in ids]
    for path in summary.written.values():
        expected = tmp_path / "by-run" / path.name
        if to == "onnx":
            assert path.read_bytes() == expected.read_bytes()
        found, scan = read_scan(path), read_scan(scans / "images" / path.name)
        assert (found.array.shape, found.array.dtype) == (scan.array.shape, np.uint8)
        np.testing.assert_array_equal(found.geometry.affine, scan.geometry.affine)
        assert (found.array == read_scan(expected).array).mean() > 0.9


@pytest.fixture(scope="module")
def views(folder: Path) -> list[Run]:
    study = small_study(folder / "views" / "scans")
    made = [of_seed(small_experiment(study, "supervised", steps=12), seed) for seed in range(3)]
    return [
        trained(one, runs=folder / "views" / "runs", machine=CPU, cache=folder / "views" / "cache")
        for one in made
    ]


def same_label_maps(model: str, of: Path, scans: Path, out: Path, *options: str) -> None:
    """Predicts by `model`, in a process without torch, what the run `of` gives."""
    program = out.with_suffix(".py")
    program.write_text(WITHOUT_TRAINING.replace("{names!r}", repr(TRAINING)))
    words = [sys.executable, str(program), "predict", model, str(scans), str(out), *options]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    predict(of, scans, out.with_name(f"{out.name}-by-run"))
    found, expected = label_maps(out), label_maps(out.with_name(f"{out.name}-by-run"))
    assert len(found) == len(expected) == 6
    assert all((found[name] != labels).mean() < 1e-3 for name, labels in expected.items())
    assert any(labels.any() for labels in expected.values())


@pytest.mark.parametrize(("how", "to", "out"), [("vote", "onnx", "whole.zip"), ("mean", "openvino", "whole")])
def test_views_are_one_artefact(how: str, to: str, out: str, views: list[Run], tmp_path: Path) -> None:
    whole = fused([run.folder for run in views], how)
    made = export(whole, to, out=tmp_path / out)
    assert all(parity.within(1e-3) for parity in made.parity)
    found = open_artefact(made.path)
    assert found.about.fusion == {"how": how, "threshold": 0.5}
    assert len({view.network for view in found.views}) == 3
    assert [found.plan_of(view) for view in found.views] == [load_plan(run.plan) for run in views]
    assert found.about.cost["run_bytes"] == sum(run.best.stat().st_size for run in views)
    if made.path.is_dir():
        card = (made.path / "README.md").read_text()
        assert all(f"weights `best` of `{run.name}`" in card for run in views)
    scans = views[0].folder.parents[2] / "scans" / "imagesTr"
    same_label_maps(str(made.path), whole.folder, scans, tmp_path / "out")
    (measured,) = cost(made.path, scans=next(scans.glob("*.nii.gz")), threads=1).values()
    of_one = parameters(load_predictor(views[0].folder, device="cpu").network)
    assert measured["parameters"] == pytest.approx(3 * of_one, rel=0.02)
    with pytest.raises(UserError, match="is of several views; name it alone"):
        predict([made.path, tmp_path / "other.zip"], scans, tmp_path / "none")
    for other in ("torch", "openvino-int8"):
        with pytest.raises(UserError, match=rf"for onnx or openvino alone; export each of .*{views[2].name}"):
            export(whole, other)


def test_artefacts_of_views_answer_as_one(views: list[Run], tmp_path: Path) -> None:
    artefacts = [export(run, out=tmp_path / f"view_{n}.zip").path for n, run in enumerate(views)]
    whole, scans = fused([run.folder for run in views]), views[0].folder.parents[2] / "scans" / "imagesTr"
    named = ",".join(map(str, artefacts))
    same_label_maps(named, whole.folder, scans, tmp_path / "out", "--fuse", "vote")
    for together, message in (
        (artefacts[:1] * 2, "cannot be fused; name two different artefacts or more"),
        ([artefacts[0], views[1].folder], "is an artefact: one model, with its own modalities"),
    ):
        with pytest.raises(UserError, match=message):
            predict(together, scans, tmp_path / "none")
    with pytest.raises(UserError, match=r"view_0.zip tells 5 structures apart; organs are fused from models"):
        predict(artefacts, scans, tmp_path / "none", fuse="organs")
