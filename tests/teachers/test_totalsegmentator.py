"""TotalSegmentator's folders: RAS, nothing mirrored, its steps, and the terms of its licensed tasks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from distilseg.teachers import totalsegmentator
from distilseg.teachers.nnunet.model import NnUNetTeacher
from distilseg.teachers.teacher import TeacherOptions

from .nnunet.small import scan_of, write_model


def opened(path: Path, **options: bool | float | str) -> NnUNetTeacher:
    """As TotalSegmentator's."""
    assert totalsegmentator.recognises(path)
    teacher = totalsegmentator.open_as_teacher(path, TeacherOptions(device="cpu", **options))  # type: ignore[arg-type]
    assert isinstance(teacher, NnUNetTeacher)
    return teacher


@pytest.mark.parametrize(
    ("dataset", "step"),
    [
        ("Dataset297_TotalSegmentator_total_3mm_1559subj", 0.8),
        ("Dataset850_TotalSegMRI_part1_organs_1088subj", 0.8),
        ("Dataset300_body_6mm_1559subj", 0.5),
    ],
)
def test_how_it_is_run(dataset: str, step: float, tmp_path: Path) -> None:
    folder = write_model(tmp_path, dataset_folder=dataset, trainer="nnUNetTrainer_4000epochs_NoMirroring")
    for path in (folder, folder.parent, tmp_path, folder / "fold_0"):
        teacher = opened(path)
        assert (teacher.orientation, teacher.mirrored, teacher.step) == ("RAS", (), step)
        assert teacher.provenance.kind.startswith("TotalSegmentator (")
        assert "Wasserthal" in teacher.provenance.warnings[0]
    told = opened(folder, mirror=True, step=0.6, orientation="LPS")
    assert (told.orientation, told.mirrored, told.step) == ("LPS", (0, 1, 2), 0.6)


def test_a_scan_stored_otherwise_gives_the_same_answer(tmp_path: Path) -> None:
    teacher = opened(write_model(tmp_path, dataset_folder="Dataset298_TotalSegmentator_total_6mm_1559subj"))
    scan = scan_of()
    turned = scan_of()
    affine = scan.geometry.affine @ np.array([[-1, 0, 0, 11], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    turned = type(scan)(scan.array[::-1], type(scan.geometry)(scan.array.shape, affine), scan.path)
    first, second = (
        teacher.labels(teacher.answer({"CT": one}, case="a"), {"CT": one}) for one in (scan, turned)
    )
    assert len(np.unique(first)) > 1
    assert np.array_equal(first[::-1], second)


@pytest.mark.parametrize(
    ("dataset", "task"),
    [
        ("Dataset301_heart_highres_1559subj", "heartchambers_highres"),
        ("Dataset481_tissue_1559subj", "tissue_types"),
        ("Dataset409_neuro_550subj", "brain_structures"),
    ],
)
def test_licensed_tasks_are_told(dataset: str, task: str, tmp_path: Path) -> None:
    (warning,) = opened(write_model(tmp_path, dataset_folder=dataset)).provenance.warnings
    assert task in warning
    assert "needs a licence" in warning
    assert "do not distil" in warning


def test_a_number_alone_could_be_anybodys(tmp_path: Path) -> None:
    """Of a licensed task it is told; the model is run as nnU-Net's."""
    teacher = opened(write_model(tmp_path, dataset_folder="Dataset303_Prostate"))
    assert (teacher.orientation, teacher.mirrored, teacher.provenance.kind) == (None, (0, 1, 2), "nnU-Net v2")
    assert "has the number of TotalSegmentator's task face" in teacher.provenance.warnings[0]
    other = write_model(tmp_path / "b", dataset_folder="Dataset297_Prostate")
    assert not totalsegmentator.recognises(other)


def test_where_it_keeps_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / ".totalsegmentator" / "nnunet" / "results"
    assert opened(write_model(kept, dataset_folder="Dataset113_ToothFairy2")).orientation == "RAS"
    elsewhere = write_model(tmp_path / "weights", dataset_folder="Dataset999_new")
    assert not totalsegmentator.recognises(elsewhere)
    monkeypatch.setenv("TOTALSEG_WEIGHTS_PATH", str(tmp_path / "weights"))
    assert opened(elsewhere).orientation == "RAS"
