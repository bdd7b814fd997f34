"""Recorded answers: on the student's grid, once, whole or not at all, only where the disk holds them."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distilseg.data.preparing.cache import CachedCase, cache_cases
from distilseg.errors import UserError
from distilseg.teachers.classes import match_classes
from distilseg.teachers.teacher import Teacher
from distilseg.training import answers as module
from distilseg.training.answers import answer_bytes, record_answers
from distilseg.training.experiment import Study
from distilseg.training.foreign import Foreign, shown_modalities

from ..teachers.small import Knowing, Numbers, classes
from .small import small_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return small_study(tmp_path_factory.mktemp("study"))


@pytest.fixture
def cases(study: Study, tmp_path: Path) -> dict[str, CachedCase]:
    return cache_cases(study.dataset, study.split.train, study.plan, folder=tmp_path / "cache")


def foreign(teacher: Teacher, study: Study) -> Foreign:
    return Foreign(teacher, match_classes(teacher, study.dataset.classes), {"MR": "MR"})


def test_answers_lie_on_the_grid_of_the_student(
    study: Study, cases: dict[str, CachedCase], tmp_path: Path
) -> None:
    found = record_answers(
        "teacher", foreign(Knowing(study.dataset), study), study.dataset, cases, tmp_path / "cache"
    )
    for id, case in cases.items():
        p = np.exp(found[id].answers.cut((0, 0, 0), (20, 20, 20), (20, 20, 20)).astype(np.float32))
        np.testing.assert_array_equal(p.argmax(0), case.label)
        np.testing.assert_allclose(p.sum(0), 1, atol=0.02)
        assert sorted(found[id].structures) == sorted(case.foreground)
        for index, voxels in found[id].structures.items():
            np.testing.assert_array_equal(voxels, case.foreground[index])


def test_a_case_is_asked_once_and_an_interrupted_recording_goes_on(
    study: Study, cases: dict[str, CachedCase], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = Knowing(study.dataset)
    of, cache = foreign(teacher, study), tmp_path / "cache"
    real, written = module.encoded, 0

    def failing(*given: Any) -> Any:
        nonlocal written
        written += 1
        if written == 2:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(module, "encoded", failing)
    with pytest.raises(KeyboardInterrupt):
        record_answers("teacher", of, study.dataset, cases, cache)
    assert len(list((cache / "answers").iterdir())) == 1  # nothing half-written is left
    monkeypatch.setattr(module, "encoded", real)
    record_answers("teacher", of, study.dataset, cases, cache)
    first, second, third = study.split.train
    assert teacher.asked == [first, second, second, third]
    assert module.unrecorded(of, cases, cache) == []
    record_answers("teacher", of, study.dataset, cases, cache)
    assert len(teacher.asked) == 4


def test_two_that_record_at_once_share_the_cases(
    study: Study, cases: dict[str, CachedCase], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, both = Knowing(study.dataset), threading.Barrier(2, timeout=30)
    of, cache = foreign(teacher, study), tmp_path / "cache"
    found: list[int] = []

    def record() -> None:
        both.wait()
        found.append(len(record_answers("teacher", of, study.dataset, cases, cache)))

    threads = [threading.Thread(target=record) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [len(cases)] * 2
    assert sorted(teacher.asked) == sorted(cases)
    assert len(list((cache / "answers").iterdir())) == len(cases)


def test_another_teacher_other_classes_or_another_plan_are_other_answers(
    study: Study, cases: dict[str, CachedCase], tmp_path: Path
) -> None:
    cache, teacher = tmp_path / "cache", Knowing(study.dataset)
    plain = foreign(teacher, study)
    others = [
        replace(plain, classes=match_classes(teacher, (*study.dataset.classes[:2], "organ"))),
        replace(plain, shown={"MR": "CT"}),
    ]
    one = {study.split.train[0]: cases[study.split.train[0]]}
    record_answers("teacher", plain, study.dataset, one, cache)
    moved = study.plan.model_copy(update={"spacing_mm": (2.0, 2.0, 2.0)})
    coarse = cache_cases(study.dataset, list(one), moved, folder=cache)
    record_answers("teacher", plain, study.dataset, coarse, cache)
    assert len(list((cache / "answers").iterdir())) == 2
    keys = {module._key(of, case) for of in (plain, *others) for case in (*one.values(), *coarse.values())}
    assert len(keys) == 6


def test_answers_that_the_disk_cannot_hold_are_refused_before_the_teacher_is_asked(
    study: Study, cases: dict[str, CachedCase], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = Knowing(study.dataset)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(UserError, match=r"for 3 cases take 0\.1 MB") as caught:
        record_answers("teacher", foreign(teacher, study), study.dataset, cases, tmp_path / "cache")
    assert "free space" in caught.value.fix
    assert teacher.asked == []


def test_what_they_take_is_known_before(study: Study, cases: dict[str, CachedCase], tmp_path: Path) -> None:
    of = foreign(Knowing(study.dataset), study)
    found = record_answers("teacher", of, study.dataset, cases, tmp_path / "cache")
    assert answer_bytes(of.classes, list(cases.values())) == sum(
        f.answers.values.nbytes for f in found.values()
    )


@pytest.mark.parametrize(
    ("theirs", "dataset", "given", "found"),
    [
        (("CT", "PET"), ("pet", "ct"), None, {"CT": "ct", "PET": "pet"}),
        (("MRI",), ("T1",), None, {"MRI": "T1"}),
        (("0", "1"), ("CT", "PET"), ("PET", "CT"), {"0": "PET", "1": "CT"}),
    ],
)
def test_modalities_are_found_by_name_or_as_told(
    theirs: tuple[str, ...], dataset: tuple[str, ...], given: tuple[str, ...] | None, found: dict[str, str]
) -> None:
    teacher = Numbers(np.zeros((1, 1, 1, 1), np.float32), classes("background"), modalities=theirs)
    assert shown_modalities(teacher, dataset, given) == found


@pytest.mark.parametrize(
    ("theirs", "given"), [(("CT", "PET"), None), (("0",), ("CT", "PET")), (("0", "1"), ("CT", "US"))]
)
def test_modalities_that_are_not_clear_are_refused(
    theirs: tuple[str, ...], given: tuple[str, ...] | None
) -> None:
    teacher = Numbers(np.zeros((1, 1, 1, 1), np.float32), classes("background"), modalities=theirs)
    with pytest.raises(UserError, match="the dataset has CT, MR") as caught:
        shown_modalities(teacher, ("CT", "MR"), given)
    assert "--teacher-modalities" in caught.value.fix


def test_damaged_answers_are_told(study: Study, cases: dict[str, CachedCase], tmp_path: Path) -> None:
    of, cache = foreign(Knowing(study.dataset), study), tmp_path / "cache"
    record_answers("teacher", of, study.dataset, cases, cache)
    for entry in (cache / "answers").iterdir():
        (entry / "about.json").write_text("{")
    with pytest.raises(UserError, match="are damaged"):
        record_answers("teacher", of, study.dataset, cases, cache)


def test_a_patch_of_answers_is_the_patch_of_its_image(
    study: Study, cases: dict[str, CachedCase], tmp_path: Path
) -> None:
    id = study.split.train[0]
    found = record_answers(
        "t", foreign(Knowing(study.dataset), study), study.dataset, {id: cases[id]}, tmp_path / "c"
    )
    codes = torch.from_numpy(np.array(found[id].answers.values))
    piece = found[id].answers.cut((3, -2, 15), (8, 8, 8), (20, 20, 20))
    inside = found[id].answers.table[codes[:, 3:11, 0:6, 15:20].numpy()]
    np.testing.assert_array_equal(piece[:, :, 2:, :5], inside)
    np.testing.assert_array_equal(piece[:, :, 0], piece[:, :, 2])  # the edge is repeated beyond the image
