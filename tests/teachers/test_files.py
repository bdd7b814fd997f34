from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from distilseg.data.planning.normalisation import Normalisation
from distilseg.data.planning.plan import Plan
from distilseg.data.preparing.grid import make_grid
from distilseg.data.scans.reading import read_scan
from distilseg.data.scans.scan import Geometry, Scan
from distilseg.errors import UserError
from distilseg.teachers import files
from distilseg.teachers.answers import blocks
from distilseg.teachers.classes import match_classes
from distilseg.teachers.opening import open_teacher
from distilseg.teachers.predicting import predict_with_teacher
from distilseg.teachers.restoring import SURE
from distilseg.teachers.teacher import Teacher, TeacherOptions
from distilseg.training.foreign import shown_modalities
from tests.data.small_datasets import OBLIQUE, write, write_json
from tests.teachers.fixtures import teachers

SHAPE = (5, 4, 3)
SCAN = Scan(np.zeros(SHAPE, np.float32), Geometry(SHAPE, OBLIQUE), Path("scan.nii.gz"))


def probabilities(heads: int = 3, seed: int = 0) -> np.ndarray:
    raw = np.random.default_rng(seed).random((heads, *SHAPE[::-1])).astype(np.float32) + 0.1
    return raw / raw.sum(0)


def folder(tmp_path: Path, described: Any = None, **cases: Any) -> Path:
    """A folder of answers: label maps [I J K], or probabilities [K z y x]."""
    for case, array in cases.items():
        if array.ndim == 4:
            np.savez(tmp_path / f"{case}.npz", probabilities=array)
        else:
            write(tmp_path / f"{case}.nii.gz", array, OBLIQUE)
    if described is not None:
        write_json(tmp_path / "dataset.json", described)
    return tmp_path


def opened(path: Path) -> files.FilesTeacher:
    assert files.recognises(path)
    return files.open_as_teacher(path, TeacherOptions())


def labels(*values: int) -> np.ndarray:
    array = np.zeros(SHAPE, np.uint8)
    for n, value in enumerate(values):
        array[n] = value
    return array


def test_probabilities_come_back_turned_from_z_y_x(tmp_path: Path) -> None:
    p = probabilities()
    teacher = opened(folder(tmp_path, a=p))
    assert isinstance(teacher, Teacher)
    assert [head.name for head in teacher.heads] == ["background", "label_1", "label_2"]
    answer = teacher.answer({"CT": SCAN}, case="a")
    assert answer.placement.shape == SHAPE
    found = teacher.probabilities(answer, {"CT": SCAN})
    np.testing.assert_allclose(found, p.transpose(0, 3, 2, 1), atol=1e-6)
    np.testing.assert_array_equal(teacher.labels(answer, {"CT": SCAN}), p.argmax(0).T)


def test_labels_are_certain_but_finite(tmp_path: Path) -> None:
    teacher = opened(folder(tmp_path, a=labels(1, 7), b=labels(1, 2)))
    assert [(head.name, head.values) for head in teacher.heads] == [
        ("background", (0,)),
        ("label_1", (1,)),
        ("label_2", (2,)),
        ("label_7", (7,)),
    ]
    answer = teacher.answer({"CT": SCAN}, case="a")
    assert np.asarray(answer.logits).shape == answer.logits.shape == (4, *SHAPE)
    np.testing.assert_array_equal(
        answer.logits.transpose(0, 3, 1, 2)[:], np.asarray(answer.logits).transpose(0, 3, 1, 2)
    )
    np.testing.assert_allclose(answer.logits[:, 1, 0, 0], [np.log(SURE)] * 3 + [0], atol=2e-7)
    np.testing.assert_array_equal(teacher.labels(answer, {"CT": SCAN}), labels(1, 7))
    assert teacher.summary()["cases"] == 2
    assert set(json.loads(json.dumps(teacher.summary()))["files"]) == {"a.nii.gz", "b.nii.gz"}


def test_regions_overlap_and_are_painted_in_their_order(tmp_path: Path) -> None:
    described = {"labels": {"background": 0, "whole": [1, 2], "core": 2}, "regions_class_order": [1, 2]}
    teacher = opened(folder(tmp_path, described, a=labels(1, 2)))
    assert teacher.activation == "sigmoid"
    answer = teacher.answer({"CT": SCAN}, case="a")
    p = teacher.probabilities(answer, {"CT": SCAN})
    assert (p[:, :3, 0, 0] > 0.5).tolist() == [[True, True, False], [False, True, False]]
    np.testing.assert_array_equal(teacher.labels(answer, {"CT": SCAN}), labels(1, 2))


def test_nothing_is_known_of_ignored_voxels(tmp_path: Path) -> None:
    described = {"labels": {"background": 0, "organ": 1, "ignore": 2}, "licence": "CC BY 4.0"}
    teacher = opened(folder(tmp_path, described, a=labels(1, 2)))
    assert [head.name for head in teacher.heads] == ["background", "organ"]
    answer = teacher.answer({"CT": SCAN}, case="a")
    assert (answer.logits[:, 1] == 0).all()
    assert (answer.logits[:, 0] != 0).any()
    assert not teacher.labels(answer, {"CT": SCAN})[1].any()
    assert teacher.provenance.licence == "CC BY 4.0"


def test_the_digest_follows_what_the_files_hold(tmp_path: Path) -> None:
    first = opened(folder(tmp_path, a=labels(1))).digest
    assert opened(tmp_path).digest == first
    assert opened(folder(tmp_path, a=labels(1, 1))).digest != first


def test_what_nnunet_wrote_is_read(tmp_path: Path) -> None:
    of = teachers()
    written = of / "predictions" / "a_plain_3d_2folds" / "no_tta"
    for file in written.iterdir():
        os.symlink(file, tmp_path / file.name)
    scan = read_scan(of / "inputs" / "Dataset004_Hippocampus" / "hippocampus_203_0000.nii.gz")
    teacher = opened(tmp_path)
    assert "hippocampus_203" in teacher.cases
    answer = teacher.answer({"MR": scan}, case="hippocampus_203")
    p = np.load(written / "hippocampus_203.npz")["probabilities"]
    np.testing.assert_allclose(
        teacher.probabilities(answer, {"MR": scan}), p.transpose(0, 3, 2, 1), atol=1e-6
    )
    stored = np.asarray(nib.load(written / "hippocampus_203.nii.gz").dataobj)
    np.testing.assert_array_equal(teacher.labels(answer, {"MR": scan}), stored)


def test_bad_answers_are_refused_in_one_line(tmp_path: Path) -> None:
    good = probabilities()
    (tmp_path / "all").mkdir()
    other = good.copy()
    other[0, 0, 0, 0] += 0.5
    nan = good.copy()
    nan[0, 0, 0, 0] = np.nan
    path = folder(tmp_path / "all", a=good, sums=other, nan=nan, shape=good[:, 1:], many=probabilities(4))
    np.savez(path / "pickled.npz", probabilities=np.array([{}], object))
    (path / "half.npz").write_bytes((path / "a.npz").read_bytes()[:300])
    write(path / "labels.nii.gz", labels(1, 9), OBLIQUE)
    write(path / "moved.nii.gz", labels(1, 2), OBLIQUE @ np.diag([-1.0, 1, 1, 1]))
    write(path / "thinner.nii.gz", labels(1, 2)[:4], OBLIQUE)
    write(path / "scan.nii.gz", labels(1, 2) - np.float32(0.5), OBLIQUE)
    teacher = opened(path)
    for case, told in {
        "thiner": r"all has no answer for case thiner; did you mean thinner\? add thiner\.nii\.gz or \.npz",
        "sums": r"case sums: the probabilities in sums\.npz do not sum to 1; if they are of regions",
        "nan": r"case nan: nan\.npz holds values that are no probabilities .*; are they logits",
        "shape": r"case shape: shape\.npz has probabilities of shape \[3, 2, 4, 5\].* ask for \[3, 3, 4, 5\]",
        "many": r"case many: many\.npz has probabilities of shape \[4, 3, 4, 5\].*3 classes",
        "pickled": r"pickled\.npz holds probabilities of type object",
        "half": r"half\.npz cannot be read as probabilities .*; predict the case again",
        "labels": r"case labels: labels\.nii\.gz holds the label 9, the teacher's are 0, 1, 2; name it",
        "moved": r"case moved: the headers of answer and scan put the same voxel .* mm apart",
        "thinner": r"case thinner: answer has 4 x 4 x 3 voxels, scan 5 x 4 x 3; resample",
        "scan": r"scan\.nii\.gz is no label map: .*; give the folder of the answers, not that of the scans",
    }.items():
        with pytest.raises(UserError, match=told) as refused:
            teacher.answer({"CT": SCAN}, case=case)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("described", "told"),
    [
        ({"labels": {"organ": 1, "vessel": 2}}, r"labels need the background 0 and a structure"),
        ({"labels": {"background": 0}}, r"labels need the background 0 and a structure"),
        ({"labels": {"a": [1, 2], "b": 1}, "regions_class_order": [1]}, r"names 2 regions and .* \[1\]"),
        ({"labels": {"a": 1, "b": [1, 2], "c": [1, 2]}}, r"region 'a' holds no value of its own"),
        ({"labels": {"background": [0]}}, r"names no region but the background"),
    ],
)
def test_bad_names_are_refused(tmp_path: Path, described: Any, told: str) -> None:
    with pytest.raises(UserError, match=told):
        opened(folder(tmp_path, described, a=labels(1)))


def test_options_without_a_meaning_are_refused(tmp_path: Path) -> None:
    path = folder(tmp_path, a=labels(1))
    with pytest.raises(UserError, match=r"answers in files have no option 'mirror'; leave it out"):
        files.open_as_teacher(path, TeacherOptions(mirror=True))


def test_label_maps_of_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"hold nothing but 0"):
        opened(folder(tmp_path, a=labels()))


def test_a_folder_of_other_things_is_none(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    assert not files.recognises(tmp_path)


def test_cases_without_an_answer_are_named(tmp_path: Path) -> None:
    teacher = opened(folder(tmp_path, a=labels(1), b=labels(1)))
    teacher.require(["a", "b"])
    with pytest.raises(UserError, match=r"no answers for 2 of 3 cases: x, y; predict them .*; it has a, b"):
        teacher.require(["a", "x", "y"])


def test_a_folder_of_scans_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds c_0000\.nii\.gz, which is how nnU-Net names scans; give the"):
        opened(folder(tmp_path, c_0000=labels(1)))


def test_a_label_map_reaches_the_student_s_grid(tmp_path: Path) -> None:
    """Block by block, without all logits ever being there."""
    teacher = opened(folder(tmp_path, a=labels(1, 7)))
    plan = Plan(
        dataset="x",
        modalities=("CT",),
        labels={0: "background", 1: "label_1", 2: "label_7"},
        spacing_mm=Geometry(SHAPE, OBLIQUE).spacing_mm,
        orientation=Geometry(SHAPE, OBLIQUE).orientation,
        normalisation={"CT": Normalisation(kind="none")},
        patch=(4, 4, 4),
        strides=((1, 1, 1), (2, 2, 2)),
    )
    grid = make_grid([SCAN], plan, case="a")
    classes = match_classes(teacher, ("background", "label_1", "label_7"))
    whole = np.zeros((3, *SHAPE), np.float32)
    for block in blocks(teacher.answer({"CT": SCAN}, case="a"), grid, classes):
        whole[(slice(None), *block.box)] = block.probabilities.numpy()
    np.testing.assert_array_equal(np.array([0, 1, 7])[whole.argmax(0)], labels(1, 7))
    assert whole.max(0).min() > 0.999


def test_scans_give_its_answers_their_grid_alone(tmp_path: Path) -> None:
    (tmp_path / "answers").mkdir()
    teacher = opened(folder(tmp_path / "answers", case=labels(1, 7)))
    assert shown_modalities(teacher, ("CT", "PET")) == {"CT": "CT"}
    write(tmp_path / "scans" / "case_0000.nii.gz", np.zeros(SHAPE, np.int16), OBLIQUE)
    predict_with_teacher(teacher, tmp_path / "scans", tmp_path / "out")
    np.testing.assert_array_equal(read_scan(tmp_path / "out" / "case.nii.gz").array, labels(1, 7))


def test_two_answers_of_one_name_are_refused(tmp_path: Path) -> None:
    path = folder(tmp_path, a=labels(0, 1))
    write(path / "a.nii", labels(0, 2), OBLIQUE)
    with pytest.raises(
        UserError, match=r"file names 'a' .*a\.nii.* stands twice|the file name 'a' stands twice"
    ):
        opened(path)


def test_pictures_beside_weights_do_not_make_them_answers(tmp_path: Path) -> None:
    fold = tmp_path / "fold_0"
    for file in (fold / "progress.png", fold / "checkpoint_final.pth", tmp_path / "plans.png"):
        file.parent.mkdir(exist_ok=True)
        file.touch()
    assert not files.recognises(fold)
    assert not files.recognises(tmp_path)


def test_what_lies_beside_answers_does_not_make_them_a_model(tmp_path: Path) -> None:
    """nnU-Net copies a model's plans and description to its answers."""
    path = folder(
        tmp_path, {"labels": {"background": 0, "organ": 1}, "channel_names": {"0": "CT"}}, a=labels(1)
    )
    write_json(path / "plans.json", {"configurations": {}, "plans_name": "nnUNetPlans"})
    assert open_teacher(path).provenance.kind == "answers in files"
