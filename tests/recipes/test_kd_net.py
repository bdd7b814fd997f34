"""KD-Net's recipes: who sees what, what is shared, and what is refused rather than silently learned."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from distilseg import commands
from distilseg.errors import UserError
from distilseg.predict import load_predictor
from distilseg.recipes import find
from distilseg.runs import Run, read_rows
from distilseg.training.budget import Budget
from distilseg.training.experiment import Experiment, Finished, Study
from distilseg.training.machine import Machine
from distilseg.training.trained import trained

from ..training.small import small_study

TINY = {"filters": [4, 8, 8]}
MODALITIES = ("CT", "PET", "MR")
CPU = Machine(device="cpu", precision="32-true")
ABLATIONS = ("kd_net", "kd_net_gt_kl", "kd_net_gt_kd")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return small_study(tmp_path_factory.mktemp("scans"), cases=5, modalities=MODALITIES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("made")


def make(experiment: Experiment, folder: Path) -> Run:
    return trained(experiment, runs=folder / "runs", machine=CPU, cache=folder / "cache")


def short(study: Study, recipe: str = "kd_net", **options: Any) -> Experiment:
    experiment = find(recipe)(study, network_options=TINY, **options)
    return experiment.with_settings(Budget(steps=3), validations=1)


def test_who_sees_what(study: Study) -> None:
    experiment = short(study, student_sees=("PET", "CT"))
    assert experiment.sees == ("CT", "PET")  # the order of the study, whatever order was named
    assert experiment.networks["student"].in_channels == 2
    teacher, control = experiment.teachers["teacher"], experiment.control
    assert isinstance(teacher, Experiment)
    assert teacher.seen == MODALITIES
    assert teacher.networks["student"].in_channels == 3
    assert control is not None
    assert control.sees == ("CT", "PET")
    assert short(study).sees == ("CT",)
    with pytest.raises(UserError, match="unknown modality of the student 'MRI'; did you mean 'MR'"):
        short(study, student_sees=("MRI",))


def test_ablations_share_teacher_and_control(study: Study) -> None:
    made = [short(study, name, student_sees=("CT",)) for name in ABLATIONS]
    assert len({e.run_name() for e in made}) == 3
    assert len({e.teachers["teacher"].run_name() for e in made}) == 1  # type: ignore[union-attr]
    assert len({e.control.run_name() for e in made if e.control}) == 1
    assert made[0].teachers["teacher"].run_name() == short(study, "kd_net_teacher").run_name()  # type: ignore[union-attr]


@pytest.mark.parametrize("name", [*ABLATIONS, "kd_net_control", "kd_net_teacher"])
def test_each_ablation_without_skips(study: Study, name: str) -> None:
    experiment = short(study, f"{name}_no_skips")
    assert experiment.networks["student"].options["skips"] == 0
    for teacher in experiment.teachers.values():
        assert isinstance(teacher, Experiment)
        assert teacher.networks["student"].options["skips"] == 0
    if experiment.control:
        assert experiment.control.networks["student"].options["skips"] == 0


def test_weights_of_the_ablations(study: Study) -> None:
    shapes = {role: {"bottleneck": (1, 8, 4, 4, 4)} for role in ("student", "teacher")}
    expected = {
        "kd_net": (0.25, 0.75, 10.0),
        "kd_net_gt_kl": (1.0, 0.0, 10.0),
        "kd_net_gt_kd": (0.25, 0.75, 0.0),
        "kd_net_control": (1.0, 0.0, 0.0),
        "kd_net_teacher": (1.0, 0.0, 0.0),
    }
    for name, weights in expected.items():
        method = short(study, name).method(shapes)
        assert tuple(method.weights[k] for k in ("seg", "soft_labels", "latent")) == weights, name


def test_a_student_of_one_modality_is_judged_and_predicts_with_it_alone(
    study: Study, folder: Path, tmp_path: Path
) -> None:
    options = {"student_sees": ("PET",), "network_options": TINY}
    teacher, control, run = commands.train(
        "kd_net",
        study.dataset,
        options=options,
        plan=study.plan,
        split=study.split,
        runs=folder / "runs",
        cache=folder / "cache",
        steps=3,
        validations=1,
        machine=CPU,
    )
    about = run.read(run.experiment)
    assert about["modalities"] == ["PET"]
    assert about["modalities_of_study"] == list(MODALITIES)
    assert about["control"] == control.name
    assert about["teachers"] == {"teacher": teacher.name}
    assert run.read(run.plan)["modalities"] == ["PET"]
    assert {"seg", "soft_labels", "latent"} <= set(read_rows(run.losses)[0])
    assert read_rows(run.metrics)
    with safe_open(run.best, framework="pt") as file:
        extra = json.loads(file.metadata()["distilseg"])["extra"]
    assert extra["modalities"] == ["PET"]

    summary = commands.predict(run.folder, study.dataset.folder, tmp_path)  # 4D files: its channel is found
    assert not summary.refused
    assert len(summary.written) == 5


def test_the_teacher_is_found_again_and_untouched(study: Study, folder: Path) -> None:
    run = make(short(study), folder)
    teacher = Run(run.folder.parent / run.read(run.experiment)["teachers"]["teacher"])
    before = teacher.best.read_bytes()
    again = make(short(study, alpha=5.0), folder)
    assert again.read(again.experiment)["teachers"]["teacher"] == teacher.name
    assert teacher.best.read_bytes() == before


def test_a_finished_run_as_teacher(study: Study, folder: Path) -> None:
    teacher = make(short(study, "kd_net_teacher"), folder)
    experiment = short(study, teacher=str(teacher.folder), soft_share=0.5)
    assert isinstance(experiment.teachers["teacher"], Finished)
    run = make(experiment, folder)
    assert run.read(run.experiment)["teachers"] == {"teacher": teacher.name}


def test_a_teacher_of_other_modalities_is_refused(study: Study, folder: Path) -> None:
    student = make(short(study, "kd_net_control", student_sees=("CT",)), folder)
    with pytest.raises(UserError, match="was trained on the modalities CT, it would be given CT, PET, MR"):
        make(short(study, teacher=str(student.folder)), folder)
    swapped = replace(study, plan=study.plan.seeing(("PET", "CT", "MR")))
    teacher = make(short(study, "kd_net_teacher"), folder)
    with pytest.raises(UserError, match="trained on the modalities CT, PET, MR, it would be given PET, CT"):
        make(short(swapped, teacher=str(teacher.folder)), folder)


def test_a_teacher_prepared_otherwise_is_refused(study: Study, folder: Path) -> None:
    teacher = make(short(study, "kd_net_teacher"), folder)
    other = replace(study, plan=study.plan.model_copy(update={"spacing_mm": (1.5, 1.5, 1.5)}))
    with pytest.raises(UserError, match=r"prepared with spacing_mm \[1.0, 1.0, 1.0\], here it is \[1.5"):
        make(short(other, teacher=str(teacher.folder)), folder)


def test_a_swapped_channel_is_refused_at_prediction(study: Study, folder: Path) -> None:
    run = make(short(study, "kd_net_teacher"), folder)
    plan = run.read(run.plan)
    original = run.plan.read_text()
    plan["modalities"] = ["PET", "CT", "MR"]
    try:
        run.plan.write_text(json.dumps(plan))
        with pytest.raises(UserError, match=r"learned from CT, PET, MR, .* gives it PET, CT, MR"):
            load_predictor(run.folder)
    finally:
        run.plan.write_text(original)


@pytest.mark.parametrize(
    ("network", "options", "patch"),
    [
        ("dynunet", {"filters": [4, 8, 8]}, (16, 16, 16)),
        ("unetr", {"feature_size": 4, "hidden": 24, "heads": 4, "mlp": 48}, (32, 16, 16)),
    ],
)
def test_other_networks_through_their_features(
    study: Study, folder: Path, network: str, options: dict[str, Any], patch: tuple[int, ...]
) -> None:
    study = replace(study, plan=study.plan.model_copy(update={"patch": patch}))
    experiment = find("kd_net")(study, network=network, network_options=options)
    run = make(experiment.with_settings(Budget(steps=2), validations=1), folder)
    assert all(np.isfinite(float(row["latent"])) for row in read_rows(run.losses))


def test_a_wider_teacher_is_projected_to_and_its_head_is_not_shipped(study: Study, folder: Path) -> None:
    experiment = find("kd_net")(
        study,
        network_options=TINY,
        teacher_network="dynunet",
        teacher_network_options={"filters": [8, 8, 16]},
    ).with_settings(Budget(steps=2), validations=1)
    run = make(experiment, folder)
    saved = torch.load(run.state, weights_only=True)["objective"]
    assert any(name.startswith("method.projection") for name in saved)
    with safe_open(run.best, framework="pt") as file:
        assert not any("projection" in name for name in file.keys())  # noqa: SIM118


def test_skips_of_a_network_that_has_no_such_option(study: Study) -> None:
    with pytest.raises(UserError, match="dynunet has a fixed number of skip connections"):
        find("kd_net")(study, network="dynunet", skips=0)


def test_sigmoid_regions_from_training_to_label_maps(study: Study, folder: Path, tmp_path: Path) -> None:
    values = [value for value in study.plan.label_values if value]
    regions = {"outer": (values[0], values[1]), "inner": (values[1],)}
    plan = study.plan.model_copy(update={"regions": regions})
    teacher, control, run = commands.train(
        "kd_net",
        study.dataset,
        options={"student_sees": ("CT",), "network_options": TINY, "activation": "sigmoid"},
        plan=plan,
        split=study.split,
        runs=folder / "runs",
        cache=folder / "cache",
        steps=3,
        validations=1,
        machine=CPU,
    )
    about = run.read(run.experiment)
    assert about["answers"] == "regions"
    assert about["networks"]["student"]["classes"] == len(regions)
    for one in (teacher, control, run):
        assert {row["label"] for row in read_rows(one.metrics)} == set(regions)
    predictor = load_predictor(run.folder)
    logits = torch.full((2, 16, 16, 16), -1.0)
    logits[0, 4:12], logits[1, 6:8] = 1.0, 1.0
    grid = replace(
        predictor.prepare(_scans(study), case="x").grid, box=((0, 16),) * 3, working_shape=(16, 16, 16)
    )
    labels = predictor.labels(logits, replace(grid, original_shape=(16, 16, 16)))
    planes = {int(v): int((labels == v).sum()) // 256 for v in np.unique(labels) if v}
    assert planes == {values[0]: 8 - 2, values[1]: 2}


def test_regions_that_cannot_be_painted_are_refused(study: Study) -> None:
    from distilseg.data.planning.plan import check_plan

    a, b = [value for value in study.plan.label_values if value][:2]
    for regions, message in (
        ({"whole": (a, b)}, "alone holds the labels"),
        ({"one": (a,), "again": (a,)}, "'one' alone holds no label"),
        ({"air": (0,)}, "unites the label 0"),
    ):
        with pytest.raises(UserError, match=message):
            check_plan(study.plan.model_copy(update={"regions": regions}))
    with pytest.raises(UserError, match="the plan names no regions"):
        short(study, activation="sigmoid")


def _scans(study: Study) -> dict[str, Any]:
    from distilseg.data.scans.reading import read_scans

    return read_scans({"CT": study.dataset.cases[0].images["CT"]})
