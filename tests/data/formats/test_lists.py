"""Paths in lists of files: variables and homes stand for what they do in a shell, in every layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from distilseg.data.formats import read_dataset
from distilseg.errors import UserError

from ..small_datasets import decathlon, nnunet, write_json


def of_nnunet(folder: Path, root: str) -> None:
    described = json.loads((folder / "dataset.json").read_text())
    images, label = (
        [f"{root}/imagesTr/case_0_{m:04d}.nii.gz" for m in range(2)],
        f"{root}/labelsTr/case_0.nii.gz",
    )
    write_json(folder / "dataset.json", described | {"dataset": {"a": {"images": images, "label": label}}})


def of_decathlon(folder: Path, root: str) -> None:
    described = json.loads(decathlon(folder, cases=1).joinpath("dataset.json").read_text())
    entry = {"image": f"{root}/imagesTr/case_0.nii.gz", "label": f"{root}/labelsTr/case_0.nii.gz"}
    write_json(folder / "dataset.json", described | {"training": [entry]})


def of_a_table(folder: Path, root: str) -> None:
    (folder / "dataset.json").unlink()
    row = f"a,{root}/imagesTr/case_0_0000.nii.gz,{root}/labelsTr/case_0.nii.gz"
    (folder / "cases.csv").write_text(f"case,image:CT,label\n{row}\n")


LISTS: list[Callable[[Path, str], None]] = [of_nnunet, of_decathlon, of_a_table]


@pytest.mark.parametrize("listing", LISTS)
@pytest.mark.parametrize("root", ["${SCANS_ROOT}", "$SCANS_ROOT", "~", "${SCANS_ABOVE}/data", "."])
def test_variables_and_homes(
    listing: Callable[[Path, str], None], root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = nnunet(tmp_path / "data", cases=1)
    monkeypatch.setenv("SCANS_ROOT", str(folder))
    monkeypatch.setenv("SCANS_ABOVE", str(tmp_path))
    monkeypatch.setenv("HOME", str(folder))
    listing(folder, root)
    (case,) = read_dataset(folder).cases
    paths = [*(source.path for source in case.images.values()), case.label]
    assert all(path is not None and path.is_file() for path in paths)


@pytest.mark.parametrize("listing", LISTS)
def test_a_variable_that_is_not_set(
    listing: Callable[[Path, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SCANS_ROOT", raising=False)
    folder = nnunet(tmp_path / "data", cases=1)
    listing(folder, "${SCANS_ROOT}")
    with pytest.raises(UserError, match=r"names the variable SCANS_ROOT, which is not set; set it, or write"):
        read_dataset(folder)


@pytest.mark.parametrize("listing", LISTS)
@pytest.mark.parametrize("name", ["$SCANS_ROOT", "~", "100%"])
def test_a_folder_that_is_called_so_is_meant(
    listing: Callable[[Path, str], None], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = nnunet(tmp_path / "data", cases=1)
    monkeypatch.setenv("SCANS_ROOT", str(tmp_path / "elsewhere"))
    listing(folder, name)
    (folder / name).mkdir()
    for part in ("imagesTr", "labelsTr"):
        (folder / part).rename(folder / name / part)
    (case,) = read_dataset(folder).cases
    assert case.label == folder / name / "labelsTr" / "case_0.nii.gz"
    assert case.label.is_file()
