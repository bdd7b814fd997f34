"""Runs and artefacts of ours, as teachers of networks that are prepared otherwise."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from distilseg.commands import export
from distilseg.data.scans.reading import read_scan
from distilseg.errors import UserError
from distilseg.predict import load_predictor
from distilseg.recipes import find
from distilseg.runs import Run
from distilseg.teachers import run as of_ours
from distilseg.teachers.teacher import Teacher, TeacherOptions
from distilseg.training.budget import Budget
from distilseg.training.machine import Machine
from distilseg.training.trained import trained

from ..training.small import NETWORK, small_experiment, small_study

OPTIONS = TeacherOptions(device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ours")


@pytest.fixture(scope="module")
def runs(folder: Path) -> dict[str, Run]:
    study = small_study(folder / "scans")
    changed = {"spacing_mm": (1.3, 1.0, 1.6), "orientation": "LPS"}
    study = replace(study, plan=study.plan.model_copy(update=changed))
    values = study.plan.label_values[1:]
    regions = {"outer": values[:2], "inner": values[1:2]}
    of_regions = replace(study, plan=study.plan.model_copy(update={"regions": regions}))
    made = find("kd_net_teacher")(of_regions, network_options=NETWORK, activation="sigmoid")
    experiments = {
        "classes": small_experiment(study, "supervised"),
        "regions": made.with_settings(Budget(steps=2), validations=1),
    }
    machine = Machine(device="cpu", precision="32-true")
    return {
        kind: trained(one, runs=folder / "runs", machine=machine, cache=folder / "cache")
        for kind, one in experiments.items()
    }


@pytest.mark.parametrize("kind", ["classes", "regions"])
def test_a_run_answers_as_it_predicts(kind: str, runs: dict[str, Run], folder: Path) -> None:
    path = runs[kind].folder
    assert of_ours.recognises(path)
    teacher = of_ours.open_as_teacher(path, OPTIONS)
    assert isinstance(teacher, Teacher)
    scan = read_scan(next((folder / "scans" / "imagesTr").iterdir()))
    scans = {teacher.modalities[0]: scan}
    answer = teacher.answer(scans, case="a")
    expected = load_predictor(path, device="cpu").segment(scans, case="a")
    np.testing.assert_array_equal(teacher.labels(answer, scans), expected)
    p = teacher.probabilities(answer, scans)
    assert p.shape == (len(teacher.heads), *scan.array.shape)
    if kind == "classes":
        assert teacher.heads[0].name == "background"
        values = np.array([head.values[0] for head in teacher.heads])
        assert (values[p.argmax(0)] != expected).mean() < 1e-3
    else:
        assert [head.name for head in teacher.heads] == ["outer", "inner"]
        assert ((p > 0.5).any(0) != (expected > 0)).mean() < 1e-3
    told = json.loads(json.dumps(teacher.summary()))
    assert told["kind"] == "run of distilseg"
    assert told["spacing_mm"] == [1.3, 1.0, 1.6]
    assert set(told["files"]) == {"best.safetensors", "plan.json"}


@pytest.mark.parametrize(("to", "name"), [("onnx", "a"), ("openvino", "b.zip"), ("torch", "c.zip")])
def test_an_artefact_answers_as_its_run(
    to: str, name: str, runs: dict[str, Run], folder: Path, tmp_path: Path
) -> None:
    path = export(runs["classes"], to, out=tmp_path / name).path
    assert of_ours.recognises(path)
    teacher = of_ours.open_as_teacher(path, OPTIONS)
    scans = {"any name": read_scan(next((folder / "scans" / "imagesTr").iterdir()))}
    answer = teacher.answer(scans, case="a")
    expected = of_ours.open_as_teacher(runs["classes"].folder, OPTIONS)
    by_run = expected.answer(scans, case="a")
    np.testing.assert_allclose(answer.logits, by_run.logits, atol=1e-3)
    assert answer.placement == by_run.placement
    assert (teacher.labels(answer, scans) != expected.labels(by_run, scans)).mean() < 1e-3
    assert teacher.digest != expected.digest
    assert teacher.provenance.kind == f"artefact of distilseg, {to}"


def test_others_are_not_ours(runs: dict[str, Run], tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"no zip")
    assert not of_ours.recognises(tmp_path)
    assert not of_ours.recognises(tmp_path / "a.zip")
    with pytest.raises(UserError, match=r"runs and artefacts of ours have no option 'step'; leave it out"):
        of_ours.open_as_teacher(runs["classes"].folder, TeacherOptions(step=0.5))
