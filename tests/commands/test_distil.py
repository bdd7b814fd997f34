"""The whole of `distilseg distil`, small: a model of others, a student and its control, all judged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from distilseg import commands
from distilseg.cli import main
from distilseg.commands._distil import Distilled, record_part
from distilseg.data.phantom.volumes import write_phantom
from distilseg.errors import UserError
from distilseg.training.machine import Machine
from tests.costs import unmeasured
from tests.teachers.nnunet.small import write_model

MR = {"channel_names": {"0": "MR"}, "labels": {"background": 0, "liver": 1, "spleen": 2}}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SCANS with their labels, MORE without, a MODEL, and its PLAN and SPLIT."""
    folder = tmp_path_factory.mktemp("distil")
    for name, cases, seed in (("SCANS", 6, 0), ("MORE", 2, 1)):
        write_phantom(
            folder / name, cases=cases, shape=(16, 16, 16), modalities=("MR",), layout="nnunet", seed=seed
        )
    (folder / "more").mkdir()
    for file in (folder / "MORE" / "imagesTr").iterdir():
        shutil.copy(file, folder / "more" / f"new_{file.name}")
    model = write_model(folder / "results", dataset=MR)
    model.rename(folder / "MODEL")
    ids = [f"phantom_{n:03d}" for n in range(6)]
    split = {"train": ids[:3], "validation": ids[3:4], "test": ids[4:]}
    (folder / "split.json").write_text(json.dumps(split))
    commands.plan(folder / "SCANS", patch=(16, 16, 16), levels=3, out=folder / "plan.json")
    return folder


@pytest.fixture(autouse=True)
def _cost_is_measured_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distilseg.judge.measure_costs", unmeasured)


def distil(world: Path, teacher: str, **options: Any) -> tuple[Distilled, list[str]]:
    said: list[str] = []
    made = commands.distil(
        world / teacher,
        world / "SCANS",
        unlabelled=[world / "more"],
        options={"network": "dynunet", "network_options": {"filters": (4, 8, 8)}, **options},
        plan=world / "plan.json",
        split=world / "split.json",
        steps=1,
        validations=1,
        machine=Machine(device="cpu", precision="32-true"),
        runs=world / "runs",
        cache=world / "cache",
        say=said.append,
    )
    return made, said


def test_the_student_is_measured_against_its_control_and_the_teacher_against_nobody(world: Path) -> None:
    made, said = distil(world, "MODEL")
    assert "student: dynunet on 3 labelled and 2 unlabelled scans; 1 choose its weights, 2 judge it" in said
    assert any(line.startswith("answers: 1 of 5 are there, the others take about ") for line in said)
    assert made.control is not None
    about = made.student.read(made.student.experiment)
    assert about["control"] == made.control.name
    assert about["unlabelled_from"] == [str(world / "more")]
    assert [run.name.partition("-")[0] for run in made.runs] == ["teacher", "supervised", "distil"]
    comparison = commands.compare(made.runs)
    assert comparison.controls == {"teacher": None, "supervised": None, "distil": "supervised"}
    strange = ("not finished", "judged differently", "different cases", "planned differently")
    assert not [warning for warning in comparison.warnings if any(words in warning for words in strange)]


def test_answers_recorded_by_parts_are_learned_from(world: Path, tmp_path: Path) -> None:
    said: list[str] = []
    given: dict[str, Any] = {
        "unlabelled": [world / "more"],
        "plan": world / "plan.json",
        "split": world / "split.json",
        "cache": tmp_path / "cache",
        "say": said.append,
    }
    answers = tmp_path / "cache" / "answers"
    for part, count, there in (("1/3", 2, 2), ("3/3", 1, 3), ("1/3", 2, 3), ("2/3", 2, 5)):
        assert record_part(world / "MODEL", world / "SCANS", part, **given) == count
        assert f"part {part[0]} of 3: {count} of 5 cases" in said
        assert len(list(answers.iterdir())) == there
    cases = [path for path in answers.parent.iterdir() if path.is_dir() and path != answers]
    assert len(cases) == 5  # of the others, such as those that validate, nothing is prepared
    made = commands.distil(
        world / "MODEL",
        world / "SCANS",
        options={"network": "dynunet", "network_options": {"filters": (4, 8, 8)}},
        steps=1,
        validations=1,
        machine=Machine(device="cpu", precision="32-true"),
        runs=tmp_path / "runs",
        evaluate=False,
        control=False,
        **given,
    )
    assert made.student.finished
    assert any(line.startswith("answers: 5 of 5 are there") for line in said)
    assert len(list(answers.iterdir())) == 5


def test_a_part_of_answers_from_the_command_line(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["distil", str(world / "MODEL"), "--data", str(world / "SCANS"), "--cache", str(tmp_path)]
    words += ["--plan", str(world / "plan.json"), "--split", str(world / "split.json")]
    assert main([*words, "--part", "2/2"]) == 0
    said = capsys.readouterr().out
    assert "part 2 of 2: 1 of 3 cases\n" in said
    assert "recorded; when all parts are there: the same command without --part trains\n" in said
    assert len(list((tmp_path / "answers").iterdir())) == 1
    assert main([*words, "--part", "3/2"]) == 2


def test_a_teacher_without_answers_for_test_cases_teaches_and_is_not_judged(world: Path) -> None:
    answers = world / "answers"
    learned = [f"phantom_{n:03d}" for n in range(3)]
    new = [file.name.removesuffix("_0000.nii.gz") for file in (world / "more").iterdir()]
    answers.mkdir()
    for case in learned:
        shutil.copy(world / "SCANS" / "labelsTr" / f"{case}.nii.gz", answers)
    for case in new:
        label = world / "MORE" / "labelsTr" / f"{case.removeprefix('new_')}.nii.gz"
        shutil.copy(label, answers / f"{case}.nii.gz")
    shutil.copy(world / "SCANS" / "dataset.json", answers)
    made, said = distil(world, "answers")
    assert "  it has no answer for 2 of 2 test cases, and is not judged" in said
    assert "teacher: answers, answers in files" in said
    assert made.teachers == ()
    assert made.student.finished


@pytest.mark.parametrize("by", ["distil", "train"])
def test_answers_that_lack_a_case_are_refused_before_anything_is_trained(
    world: Path, tmp_path: Path, by: str
) -> None:
    answers, data = tmp_path / "few", world / "SCANS"
    answers.mkdir()
    for case in ("phantom_000", "phantom_002"):
        shutil.copy(data / "labelsTr" / f"{case}.nii.gz", answers)
    shutil.copy(data / "dataset.json", answers)
    given: dict[str, Any] = {
        "split": world / "split.json",
        "plan": world / "plan.json",
        "runs": tmp_path / "runs",
        "cache": tmp_path / "cache",
        "steps": 1,
    }
    ask = {
        "distil": lambda: commands.distil(answers, data, **given),
        "train": lambda: commands.train("distil", data, options={"teacher": [answers]}, **given),
    }
    with pytest.raises(UserError, match="few has no answer for case phantom_001"):
        ask[by]()
    assert not (tmp_path / "runs").exists()


def test_other_recipes_are_trained_by_their_own_command(world: Path) -> None:
    with pytest.raises(UserError, match="the recipe kd_net is not made of distil"):
        commands.distil(world / "MODEL", world / "SCANS", recipe="kd_net")


def test_a_comma_parts_models_unless_it_is_in_the_name_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    def told(teacher: Any, *rest: Any, **options: Any) -> None:
        given.append(teacher)
        raise UserError("seen", "nothing to mend")

    monkeypatch.setattr(commands, "distil", told)
    odd = tmp_path / "My model, v2"
    odd.mkdir()
    for model in (str(odd), "A,B"):
        assert main(["distil", model, "--data", "SCANS", "--steps", "1"]) == 2
    assert given == [odd, [Path("A"), Path("B")]]
