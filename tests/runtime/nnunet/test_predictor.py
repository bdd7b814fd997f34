"""An artefact of an nnU-Net model labels as the teacher does: every kind of model that nnU-Net has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilseg.data.scans.scan import Geometry, Scan
from distilseg.errors import UserError
from distilseg.runtime.nnunet.blend import blended, mean_over_flips
from distilseg.runtime.nnunet.preparation import Way
from distilseg.teachers.nnunet.model import NnUNetTeacher, open_path
from distilseg.teachers.shipping import shipment_of
from distilseg.teachers.teacher import TeacherOptions

from ...teachers.nnunet.small import DATASET, changed, plain, plans_with, scan_of, write_model
from ...teachers.small import Numbers, classes
from .shipped import as_artefact

REGIONS = {
    **DATASET,
    "labels": {"background": 0, "whole": [1, 2], "tumour": [2]},
    "regions_class_order": [1, 2],
}
TWO = {**DATASET, "channel_names": {"0": "CT", "1": "PET"}}
MASKED = {"normalization_schemes": ["ZScoreNormalization"] * 2, "use_mask_for_norm": [True, False]}
CASCADE = {
    "previous_stage": "3d_lowres",
    "resampling_fn_seg_kwargs": {"order": 1, "order_z": 0, "force_separate_z": None, "is_seg": True},
}


def open_with(tmp_path: Path, entry: Mapping[str, Any], **written: Any) -> NnUNetTeacher:
    plans = plans_with(**{"3d_fullres": entry})
    if transpose := written.pop("transpose", None):
        plans = changed(plans, "transpose_forward", transpose)
    asked = written.pop("options", TeacherOptions(device="cpu", mirror=False))
    return open_path(write_model(tmp_path, plans=plans, **written), asked)


KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": (plain(spacing=[1.3, 0.9, 1.0]), {}),
    "same grid": (plain(), {}),
    "folds": (plain(spacing=[1.3, 0.9, 1.0]), {"folds": ("0", "1", "2")}),
    "mirrored": (plain(), {"options": TeacherOptions(device="cpu", mirror=True)}),
    "half mirrored": (
        plain(spacing=[1.3, 0.9, 1.0]),
        {"options": TeacherOptions(device="cpu", mirror=True), "mirrored": (0, 2), "folds": ("0", "1")},
    ),
    "regions": (plain(spacing=[1.3, 0.9, 1.0]), {"dataset": REGIONS}),
    "anisotropic": (plain(spacing=[6.0, 0.8, 0.9]), {}),
    "transposed": (plain(spacing=[0.7, 4.0, 0.9], patch_size=[8, 6, 10]), {"transpose": [2, 0, 1]}),
    "two modalities": (plain(**MASKED, spacing=[1.3, 0.9, 1.0]), {"dataset": TWO}),
    "slices": (
        plain(2, spacing=[0.8, 0.9]),
        {"options": TeacherOptions(device="cpu", mirror=True), "mirrored": (0, 1)},
    ),
    "small": (plain(patch_size=[16, 24, 16]), {}),
    "CT": (plain(normalization_schemes=["CTNormalization"], spacing=[2.0, 1.5, 1.5]), {}),
    "turned": (plain(spacing=[1.3, 0.9, 1.0]), {"options": TeacherOptions(device="cpu", orientation="LPS")}),
    "wide steps": (plain(), {"options": TeacherOptions(device="cpu", mirror=False, step=0.8)}),
}


def scans_for(teacher: NnUNetTeacher) -> dict[str, Scan]:
    return {name: scan_of((14, 12, 11), (0.9, 1.1, 2.0), seed=n) for n, name in enumerate(teacher.modalities)}


@pytest.mark.parametrize("kind", KINDS)
def test_it_labels_as_the_teacher_does(kind: str, tmp_path: Path) -> None:
    entry, written = KINDS[kind]
    teacher = open_with(tmp_path, entry, **written)
    scans = scans_for(teacher)
    answer = teacher.answer(scans, case="a")
    artefact = as_artefact(teacher)
    prepared = artefact.prepare(scans, case="a")
    logits = artefact.logits(prepared.image, case="a")
    assert np.allclose(logits, answer.logits, atol=1e-5)
    labels = artefact.labels(answer.logits, prepared.grid)
    expected = teacher.labels(answer, scans)
    assert np.array_equal(labels, expected)
    assert labels.dtype == expected.dtype
    assert len(np.unique(expected)) > 1
    assert np.mean(artefact.segment(scans, case="a") != expected) <= 1e-3
    assert artefact.plan.modalities == teacher.modalities


def test_folds_are_one_network_whose_answer_is_their_mean(tmp_path: Path) -> None:
    folder = write_model(tmp_path, folds=("0", "1"))
    both, *each = (
        open_path(folder, TeacherOptions(folds=folds, mirror=False, device="cpu"))
        for folds in (None, ("0",), ("1",))
    )
    scans = scans_for(both)
    image = as_artefact(both).prepare(scans, case="a").image
    one, other = (as_artefact(teacher).logits(image) for teacher in each)
    assert not np.allclose(one, other, atol=1e-3)
    assert np.allclose(as_artefact(both).logits(image), (one + other) / 2, atol=1e-5)


def test_a_cascade_shows_its_second_stage_what_the_first_found(tmp_path: Path) -> None:
    lowres, fullres = plain(spacing=[2.0, 2.0, 2.0]), plain(**CASCADE)
    plans = plans_with(**{"3d_lowres": lowres, "3d_cascade": fullres})
    write_model(tmp_path, "3d_lowres", plans=plans)
    folder = write_model(tmp_path, "3d_cascade", plans=plans, inputs=3)
    teacher = open_path(folder, TeacherOptions(mirror=False, device="cpu"))
    artefact, scans = as_artefact(teacher), scans_for(teacher)
    assert [stage.network for stage in artefact.way.stages] == ["network_stage_0.onnx", "network.onnx"]
    assert artefact.prepare(scans, case="a").image.shape[0] == 3
    assert np.array_equal(
        artefact.segment(scans, case="a"), teacher.labels(teacher.answer(scans, case="a"), scans)
    )


def test_air_is_shown_once_where_that_is_asked_for(tmp_path: Path) -> None:
    teacher = open_with(tmp_path, plain())
    array = np.zeros((40, 12, 11), np.float32)
    array[:3], array[-3:] = 50, 80
    scans = {"CT": Scan(array, Geometry(array.shape, np.eye(4)), Path("a.nii.gz"))}
    plainly, skipping = as_artefact(teacher), as_artefact(teacher, skip_empty=True)
    image = plainly.prepare(scans, case="a").image
    assert np.allclose(skipping.logits(image), plainly.logits(image), atol=1e-6)


def test_infinite_logits_are_refused(tmp_path: Path) -> None:
    artefact = as_artefact(open_with(tmp_path, plain()))
    image = np.full((1, 9, 9, 9), np.inf, np.float32)
    with pytest.raises(UserError, match="case a: the network answers with NaN"):
        artefact.logits(image, case="a")


def test_a_missing_modality_is_told(tmp_path: Path) -> None:
    teacher = open_with(tmp_path, plain(**MASKED), dataset=TWO)
    with pytest.raises(UserError, match="case a: modality PET is missing"):
        as_artefact(teacher).segment({"CT": scan_of()}, case="a")


def test_flips_are_undone_before_the_mean() -> None:
    window = np.random.default_rng(0).normal(size=(1, 1, 4, 6)).astype(np.float32)
    rising = np.arange(6, dtype=np.float32)
    found = mean_over_flips(window, lambda x: x + rising, (1,))
    assert np.allclose(found, window + 2.5)
    assert np.array_equal(mean_over_flips(window, lambda x: x * 2), window * 2)


def test_windows_blended_by_threads_are_the_same() -> None:
    image = np.random.default_rng(0).normal(size=(1, 60, 50, 50)).astype(np.float32)

    def ask(window: Any) -> Any:
        return np.concatenate([window[0], 2 * window[0]])

    one, two = (blended(image, [ask, ask], 2, (48, 48, 48), threads=threads) for threads in (1, 2))
    assert np.array_equal(one, two)
    assert np.allclose(one, np.concatenate([image, 2 * image]), rtol=4e-3)  # weights are summed in float16


def test_others_cannot_be_exported_and_are_told_so() -> None:
    with pytest.raises(UserError, match="numbers is numbers, which cannot be exported"):
        shipment_of(Numbers(np.zeros((2, 3, 3, 3), np.float32), classes("background", "liver")))


def test_steps_that_never_end_are_refused(tmp_path: Path) -> None:
    teacher = open_with(tmp_path, plain(), options=TeacherOptions(device="cpu", step=0.05))
    with pytest.raises(UserError, match="never end"):
        shipment_of(teacher)


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("stages", 0, "preparation", "transpose"), [0, 0, 1], "no order of three axes"),
        (("stages", 0, "preparation", "patch"), [8, 8], "two or three axes"),
        (("stages", 0, "preparation", "patch"), [2**12] * 3, "no memory"),
        (("stages", 0, "preparation", "spacing"), [0, 1, 1], "greater than 0"),
        (("stages", 0, "preparation", "image", "kind"), "guess", "spline"),
        (("stages", 0, "preparation", "channels"), [], "at least 1"),
        (("stages", 0, "network"), "../network.onnx", "network"),
        (("stages", 0, "step"), 1e-9, "greater than or equal"),
        (("stages", 0, "mirrored"), [0, 7], "no axes"),
        (("stages", 0, "paints"), [0], "single class"),
        (("stages", 0, "foreground"), [1], "no stage before"),
        (("stages", 0, "code"), "import os", "Extra"),
        (("modalities",), ["CT", "PET"], "normalises 1 channels"),
        (("orientation",), "RRR", "names no three axes"),
        (("stages",), [], "at least 1"),
    ],
)
def test_absurd_preparations_are_refused(
    tmp_path: Path, path: tuple[Any, ...], value: Any, told: str
) -> None:
    import json

    words = shipment_of(open_with(tmp_path, plain())).way({"network": "network.onnx"})
    assert isinstance(Way.read(words.encode(), Path("preparation.json")), Way)
    made = json.loads(words)
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(UserError, match=told):
        Way.read(json.dumps(made).encode(), Path("preparation.json"))
