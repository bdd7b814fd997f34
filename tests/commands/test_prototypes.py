"""`train prototype_distillation` and `prototypes`: the whole line, by function and by words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from distilseg import commands
from distilseg.cli import main
from distilseg.data.planning.plan import save_plan
from distilseg.data.planning.splits import save_split
from distilseg.data.prototypes import load_prototypes
from distilseg.errors import UserError
from distilseg.runs import Run, find_runs, read_rows
from distilseg.training.experiment import Study
from distilseg.training.machine import Machine
from tests.costs import unmeasured

from ..training.small import NETWORK, other_volumes, small_study

CPU = Machine(device="cpu", precision="32-true")
TINY: dict[str, Any] = {"network": "dynunet", "network_options": NETWORK, "teacher_network_options": NETWORK}
RECIPES = [
    "supervised",
    "prototype_distillation_student",
    "prototype_distillation_control",
    "prototype_distillation",
]


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distilseg.judge.measure_costs", unmeasured)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("line")


@pytest.fixture(scope="module")
def study(folder: Path) -> Study:
    study = small_study(folder / "slices")
    save_plan(folder / "plan.json", study.plan)
    save_split(folder / "split.json", study.split)
    return study


@pytest.fixture(scope="module")
def volumes(folder: Path, study: Study) -> dict[str, str]:
    return other_volumes(folder, study)


def train(folder: Path, volumes: Mapping[str, str], **more: Any) -> list[Run]:
    return commands.train(
        "prototype_distillation",
        folder / "slices",
        options={**TINY, **volumes},
        runs=folder / "runs",
        cache=folder / "cache",
        plan=folder / "plan.json",
        split=folder / "split.json",
        steps=4,
        validations=1,
        machine=CPU,
        **more,
    )


def recipe_of(run: Run) -> str:
    return str(run.read(run.experiment)["recipe"])


@pytest.fixture(scope="module")
def teacher(folder: Path, volumes: dict[str, str]) -> Run:
    """The volumes' network, which all tests share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("distilseg.judge.measure_costs", unmeasured)
        train(folder, volumes)
    (run,) = (run for run in find_runs(folder / "runs") if recipe_of(run) == "supervised")
    return run


def test_all_are_judged_and_students_are_compared(
    folder: Path, volumes: dict[str, str], teacher: Run
) -> None:
    """The teacher answers for volumes of its own dataset, so it is no contender."""
    runs = train(folder, volumes)
    assert [recipe_of(run) for run in runs] == RECIPES[1:]
    assert {row["case"] for row in read_rows(teacher.metrics)} == {"phantom_003"}
    for run in runs:
        assert {row["case"] for row in read_rows(run.metrics)} == {"phantom_004", "phantom_005"}
    compared = commands.compare(runs)
    control, distilled = "prototype_distillation_control", "prototype_distillation"
    by_recipe = {contender.recipe: contender.name for contender in compared.contenders}
    assert compared.controls[by_recipe[distilled]] == by_recipe[control]
    assert compared.controls[by_recipe[control]] is None
    assert compared.controls[by_recipe["prototype_distillation_student"]] is None  # a row, and no test
    assert {name for name, _, _ in compared.differences} == {by_recipe[distilled]}
    told = [warning for warning in compared.warnings if "student" in warning]
    assert all("structures of HD95" in warning for warning in told)  # so short a training finds little


def test_a_teacher_with_cases_of_the_same_names_is_not_compared(
    folder: Path, volumes: dict[str, str], study: Study, tmp_path: Path
) -> None:
    """Its test cases are called as the students' are; they are other scans."""
    same = tmp_path / "split.json"
    ids = {"train": ["phantom_000"], "validation": ["phantom_001"], "test": ["phantom_002"]}
    same.write_text(json.dumps(ids))
    runs = commands.train(
        "prototype_distillation",
        folder / "slices",
        options={**TINY, **volumes, "split_3d": str(same)},
        runs=tmp_path / "runs",
        cache=folder / "cache",
        plan=folder / "plan.json",
        split=same,
        steps=1,
        validations=1,
        machine=CPU,
    )
    assert [recipe_of(run) for run in runs] == RECIPES[1:]


def test_without_its_control(folder: Path, volumes: dict[str, str], teacher: Run) -> None:
    assert [recipe_of(run) for run in train(folder, volumes, control=False)] == RECIPES[-1:]


def test_every_number_of_subjects_with_one_teacher(
    folder: Path, volumes: dict[str, str], teacher: Run
) -> None:
    runs = train(folder, volumes, subjects=[1, "all"])
    assert [recipe_of(run) for run in runs] == RECIPES[1:] * 2
    assert [r for r in find_runs(folder / "runs") if recipe_of(r) == "supervised"] == [teacher]
    few, most = runs[2], runs[5]
    assert few.read(few.experiment)["continues"] == runs[0].name
    assert most.read(most.experiment)["continues"] == runs[3].name


def test_a_file_to_give_away(folder: Path, teacher: Run, tmp_path: Path) -> None:
    fitted = set((teacher.folder / "prototypes").iterdir())
    path, file = commands.prototypes(
        teacher.folder, out=tmp_path / "given.json", cache=folder / "cache", device="cpu"
    )
    assert path == tmp_path / "given.json"
    assert load_prototypes(path) == file
    own, _ = commands.prototypes(teacher.folder, cache=folder / "cache", device="cpu")
    assert own.parent == teacher.folder / "prototypes"
    assert own.read_bytes() == path.read_bytes()
    assert set(own.parent.iterdir()) == fitted  # the recipe has fitted it
    assert str(folder) not in path.read_text()
    _, middle = commands.prototypes(
        teacher.folder,
        organs=["liver"],
        extent=(0.25, 0.75),
        reduce="pixel_mean",
        softmax=True,
        cache=folder / "cache",
        device="cpu",
    )
    assert middle.slices["background"] < file.slices["background"]
    assert (middle.reduce, middle.softmax) == ("pixel_mean", True)
    assert all(sum(row) == pytest.approx(1) for row in middle.prototypes.values() if row)


def test_scores(folder: Path, teacher: Run, tmp_path: Path) -> None:
    scores = tmp_path / "scores.json"
    ids = teacher.read(teacher.split)["train"]
    scores.write_text(json.dumps({id: list(range(20)) for id in ids}))
    options: dict[str, Any] = {"cache": folder / "cache", "device": "cpu"}
    _, file = commands.prototypes(teacher.folder, scores=scores, score_range=(5, 6), **options)
    assert file.slices["background"] == 2 * len(ids)
    with pytest.raises(UserError, match="scores and the range of scores belong together"):
        commands.prototypes(teacher.folder, scores=scores, **options)
    scores.write_text(json.dumps({id: [1.0] for id in ids}))
    with pytest.raises(UserError, match=r"^case phantom_000: 20 finite scores were expected"):
        commands.prototypes(teacher.folder, scores=scores, score_range=(5, 6), **options)


def test_by_words(folder: Path, teacher: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given, cache = tmp_path / "given.json", ["--cache", str(folder / "cache"), "--device", "cpu"]
    words = ["prototypes", str(teacher.folder), "--out", str(given), "--organs", "liver,kidney"]
    assert main([*words, "--extent", "0,0.9", *cache]) == 0
    told = capsys.readouterr().out
    assert f"prototypes: {given}" in " ".join(told.split())
    assert all(name in told for name in ("background", "liver", "slices", "mean logits"))

    words = ["train", "prototype_distillation", "--data-2d", str(folder / "slices")]
    words += ["--prototypes", str(given), "--plan", str(folder / "plan.json")]
    words += ["--split", str(folder / "split.json"), "--network", "dynunet", "--network-option"]
    words += ["filters=[4,8,8]", "--steps", "2", "--validations", "1", "--precision", "32-true"]
    words += ["--runs", str(tmp_path / "runs"), *cache]
    assert main(words) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "report:" in told
    assert sorted(recipe_of(run) for run in find_runs(tmp_path / "runs")) == sorted(RECIPES[1:])
    assert main([word for word in words if word not in ("--prototypes", str(given))]) == 2
    assert "prototypes are asked of nobody" in capsys.readouterr().err
    assert main(["prototypes", str(teacher.folder), "--extent", "0.5", *cache]) == 2
    assert "--extent 0.5 are not two numbers" in capsys.readouterr().err
    assert main(["prototypes", str(teacher.folder), "--organs", "lever", *cache]) == 2
    assert "did you mean 'liver'" in capsys.readouterr().err


def test_one_slice_of_each_subject(folder: Path, teacher: Run, tmp_path: Path) -> None:
    """Screening: the students' dataset is single slices drawn from volumes."""
    (prototypes,) = (path for path in (teacher.folder / "prototypes").iterdir() if _of_all(path))
    runs = commands.train(
        "prototype_distillation",
        folder / "slices",
        options={"prototypes": str(prototypes), "network": "deeplab_v3"},
        one_slice_per_subject="axial",
        split=folder / "split.json",
        runs=tmp_path / "runs",
        cache=folder / "cache",
        steps=2,
        validations=1,
        machine=CPU,
    )
    for run in runs:
        assert run.read(run.experiment)["dataset"]["one_slice_per_subject"]["view"] == "axial"
        assert {row["case"] for row in read_rows(run.metrics)} == {"phantom_004", "phantom_005"}


def _of_all(path: Path) -> bool:
    """Fitted as the recipe does it."""
    file = load_prototypes(path)
    return file.slice_range["to"] == 1 and not file.softmax if "to" in file.slice_range else False


def test_help_of_both(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "prototype_distillation", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for option in ("--data-3d", "--data-2d", "--prototypes", "--class-map"):
        assert option in told
    assert main(["prototypes", "--help"]) == 0
    assert "--score-range" in capsys.readouterr().out
