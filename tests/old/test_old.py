"""Runs, caches, plans and artefacts of an earlier version open as before (see README.md)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from distilseg import commands
from distilseg.data.formats import read_dataset
from distilseg.data.planning.decide import make_plan
from distilseg.data.planning.fingerprint import measure
from distilseg.data.planning.normalisation import Normalisation
from distilseg.data.planning.plan import load_plan
from distilseg.data.preparing import cache
from distilseg.data.preparing.preprocess import preprocess
from distilseg.data.scans.reading import read_label, read_scan, read_scans
from distilseg.report import compare_runs
from distilseg.runs import Run
from distilseg.training import trained

from .write import ASKED, CASES, CPU


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of the files, since opening may write beside them."""
    return shutil.copytree(Path(__file__).parent / "written", tmp_path / "old")


@pytest.fixture
def run(old: Path) -> Run:
    (folder,) = (old / "trained" / "Old").iterdir()
    return Run(folder)


def test_a_plan_loads(old: Path) -> None:
    plan = load_plan(old / "plan.json")
    assert plan.spacing_mm == (1.5, 1.5, 2.0)
    assert plan.patch == (16, 16, 16)
    assert plan.labels == {0: "background", 1: "ball", 2: "box"}
    assert plan.normalisation == {"MR": Normalisation(kind="zscore")}


def test_what_a_plan_decided_is_decided_the_same_today(old: Path) -> None:
    """It is part of a run's name; a plan may come to decide more."""
    dataset = read_dataset(old / "scans")
    made = make_plan(dataset, measure(dataset), patch=(16, 16, 16), levels=3)
    was = load_plan(old / "plan.json")
    decided = {name: value for name, value in was.model_dump().items() if name != "reasons"}
    assert decided.items() <= made.model_dump().items()
    assert was.reasons.items() <= made.reasons.items()


def test_a_case_of_the_cache_is_found_and_not_made_again(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (entry,) = (old / "cache").iterdir()
    id = json.loads((entry / "case.json").read_text())["case"]
    dataset, plan = read_dataset(old / "scans"), load_plan(old / "plan.json")
    monkeypatch.setattr(cache, "preprocess", _never)
    case = cache.cache_cases(dataset, [id], plan, folder=old / "cache")[id]
    assert case.folder == entry
    monkeypatch.undo()
    source = dataset.case(id)
    made = preprocess(read_scans(source.images), read_label(source), plan, case=id)
    np.testing.assert_allclose(case.image, made.image, atol=1e-6)
    np.testing.assert_array_equal(case.label, made.label)
    assert case.grid == made.grid
    assert sorted(case.foreground) == [1, 2]


def test_a_run_predicts_as_it_did(old: Path, run: Run, tmp_path: Path) -> None:
    _answers(run.folder, old, tmp_path)


@pytest.mark.parametrize("artefact", ["openvino.zip", "torch"])
def test_an_artefact_predicts_as_its_run_did(artefact: str, old: Path, tmp_path: Path) -> None:
    _answers(old / artefact, old, tmp_path)


def test_a_finished_run_is_found_again(old: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the same name: what is asked for, and the scans, are all that it depends on."""
    monkeypatch.setattr(trained, "_make", _never)
    metrics = run.metrics.read_bytes()
    (found,) = _train(old)
    assert found == run
    assert run.metrics.read_bytes() == metrics


def test_an_unfinished_run_resumes(old: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its last checkpoint, which is of its last step."""
    told: list[str] = []
    monkeypatch.setattr(trained, "say", told.append)
    last = run.last.read_bytes()
    run.status.unlink()
    run.last.unlink()
    assert _train(old) == [run]
    assert told == [f"{run.name}: resumes after step {ASKED['steps']}"]
    assert run.last.read_bytes() == last
    assert run.read(run.status)["steps"] == ASKED["steps"]


def test_a_run_is_reported(run: Run) -> None:
    comparison = compare_runs([run])
    (contender,) = comparison.contenders
    assert comparison.scores[contender.name, "ball", "dice"].mean == pytest.approx(0.7302325581395349)
    assert comparison.dataset["name"] == "Old"


def _train(old: Path) -> list[Run]:
    data, plan = old / "scans", old / "plan.json"
    return commands.train(
        data=data, plan=plan, runs=old / "trained", cache=old / "cache", machine=CPU, **ASKED
    )


def _answers(model: Path, old: Path, tmp_path: Path) -> None:
    """The label map given when the model was made: its classes are 0.009 apart or more, rounding is not."""
    out = tmp_path / "answer.nii.gz"
    commands.predict(model, old / "scans" / "imagesTr" / f"{CASES[0]}.nii.gz", out)
    found, expected = read_scan(out), read_scan(old / "answer.nii.gz")
    np.testing.assert_allclose(found.geometry.affine, expected.geometry.affine)
    assert np.bincount(expected.array.ravel()).tolist() == [3811, 238, 47]
    np.testing.assert_array_equal(found.array, expected.array)


def _never(*args: object, **keywords: object) -> None:
    raise AssertionError("made again")
