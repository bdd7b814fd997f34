"""Recipes of the papers with teachers that others trained, and with scans that nobody labelled."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilseg.data.preparing.cache import cache_cases, sample_foreground
from distilseg.data.prototypes import save_prototypes
from distilseg.data.sampling.answers import AnswerMap
from distilseg.data.sampling.maps import open_map
from distilseg.data.sampling.patches import Foreground
from distilseg.errors import UserError
from distilseg.recipes import find, others
from distilseg.runs import Run, read_rows
from distilseg.teachers.opening import open_teacher
from distilseg.training import trained as training
from distilseg.training.answers import answers_of_others
from distilseg.training.budget import Budget
from distilseg.training.cases import make_sampler, prepare
from distilseg.training.experiment import Experiment, Finished, Study
from distilseg.training.foreign import Foreign
from distilseg.training.machine import Machine
from distilseg.training.recorded import structures
from distilseg.training.studies import of_subjects
from distilseg.training.trained import trained

from ..teachers.small import Knowing, Numbers, classes
from ..training.small import NETWORK, other_volumes, small_study, unit_prototypes

CPU = Machine(device="cpu", precision="32-true")
MODALITIES = ("CT", "PET")
DEEP = {"filters": [4, 8, 8, 8, 8]}
KD_NET: dict[str, Any] = {"teacher": "MODEL", "alpha": 0.0}
TEACH_FORMER: dict[str, Any] = {
    "teachers": ("MODEL",),
    "student": "dynunet",
    "student_options": NETWORK,
    "attention": 0.0,
}
SLABS: dict[str, Any] = {"thickness": 3}
# What each recipe is told to be taught by a model of others, and a term that its answers are in.
TAUGHT: dict[str, tuple[dict[str, Any], str]] = {
    "kd_net": ({**KD_NET, "network_options": NETWORK}, "soft_labels"),
    "kd_net_gt_kd": ({"teacher": "MODEL", "network_options": NETWORK}, "soft_labels"),
    "teach_former": (TEACH_FORMER, "soft_labels"),
    "teach_former_pwd": ({k: v for k, v in TEACH_FORMER.items() if k != "attention"}, "soft_labels"),
    "teach_former_2d": (TEACH_FORMER, "soft_labels"),
    "teach_former_kd_net": ({**TEACH_FORMER, "alpha": 0.0}, "kd_net/soft_labels"),
    "teach_former_dsd": (TEACH_FORMER, "teach_former/soft_labels"),
    "thickened_kd_net": ({**KD_NET, **SLABS}, "kd_net/soft_labels"),
    "thickened_teach_former": (
        {"teachers": ("MODEL",), "attention": 0.0, **SLABS},
        "teach_former/soft_labels",
    ),
    "prototype_kd_net": ({**KD_NET, "network_options": DEEP, "prototypes": "FILE"}, "kd_net/soft_labels"),
    "prototype_teach_former": ({**TEACH_FORMER, "prototypes": "FILE"}, "teach_former/soft_labels"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("made")


@pytest.fixture(scope="module")
def study(folder: Path) -> Study:
    """Phantoms of two modalities: one labelled and two others to train, one to validate, two to judge."""
    study = small_study(folder / "scans", cases=6, modalities=MODALITIES)
    return of_subjects(study, 1, rest=True)


@pytest.fixture(scope="module")
def prototypes(folder: Path, study: Study) -> Path:
    """A file of prototypes that somebody fitted."""
    save_prototypes(folder / "prototypes.json", unit_prototypes(study.plan))
    return folder / "prototypes.json"


@pytest.fixture(autouse=True)
def knowing(study: Study, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Knowing:
    """The model that every path opens: it knows the true label maps."""
    monkeypatch.chdir(folder)
    (folder / "MODEL").touch()
    teacher = Knowing(study.dataset, modalities=MODALITIES)
    monkeypatch.setattr(others, "open_teacher", lambda path, options: teacher)
    return teacher


def made(recipe: str, study: Study, prototypes: Path | None = None, **options: Any) -> Experiment:
    told = {**TAUGHT[recipe][0], **options}
    if "prototypes" in told:
        told["prototypes"] = prototypes and str(prototypes)
    return find(recipe)(study, **told).with_settings(Budget(steps=2), validations=1)


def make(experiment: Experiment, folder: Path) -> Run:
    return trained(experiment, runs=folder / "runs", machine=CPU, cache=folder / "cache")


def check_finite(run: Run, *terms: str) -> None:
    rows = read_rows(run.losses)
    assert len(rows) == 2
    for name in terms:
        assert all(float(row[name]) > 0 for row in rows)
    assert all(math.isfinite(float(value)) for row in rows for value in row.values() if value)


@pytest.mark.parametrize("recipe", TAUGHT)
def test_models_of_others_teach_on_scans_with_labels_and_without(
    recipe: str, study: Study, folder: Path, prototypes: Path
) -> None:
    experiment = made(recipe, study, prototypes)
    assert all(isinstance(one, Foreign) for one in experiment.teachers.values())
    assert experiment.study.unlabelled == study.unlabelled
    control = experiment.control
    assert control is not None
    assert (control.study.unlabelled, control.teachers) == ((), {})
    assert control.study.split == study.split
    run = make(experiment, folder)
    check_finite(run, TAUGHT[recipe][1])
    about = run.read(run.experiment)
    assert about["unlabelled"] == list(study.unlabelled)
    assert [one["name"] for one in about["teachers_of_others"].values()] == ["knowing"]


def test_a_batch_holds_the_teachers_probabilities_of_every_class(study: Study, folder: Path) -> None:
    experiment = made("kd_net", study)
    prepared = prepare(experiment, folder / "cache")
    maps, _ = answers_of_others(experiment, _foreign(experiment), prepared, folder / "cache")
    (labelled,) = study.split.train
    answers = maps[labelled]["teacher/logits"]
    assert isinstance(answers, AnswerMap)
    log_p = answers.cut((0, 0, 0), (20, 20, 20), (20, 20, 20)).astype(np.float32)
    label = prepared[labelled].label
    assert label is not None
    assert np.array_equal(log_p.argmax(0), label)
    # The model is sure of logits 8 and 0: e^8 / (e^8 + K - 1).
    sure = math.exp(8) / (math.exp(8) + len(study.plan.classes) - 1)
    assert np.allclose(np.exp(log_p).max(0), sure, atol=1e-3)


def test_a_folder_of_answers_teaches(study: Study, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What any model wrote down; the classes are named by the dataset's description beside it."""
    monkeypatch.setattr(others, "open_teacher", open_teacher)
    answers = folder / "answers"
    shutil.copytree(study.dataset.folder / "labelsTr", answers)
    shutil.copy(study.dataset.folder / "dataset.json", answers)
    experiment = made("kd_net_gt_kd", study, teacher=str(answers))
    assert experiment.options["teacher"] == "answers"
    prepared = prepare(experiment, folder / "cache")
    _, found = answers_of_others(experiment, _foreign(experiment), prepared, folder / "cache")
    truth = cache_cases(study.dataset, study.unlabelled, study.plan, folder=folder / "cache")
    for id in study.unlabelled:
        assert {k: v.tolist() for k, v in found[id].items()} == {
            k: v.tolist() for k, v in truth[id].foreground.items()
        }
    check_finite(make(experiment, folder), "soft_labels")


def test_regions_are_answered_as_regions(study: Study, folder: Path) -> None:
    regions = {"outer": (1, 2), "inner": (2,)}
    study = replace(study, plan=study.plan.model_copy(update={"regions": regions}))
    experiment = made("kd_net", study, activation="sigmoid")
    teacher = experiment.teachers["teacher"]
    assert isinstance(teacher, Foreign)
    assert [one.name for one in teacher.classes.learned] == ["outer", "inner"]
    check_finite(make(experiment, folder), "soft_labels")


def test_one_region_alone_has_structures(study: Study, folder: Path) -> None:
    study = replace(study, plan=study.plan.model_copy(update={"regions": {"inner": (2,)}}))
    experiment = made("kd_net", study, activation="sigmoid")
    prepared = prepare(experiment, folder / "cache")
    _, found = answers_of_others(experiment, _foreign(experiment), prepared, folder / "cache")
    truth = cache_cases(study.dataset, study.unlabelled, study.plan, folder=folder / "cache")
    assert {id: seen[1].tolist() for id, seen in found.items()} == {
        id: truth[id].foreground[2].tolist() for id in study.unlabelled
    }


def test_the_run_is_named_by_what_answers_and_not_by_where_it_lies(study: Study, knowing: Knowing) -> None:
    for recipe, at in (("kd_net", {"teacher": "ELSEWHERE"}), ("thickened_kd_net", {"teacher": "ELSEWHERE"})):
        assert made(recipe, study).run_name() == made(recipe, study, **at).run_name()
    before = {recipe: made(recipe, study).run_name() for recipe in ("kd_net", "teach_former")}
    knowing.digest = "2" * 32
    for recipe, name in before.items():
        assert made(recipe, study).run_name() != name


def test_networks_runs_and_models_teach_together(study: Study, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"a model")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "model.onnx").write_bytes(b"a model")
    run = tmp_path / "supervised-0"
    run.mkdir()
    (run / "experiment.json").write_text("{}")
    named = [str(tmp_path / "model.onnx"), "dynunet", str(tmp_path / "more" / "model.onnx"), str(run)]
    experiment = made("teach_former", study, teachers=named, teacher_options={"dynunet.filters": [4, 8, 8]})
    kinds = {role: type(one) for role, one in experiment.teachers.items()}
    assert kinds == {
        "model_onnx": Foreign,
        "dynunet": Experiment,
        "model_onnx_no2": Foreign,
        "supervised_0": Finished,
    }
    assert experiment.options["teachers"] == ["knowing", "dynunet", "knowing", str(run)]
    taught = experiment.teachers["dynunet"]
    assert isinstance(taught, Experiment)
    assert taught.study.unlabelled == ()
    assert experiment.teacher_outputs == "auto"
    assert made("teach_former", study).teacher_outputs == "recorded"


@pytest.mark.parametrize("recipe", ["kd_net", "teach_former", "thickened_kd_net"])
def test_without_labels_there_is_no_control(recipe: str, study: Study) -> None:
    alone = replace(study, split=replace(study.split, train=()))
    assert made(recipe, alone).control is None


@pytest.mark.parametrize(
    ("recipe", "options", "told"),
    [
        ("kd_net", {"alpha": 10.0}, r"knowing .* no bottleneck, which --alpha 10 .*--alpha 0.* kd_net_gt_kd"),
        ("thickened_kd_net", {"alpha": 1.0}, "no bottleneck, which --alpha 1 .*--alpha 0"),
        ("teach_former_kd_net", {"alpha": 1.0}, "no bottleneck, which --alpha 1 .*--alpha 0"),
        ("teach_former", {"attention": 1.0}, "no attention maps, which --attention 1 .*teach_former_pwd"),
        ("teach_former_kd_net", {"soft_labels": 0.0}, "no teacher has a weight"),
        ("kd_net", {"teacher": None, "teacher_folds": ("0",)}, "--teacher-folds .* others trained, none"),
        ("kd_net", {"classes": ["organ=nothing"]}, "organ"),
        ("kd_net", {"teacher_modalities": ("CT",)}, "is shown CT, PET"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_trained(
    study: Study, recipe: str, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        made(recipe, study, **options)


def test_a_model_that_does_not_know_every_class_is_refused(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = study.plan.classes
    partly = Numbers(np.zeros((2, 1, 1, 1), np.float32), classes(*names[:2]), modalities=MODALITIES)
    monkeypatch.setattr(others, "open_teacher", lambda path, options: partly)
    with pytest.raises(UserError, match=f"does not know {names[2]}.*distil"):
        made("kd_net", study)


NO_TEACHER = (
    "supervised",
    "dual_self_distillation",
    "kd_net_control",
    "kd_net_teacher",
    "teach_former_control",
    "thickened",
    "missu",
    "u_hemis",
)


@pytest.mark.parametrize("recipe", NO_TEACHER)
def test_scans_without_labels_are_refused_where_no_teacher_answers_for_them(
    recipe: str, study: Study
) -> None:
    with pytest.raises(UserError, match=f"{recipe} learns nothing from scans without labels: it has no tea"):
        find(recipe)(study)


def test_prototypes_alone_make_no_use_of_scans_without_labels(study: Study, prototypes: Path) -> None:
    with pytest.raises(UserError, match=r"scans without labels: prototypes are .* over labelled voxels"):
        find("prototype_distillation")(study, prototypes=str(prototypes))


def test_no_patient_of_the_volumes_is_among_the_scans_without_labels(study: Study, folder: Path) -> None:
    volumes = other_volumes(folder / "others", study)
    (folder / "split_3d.json").write_text(
        json.dumps({"train": ["phantom_000"], "validation": ["phantom_001"], "test": []})
    )
    own = {"data_3d": str(study.dataset.folder), "split_3d": str(folder / "split_3d.json")}
    hidden = tuple(id for id in study.unlabelled if id == "phantom_000")
    judged = replace(study.split, train=("phantom_002",), validation=("phantom_003",))
    apart = replace(study, split=judged, unlabelled=hidden)
    with pytest.raises(UserError, match=r"1 patients of .* such as phantom_000"):
        made("prototype_kd_net", apart, prototypes=None, **{**volumes, **own})


@pytest.mark.parametrize("outputs", ["recorded", "live"])
def test_patches_lie_around_what_a_recorded_teacher_of_ours_sees(
    outputs: str, study: Study, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a live teacher nothing is known before: they lie anywhere."""
    seen: dict[str, Mapping[str, Foreground]] = {}

    def sampler(experiment: Experiment, prepared: Any, found: Mapping[str, Foreground] | None = None) -> Any:
        seen[experiment.recipe] = found or {}
        return make_sampler(experiment, prepared, found)

    monkeypatch.setattr(training, "make_sampler", sampler)
    told = {"teacher": None, "alpha": 10.0, "teacher_outputs": outputs}
    experiment = made("kd_net", study, **told)
    taught = experiment.teachers["teacher"]
    assert isinstance(taught, Experiment)
    assert taught.study.unlabelled == ()
    check_finite(make(experiment, folder), "soft_labels", "latent")
    found = seen["kd_net"]
    assert found.keys() == set(study.unlabelled)
    assert all(bool(one) == (outputs == "recorded") for one in found.values())


def test_structures_are_the_likeliest_classes_of_recorded_logits(tmp_path: Path) -> None:
    label = np.random.default_rng(0).integers(0, 3, (4, 5, 6)).astype(np.uint8)
    logits = np.stack([label == k for k in range(3)]).astype(np.float16)
    # A map may reach beyond the case.
    np.save(tmp_path / "map.npy", np.pad(logits, [(0, 0), (0, 2), (0, 1), (0, 0)], constant_values=9))
    recorded = open_map(tmp_path / "map.npy", (1, 1, 1))
    expected = sample_foreground(label)
    found = structures(recorded, label.shape, "classes")
    assert {k: v.tolist() for k, v in found.items()} == {k: v.tolist() for k, v in expected.items()}
    np.save(tmp_path / "regions.npy", logits[1:] - 0.5)
    of_regions = structures(open_map(tmp_path / "regions.npy", (1, 1, 1)), label.shape, "regions")
    assert {k: v.tolist() for k, v in of_regions.items()} == {1: np.argwhere(label > 0).tolist()}


def _foreign(experiment: Experiment) -> dict[str, Foreign]:
    return {role: one for role, one in experiment.teachers.items() if isinstance(one, Foreign)}
