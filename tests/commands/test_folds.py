"""`distilseg train --folds`: every fold by one command, found again fold by fold, teachers judged too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from distilseg import commands
from distilseg.data.phantom.volumes import write_phantom
from distilseg.errors import UserError
from distilseg.runs import Run, read_rows
from tests.costs import unmeasured

from ..training.small import one_step


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans") / "three"
    return write_phantom(folder, cases=6, shape=(20, 20, 20), spacing_mm=(1, 1, 1), modalities=("CT", "PET"))


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distilseg.judge.measure_costs", unmeasured)


def train(data: Path, folder: Path, recipe: str = "kd_net", **options: Any) -> list[Run]:
    return one_step(recipe, data, folder, **options)


def test_every_fold_and_every_patient_once(data: Path, tmp_path: Path) -> None:
    runs = train(data, tmp_path, folds=3)
    recipes = [run.read(run.experiment)["recipe"] for run in runs]
    assert recipes == ["kd_net_teacher", "kd_net_control", "kd_net"] * 3
    tested = [frozenset(row["case"] for row in read_rows(run.metrics)) for run in runs[2::3]]
    assert sorted(len(cases) for cases in tested) == [2, 2, 2]
    assert len(frozenset().union(*tested)) == 6
    for teacher, control, student in zip(runs[0::3], runs[1::3], runs[2::3], strict=True):
        about = student.read(student.experiment)
        assert about["control"] == control.name
        assert about["teachers"] == {"teacher": teacher.name}
        assert student.read(student.split) == teacher.read(teacher.split)

    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.safetensors")}
    one = train(data, tmp_path, folds=3, fold=1)
    assert [run.name for run in one] == [run.name for run in runs[3:6]]
    assert [run.name for run in train(data, tmp_path, folds=3)] == [run.name for run in runs]
    assert made == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.safetensors")}

    comparison = commands.compare(runs)
    assert {c.name for c in comparison.contenders} == {"kd_net_teacher", "kd_net_control", "kd_net"}
    assert len(comparison.cases) == 6


def test_one_fold_is_none(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"6 patient.s. cannot be dealt into 1 folds; give a number of folds"):
        train(data, tmp_path, folds=1)


def test_without_a_control_the_teacher_is_made_and_not_judged(data: Path, tmp_path: Path) -> None:
    runs = train(data, tmp_path, control=False)
    assert len(runs) == 1
    teacher = runs[0].folder.parent / runs[0].read(runs[0].experiment)["teachers"]["teacher"]
    assert (teacher / "best.safetensors").is_file()
    assert not (teacher / "metrics.csv").exists()
