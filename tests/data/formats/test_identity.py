"""One scan, one patient, one class: a name that stands for two is refused where it is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from distilseg.data.formats import read_dataset
from distilseg.errors import UserError

from ..small_datasets import image, label, nnunet, write


@pytest.mark.parametrize(
    ("part", "twin"),
    [
        ("imagesTr", "case_0_0000.nii"),
        ("imagesTr", "CASE_0_0000.nii.gz"),
        ("labelsTr", "case_0.nrrd"),
        ("labelsTr", "Case_0.nii.gz"),
    ],
)
def test_twins_in_nnunets_folders(part: str, twin: str, tmp_path: Path) -> None:
    folder = nnunet(tmp_path / "set")
    (folder / part / twin).write_bytes(b"")
    with pytest.raises(UserError, match=r"stands twice|differ by case or ending") as refused:
        read_dataset(folder)
    assert str(folder / part / twin) in str(refused.value)


def table(folder: Path, *rows: str) -> Path:
    for name in "ab":
        write(folder / f"{name}.nii.gz", image(ord(name)))
        write(folder / f"{name}_seg.nii.gz", label(1))
    path = folder / "cases.csv"
    path.write_text("\n".join(["case,image:CT,label,patient", *rows]))
    return path


@pytest.mark.parametrize(
    "row", ["two,a.nii.gz,b_seg.nii.gz,", "two,./b/../a.nii.gz,b_seg.nii.gz,", "two,b.nii.gz,a_seg.nii.gz,"]
)
def test_one_file_under_two_cases(row: str, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(UserError, match=r"one file belongs to two cases: .* to one, .* to two"):
        read_dataset(table(tmp_path, "one,a.nii.gz,a_seg.nii.gz,", row))


def test_one_file_through_a_link(tmp_path: Path) -> None:
    rows = "one,a.nii.gz,a_seg.nii.gz,", "two,link.nii.gz,b_seg.nii.gz,"
    path = table(tmp_path, *rows)
    os.symlink(tmp_path / "a.nii.gz", tmp_path / "link.nii.gz")
    with pytest.raises(UserError, match="one file belongs to two cases"):
        read_dataset(path)


def test_one_patients_scan_may_have_two_readers(tmp_path: Path) -> None:
    dataset = read_dataset(table(tmp_path, "one,a.nii.gz,a_seg.nii.gz,P", "two,a.nii.gz,b_seg.nii.gz,P"))
    assert {case.group for case in dataset.cases} == {"P"}  # no split separates them


def test_one_patient_in_two_spellings(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'P1' \(case one\) and 'p1' \(case two\) differ by case"):
        read_dataset(table(tmp_path, "one,a.nii.gz,a_seg.nii.gz,P1", "two,b.nii.gz,b_seg.nii.gz,p1"))
