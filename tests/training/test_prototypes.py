"""Fitting prototypes: streamed equals all at once, which slices take part, and what the file says of it."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from distilseg.data.preparing.cache import CachedCase, cache_cases
from distilseg.data.preparing.grid import Grid
from distilseg.data.prototypes import load_prototypes, match_classes, save_prototypes
from distilseg.distillation.method import Role
from distilseg.distillation.prototypes import Prototypes
from distilseg.errors import UserError
from distilseg.inference.stitched import stitched
from distilseg.networks.build import NetworkSpec, build
from distilseg.networks.features import feature_shapes
from distilseg.training import prototypes
from distilseg.training.experiment import Study
from distilseg.training.prototypes import fit_prototypes, organ_slices, scores_on_grid
from distilseg.training.recorded import OVERLAP, Teacher
from distilseg.types import Batch, Outputs

from .small import NETWORK, small_study

Array = NDArray[np.float64]
SPEC = NetworkSpec("unet", 1, 3, (16, 16, 16), NETWORK)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return small_study(tmp_path_factory.mktemp("scans"), cases=3)


@pytest.fixture(scope="module")
def cases(study: Study, tmp_path_factory: pytest.TempPathFactory) -> dict[str, CachedCase]:
    ids = [case.id for case in study.dataset.cases]
    return cache_cases(study.dataset, ids, study.plan, folder=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def teacher(study: Study) -> Teacher:
    torch.manual_seed(0)
    network = build(replace(SPEC, classes=len(study.plan.classes)))
    return Teacher("teacher", network.eval(), Role(("decoder.*", "bottleneck")), "digest", study.plan.patch)


def fit(study: Study, teacher: Teacher, cases: Mapping[str, CachedCase], **options: Any) -> Any:
    spec = replace(SPEC, classes=len(study.plan.classes))
    return fit_prototypes(teacher, spec, study.plan, cases, **options)


def at_once(
    teacher: Teacher, cases: Mapping[str, CachedCase], classes: int, axis: int, softmax: bool
) -> tuple[Array, Array]:
    """Slice mean and pixel mean [K C] of every slice of the organs' extent, all of them in memory."""
    features, labels = [], []
    for case in cases.values():
        image = torch.from_numpy(np.array(case.image))[None]
        whole = stitched(
            image, lambda x: {"logits": teacher.outputs(x)["logits"]}, teacher.patch, overlap=OVERLAP
        )
        x = np.moveaxis(whole["logits"][0].double().numpy(), 1 + axis, 0)  # [slices C H W]
        x = x[:, :, : case.image.shape[1], : case.image.shape[2]]
        y = np.moveaxis(np.array(case.label), axis, 0)
        held = np.flatnonzero((y > 0).any((1, 2)))
        features.append(x[held[0] : held[-1] + 1])
        labels.append(y[held[0] : held[-1] + 1])
    x, y = np.concatenate(features), np.concatenate(labels)
    if softmax:
        e = np.exp(x - x.max(1, keepdims=True))
        x = e / e.sum(1, keepdims=True)
    slices, pixels = [], []
    for k in range(classes):
        means = [s[:, held].mean(1) for s, held in zip(x, y == k, strict=True) if held.any()]
        slices.append(np.mean(means, 0))
        pixels.append(np.moveaxis(x, 1, 0)[:, y == k].mean(1))
    return np.stack(slices), np.stack(pixels)


@pytest.mark.parametrize(("across", "axis"), [("axial", 2), ("sagittal", 0), (1, 1)])
@pytest.mark.parametrize("softmax", [False, True])
def test_streamed_equals_all_at_once(
    study: Study, teacher: Teacher, cases: dict[str, CachedCase], across: Any, axis: int, softmax: bool
) -> None:
    expected = at_once(teacher, cases, len(study.plan.classes), axis, softmax)
    for reduce, values in zip(("slice_mean", "pixel_mean"), expected, strict=True):
        found = fit(study, teacher, cases, across=across, softmax=softmax, reduce=reduce)
        np.testing.assert_allclose(found.values_KC, values, rtol=1e-9)
    assert not np.allclose(*expected)
    assert found.across == str(across)


def test_the_file_says_what_made_it(study: Study, teacher: Teacher, cases: dict[str, CachedCase]) -> None:
    found = fit(study, teacher, cases)
    assert found.classes == study.plan.classes
    assert found.valid_K.all()
    assert (found.weights, found.dataset, found.cases) == ("digest", study.dataset.name, 3)
    labels = [np.array(case.label) for case in cases.values()]
    for k, name in enumerate(found.classes[1:], 1):
        assert found.voxels[name] == sum(int((y == k).sum()) for y in labels)
        assert found.slices[name] == sum(int((y == k).any((0, 1)).sum()) for y in labels)
    text = found.model_dump_json()
    assert not [id for id in cases if id in text]
    assert found == fit(study, teacher, cases)


def test_no_path_reaches_the_file(study: Study, teacher: Teacher, cases: dict[str, CachedCase]) -> None:
    spec = NetworkSpec(
        "/home/someone/mine.py:net", 1, len(study.plan.classes), (16,) * 3, {"imagenet": "/data/someone/w"}
    )
    found = fit_prototypes(teacher, spec, study.plan, cases)
    assert found.network["name"] == "mine.py:net"
    assert "someone" not in found.model_dump_json()


def test_coarse_features_are_enlarged(study: Study, teacher: Teacher, cases: dict[str, CachedCase]) -> None:
    shapes = feature_shapes(teacher.network, (1, 1, 16, 16, 16))
    for feature in ("bottleneck", "decoder.0"):
        found = fit(study, teacher, cases, feature=feature)
        assert found.values_KC.shape == (len(study.plan.classes), shapes[feature][1])
        assert found.valid_K.all()


def test_a_class_that_no_slice_holds_has_no_prototype(
    study: Study, teacher: Teacher, cases: dict[str, CachedCase]
) -> None:
    emptied = {
        id: replace(case, label=np.where(np.array(case.label) > 1, 0, case.label).astype(np.uint8))
        for id, case in cases.items()
    }
    found = fit(study, teacher, emptied)
    assert found.valid_K.tolist() == [True, True, *(False for _ in study.plan.classes[2:])]
    assert len(found.classes) > 2


def test_slices_of_the_organs_extent() -> None:
    label = np.zeros((2, 2, 10), np.uint8)
    label[0, 0, [2, 9]], label[1, 1, 5] = 1, 2
    assert organ_slices(label, (1, 2), 2, (0, 1)).tolist() == [2, 3, 4, 5, 6, 7, 8, 9]
    assert organ_slices(label, (1, 2), 2, (0.25, 0.5)).tolist() == [4, 5]
    assert organ_slices(label, (2,), 2, (0, 1)).tolist() == [5]
    assert organ_slices(label, (1,), 0, (0, 1)).tolist() == [0]
    assert organ_slices(label, (3,), 2, (0, 1)).tolist() == []


def test_scores_follow_the_scan_into_the_prepared_volume() -> None:
    """Six slices of a file, its third axis against the plan's; of 1 … 5, two slices are prepared."""
    eye = tuple(map(tuple, np.eye(4).tolist()))
    grid = Grid((4, 4, 6), eye, (0, 1, 2), (False, False, True), ((0, 4), (0, 4), (1, 5)), (4, 4, 2))
    assert scores_on_grid([0, 10, 20, 30, 40, 50], grid, 2).tolist() == [35, 15]
    with pytest.raises(ValueError, match=r"6 finite scores were expected, one per slice, 4 came"):
        scores_on_grid([0, 1, 2, 3], grid, 2)


def test_scores_decide_which_slices(study: Study, teacher: Teacher, cases: dict[str, CachedCase]) -> None:
    scores = {id: [float(n) for n in range(case.image.shape[3])] for id, case in cases.items()}
    found = fit(study, teacher, cases, scores=scores, score_range=(8.0, 11.0))
    assert found.slices["background"] == 4 * len(cases)
    assert found.voxels["background"] == sum(int((c.label[..., 8:12] == 0).sum()) for c in cases.values())  # type: ignore[index]
    assert found.slice_range == {"by": "score", "lowest": 8.0, "highest": 11.0}


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"across": "oblique"}, "unknown view 'oblique'"),
        ({"across": 3}, "unknown axis '3'"),
        ({"reduce": "median"}, "unknown mean 'median'"),
        ({"feature": "encoder.9"}, "unknown feature of the teacher 'encoder.9'"),
        ({"organs": ("tail",)}, "unknown organ 'tail'"),
        ({"extent": (0.8, 0.2)}, r"taken from 0\.8 to 0\.2"),
        ({"extent": (0.0, 2.0)}, "parts of the organs' extent lie between 0 and 1"),
        ({"score_range": (0.0, 2.0)}, "belong together"),
        ({"scores": {}, "score_range": (0.0, 2.0)}, "has no body-part scores"),
    ],
)
def test_what_cannot_be_fitted_is_refused(
    study: Study, teacher: Teacher, cases: dict[str, CachedCase], options: dict[str, Any], match: str
) -> None:
    with pytest.raises(UserError, match=match):
        fit(study, teacher, cases, **options)


def test_no_slice_and_no_label_are_refused(
    study: Study, teacher: Teacher, cases: dict[str, CachedCase]
) -> None:
    scores = {id: [0.0] * case.image.shape[3] for id, case in cases.items()}
    with pytest.raises(UserError, match="none of the 3 cases has a slice from 5 to 6"):
        fit(study, teacher, cases, scores=scores, score_range=(5.0, 6.0))
    unlabelled = {id: replace(case, label=None) for id, case in cases.items()}
    with pytest.raises(UserError, match=f"case {next(iter(cases))} has no label"):
        fit(study, teacher, unlabelled)


def test_a_teacher_of_regions_is_refused(
    study: Study, teacher: Teacher, cases: dict[str, CachedCase]
) -> None:
    spec = replace(SPEC, classes=1)
    with pytest.raises(UserError, match="the teacher answers 1 channels, its plan has the classes"):
        fit_prototypes(teacher, spec, study.plan, cases)


def test_a_student_that_answers_as_the_teacher_did_has_nothing_to_learn(
    study: Study, teacher: Teacher, cases: dict[str, CachedCase], tmp_path: Path
) -> None:
    """From one slice to the file, its classes in another order, and back against that very slice."""
    id, case = next(iter(cases.items()))
    assert case.label is not None
    best = int(np.argmax([len(np.unique(case.label[..., n])) for n in range(20)]))
    score = {id: [float(n == best) for n in range(20)]}
    save_prototypes(
        tmp_path / "p.json", fit(study, teacher, {id: case}, scores=score, score_range=(0.5, 1.5))
    )
    order = (0, *range(len(study.plan.classes) - 1, 0, -1))
    matched = match_classes(load_prototypes(tmp_path / "p.json"), tuple(study.plan.classes[k] for k in order))
    method = Prototypes(
        torch.tensor(matched.values_KC),
        torch.tensor(matched.valid_K),
        classes=matched.classes,
        channels=matched.channels,
    )
    image = torch.from_numpy(np.array(case.image))[None]
    whole = stitched(image, teacher.outputs, teacher.patch, overlap=OVERLAP)["logits"][0]
    logits = whole[None, list(order), :20, :20, best].double()
    label = torch.tensor(np.argsort(order)[case.label[..., best]])[None, None]
    terms = method.terms({"student": Outputs(logits)}, Batch(logits, label))
    assert len(label.unique()) >= 3
    assert terms["inter"].item() == pytest.approx(0, abs=1e-12)
    assert terms["intra"].item() == pytest.approx(0, abs=1e-12)


def test_memory_is_of_one_volume(
    study: Study, teacher: Teacher, cases: dict[str, CachedCase], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the teacher is shown the next case, the map of the last is gone."""
    made: list[weakref.ref[torch.Tensor]] = []

    def watched(*arguments: Any, **options: Any) -> Any:
        assert [ref for ref in made if ref() is not None] == []
        maps = stitched(*arguments, **options)
        made.extend(weakref.ref(values) for values, _ in maps.values())
        return maps

    monkeypatch.setattr(prototypes, "stitched", watched)
    fit(study, teacher, cases)
    assert len(made) == len(cases)
