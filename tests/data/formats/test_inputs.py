"""What a user names is found case by case; what cannot be a case is refused with what was expected."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from distilseg.data.case import Source
from distilseg.data.formats.inputs import find_cases, find_cases_with_some
from distilseg.data.phantom.volumes import write_phantom

MODALITIES = ("CT", "PET", "MR")


@pytest.mark.parametrize(
    ("files", "modalities", "refused"),
    [
        (
            ["a_0000"],
            ("CT", "PET"),
            "the model expects 2 3D scans a case: CT, PET, named a_0000 (CT), a_0001 (PET)",
        ),
        (["a_0000", "a_0001"], ("CT",), "the model expects one 3D scan a case: CT"),
        (["a_0000", "a_0001", "a_0002"], ("CT", "PET"), "found a_0000.nii.gz, a_0001.nii.gz, a_0002.nii.gz"),
        (["a", "a_0000"], ("CT",), "found a.nii.gz, a_0000.nii.gz"),
    ],
)
def test_a_wrong_number_of_modalities_names_the_expected(
    tmp_path: Path, files: Sequence[str], modalities: Sequence[str], refused: str
) -> None:
    for file in files:
        (tmp_path / f"{file}.nii.gz").touch()
    cases, why = find_cases(tmp_path, modalities)
    assert cases == []
    assert refused in why["a"]


def test_numbers_may_count_cases(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        (tmp_path / f"scan_{number:04d}.nii.gz").touch()
    cases, refused = find_cases(tmp_path, ("MR",))
    assert [case.id for case in cases] == ["scan_0001", "scan_0002", "scan_0010"]
    assert cases[0].images == {"MR": Source(tmp_path / "scan_0001.nii.gz")}
    assert refused == {}


def test_a_dataset_with_files_missing(tmp_path: Path) -> None:
    write_phantom(
        tmp_path / "SCANS",
        cases=2,
        shape=(16, 16, 16),
        spacing_mm=(1, 1, 1),
        modalities=MODALITIES,
        layout="nnunet",
    )
    (tmp_path / "SCANS" / "imagesTr" / "phantom_000_0001.nii.gz").unlink()
    found = find_cases_with_some(tmp_path / "SCANS", MODALITIES)
    cases = found.cases
    assert not found.refused
    assert [tuple(case.images) for case in cases] == [("CT", "MR"), MODALITIES]


def test_two_files_of_one_modality_are_refused(tmp_path: Path) -> None:
    for name in ("a_CT", "a_0000", "b-pet", "b_mr"):
        (tmp_path / f"{name}.nii.gz").touch()
    found = find_cases_with_some(tmp_path, MODALITIES)
    cases, refused = found.cases, found.refused
    assert list(refused) == ["a"]
    assert "case a: a_0000.nii.gz and a_CT.nii.gz are both CT" in refused["a"]
    assert [(case.id, tuple(case.images)) for case in cases] == [("b", ("PET", "MR"))]
