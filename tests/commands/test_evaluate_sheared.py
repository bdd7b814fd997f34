"""Two folders of label maps on a grid whose axes lean: volumes by determinant, and a word about distances."""

from __future__ import annotations

import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from distilseg.cli import main
from distilseg.commands import evaluate


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    affine = np.diag([1.5, 1.5, 3.0, 1.0])
    affine[1, 2] = 3 * np.tan(np.radians(25))
    for name, stop in (("references", 15), ("predictions", 10)):
        label = np.zeros((20, 20, 20), np.uint8)
        label[5:15, 5:15, 5:stop] = 1
        (tmp_path / name).mkdir()
        nib.save(nib.Nifti1Image(label, affine), tmp_path / name / "case_1.nii.gz")
    return tmp_path / "references", tmp_path / "predictions"


def test_millilitres_are_true_and_distances_left_out(folders: tuple[Path, Path]) -> None:
    found = evaluate(*folders, labels={1: "organ"})
    values = {row["metric"]: row["value"] for row in found.rows if row["case"] == "case_1"}
    assert found.sheared == ("case_1",)
    assert values["volume_difference_ml"] == pytest.approx(-500 * 1.5 * 1.5 * 3 / 1000)
    assert values["dice"] == pytest.approx(2 / 3)
    assert math.isnan(values["hd95"])
    in_voxels = evaluate(*folders, labels={1: "organ"}, unit="voxel")
    assert {row["value"] for row in in_voxels.rows if row["metric"].startswith("hd95")} == {5.0}


def test_the_command_says_so(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", *map(str, folders), "--labels", "1=organ"]) == 0
    told = " ".join("".join(capsys.readouterr()).split())
    assert "sheared affine (a gantry tilt?) in: case_1; their distances in mm are left out" in told
