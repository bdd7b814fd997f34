"""`distilseg train --subjects 1,2,all`: nested, one test set, found again, bad numbers refused at once."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from distilseg import commands
from distilseg.cli import main
from distilseg.data.phantom.volumes import write_phantom
from distilseg.errors import UserError
from distilseg.runs import Run, read_rows
from tests.costs import unmeasured

from ..training.small import one_step


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans") / "few"
    return write_phantom(folder, cases=6, shape=(16, 16, 16), spacing_mm=(1, 1, 1), modalities=("MR",))


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distilseg.judge.measure_costs", unmeasured)


def train(data: Path, folder: Path, **options: Any) -> list[Run]:
    return one_step("dual_self_distillation", data, folder, **options)


def trained_on(run: Run) -> set[str]:
    return set(run.read(run.split)["train"])


def test_every_number_nested_with_its_control_and_found_again(data: Path, tmp_path: Path) -> None:
    runs = train(data, tmp_path, subjects=[1, 2, "all"])
    assert len({run.name for run in runs}) == 6
    recipes = [run.read(run.experiment)["recipe"] for run in runs]
    assert recipes == ["supervised", "dual_self_distillation"] * 3
    sizes = [run.read(run.experiment)["subjects"] for run in runs[1::2]]
    assert sizes == [
        {"training": 1, "drawn": True},
        {"training": 2, "drawn": True},
        {"training": 4, "drawn": False},
    ]
    few, more, most = (trained_on(run) for run in runs[1::2])
    assert few < more < most
    for control, student in zip(runs[::2], runs[1::2], strict=True):
        assert student.read(student.experiment)["control"] == control.name
        assert trained_on(control) == trained_on(student)
    assert len({frozenset(row["case"] for row in read_rows(run.metrics)) for run in runs}) == 1

    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.safetensors")}
    assert [run.name for run in train(data, tmp_path, subjects=(2, None))] == [run.name for run in runs[2:]]
    assert [run.name for run in train(data, tmp_path, subjects=1)] == [run.name for run in runs[:2]]
    assert [run.name for run in train(data, tmp_path)] == [run.name for run in runs[4:]]
    assert made == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.safetensors")}

    comparison = commands.compare(tmp_path / "runs")
    assert comparison.controls == {
        f"{name}, {n}": control and f"{control}, {n}"
        for n in ("1 subject", "2 subjects", "4 subjects")
        for name, control in (("supervised", None), ("dual_self_distillation", "supervised"))
    }


def test_with_folds_each_number_is_cross_validated(data: Path, tmp_path: Path) -> None:
    """Four folds of six patients are of unequal size, and yet one contender."""
    runs = train(data, tmp_path, subjects=[1, "all"], folds=4, control=False)
    assert [len(trained_on(run)) for run in runs[:4]] == [1] * 4
    assert {len(trained_on(run)) for run in runs[4:]} == {3, 4}
    for few, most in zip(runs[:4], runs[4:], strict=True):
        assert trained_on(few) < trained_on(most)
        assert few.read(few.split)["test"] == most.read(most.split)["test"]
    comparison = commands.compare(runs)
    assert [len(contender.runs) for contender in comparison.contenders] == [4, 4]
    assert all(len(contender.cases) == 6 for contender in comparison.contenders)


@pytest.mark.parametrize(
    ("subjects", "message"),
    [
        ([2, 0], r"^0 training subjects were asked for, the split has 4; give a number from 1 to 4$"),
        ([-1], r"^-1 training subjects"),
        ([1, 5], r"^5 training subjects were asked for, the split has 4"),
        ([1, 2, 1], r"^1 and 1 training subjects are the same ones; give each number once$"),
        ([4, "all"], r"^4 and all training subjects are the same ones"),
        ([None, "all"], r"^all and all"),
        (
            ["few", 1],
            r"^'few' is no number of training subjects; give whole numbers or all, such as 20,40,all",
        ),
        ([2.0], r"^2\.0 is no number"),
        ([True], r"^True is no number"),
        ([], r"^no number of training subjects is given"),
    ],
)
def test_bad_numbers_are_refused_before_anything_is_trained(
    data: Path, tmp_path: Path, subjects: list[Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        train(data, tmp_path, subjects=subjects)
    assert not (tmp_path / "runs").exists()


def test_as_one_command(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(data, "SCANS")
    assert main(["plan", "SCANS", "--patch", "8,8,8", "--levels", "3", "--out", "plan.json"]) == 0
    words = "train dual_self_distillation --data SCANS --plan plan.json --steps 1 --validations 1"
    words += " --network-option filters=[4,8,8] --precision 32-true --subjects"
    capsys.readouterr()
    assert main([*words.split(), "1,all"]) == 0
    told = capsys.readouterr().out
    assert "dual_self_distillation, 1 subject" in told
    assert "the trained model of 1 subject: " in told
    assert "the trained model of all subjects: " in told
    (page,) = Path("runs/Phantom").glob("*.html")
    assert page.name == "dual_self_distillation-1-all-subjects.html"
    assert "Dice by number of training subjects" in page.read_text()
    assert "--subjects 1 " in page.read_text()
    assert main([*words.split(), "1,many"]) == 2
    assert "'many' is no number of training subjects" in capsys.readouterr().err
