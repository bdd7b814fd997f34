"""Label maps saved by the page are those of `distilseg predict`, byte by byte.

Windows, fitted ones, slices, slabs, regions, views; scans of every orientation, oblique, of odd types; and
thirty real ones.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from distilseg.commands import predict
from distilseg.data.planning.normalisation import Normalisation
from distilseg.export.web.making import export_page

from . import made
from .driving import by_case, differing, driven, needs_browser

pytestmark = needs_browser

FITTED = {
    "kind": "fitted_windows",
    "patch": [16, 16, 16],
    "multiple": [8, 8, 8],
    "least": [16, 16, 16],
    "most": [32, 32, 32],
    "overlap": [4, 4, 4],
    "most_voxels": 2**15,
}
SLICES = {"kind": "slices", "patch": [24, 24], "axis": 2, "overlap": 0.5}
SLABS = {"kind": "slabs", "patch": [16, 3, 16], "axis": 1, "divisor": 8}
REGIONS = {"regions": {"whole": (1, 2), "core": (2,)}}
CT = Normalisation(kind="window_zscore", low=-100, high=300, mean=80.5, std=60.25)

KINDS: dict[str, dict[str, Any]] = {
    "windows": {},
    "windows fitted": {"inferers": [FITTED], "plan": made.plan_of(crop="nonzero", how=CT)},
    "slices": {"inferers": [SLICES], "plan": made.plan_of(orientation="LPS")},
    "slabs": {"inferers": [SLABS], "plan": made.plan_of(orientation="SAR")},
    "regions": {"plan": made.plan_of(**REGIONS), "answers": "regions"},
    "views that vote": {"inferers": [made.SLIDING, made.SLIDING, SLABS], "fusion": {"how": "vote"}},
}


def scans(folder: Path, count: int = 2) -> list[Path]:
    """Plain ones, or with `count` of 7 and more also those of odd geometries and types."""
    folder.mkdir()
    rng = np.random.default_rng(11)
    turned = np.array([[0.956, -0.292, 0], [0.292, 0.956, 0], [0, 0, 1]])  # by 17 degrees
    odd: list[tuple[Any, Any, str]] = [
        (np.diag([-1, -1, 1]), np.int16, "s"),
        (np.array([[0, 0, 1], [1, 0, 0], [0, -1, 0]]), np.uint8, "s"),
        (turned, np.float32, "s"),
        (turned, np.int16, "q"),
        (np.diag([1.3, 0.8, 2.2]), np.float32, "s"),
        (np.diag([0.9, 1.1, 1.4]), np.int16, "s"),
        (np.eye(3), np.float64, "s"),
    ]
    paths = []
    for n in range(count):
        axes, dtype, form = odd[n % len(odd)]
        shape = tuple(int(size) for size in rng.integers(18, 40, 3))
        places = np.indices(shape) / np.reshape(shape, (3, 1, 1, 1))
        image = rng.normal(60, 25, shape)
        for value in (60, 90):
            centre = rng.uniform(0.3, 0.7, (3, 1, 1, 1))
            image += value * (np.square((places - centre) / 0.3).sum(0) < 1)
        affine = np.eye(4)
        affine[:3, :3], affine[:3, 3] = axes, rng.normal(0, 40, 3)
        saved = nibabel.Nifti1Image(image.clip(0, 250).astype(dtype), affine)
        if form == "q":
            saved.header.set_sform(affine, code=0)
            saved.header.set_qform(affine, code=1)
        paths.append(folder / f"case_{n:02d}.nii{'.gz' * (n != 1)}")
        nibabel.save(saved, paths[-1])
        if n == 4:  # gzip of two members, with zeros behind
            whole = gzip.decompress(paths[-1].read_bytes())
            members = gzip.compress(whole[:5000]), gzip.compress(whole[5000:]), bytes(99)
            paths[-1].write_bytes(b"".join(members))
    return paths


def check(browser: Any, artefact: Path, page: Path, files: list[Path], folder: Path) -> None:
    predict(artefact, files, folder / "predicted")
    predicted = by_case(folder / "predicted")
    with driven(browser, page) as there:
        assert "Equal to the exporter: yes" in there.verdict()
        saved = there.segmented(files, folder / "saved")
        assert there.complaints == []
    assert differing(saved, predicted) == []
    found = {int(value) for path in saved.values() for value in np.unique(nibabel.load(path).dataobj)}
    assert found == {0, 1, 2}  # or equality would say nothing


@pytest.mark.parametrize("kind", KINDS)
def test_label_maps_are_those_of_predict(browser: Any, kind: str, tmp_path: Path) -> None:
    artefact = made.artefact(tmp_path / "artefact", noise=0.05, **KINDS[kind])
    page = export_page(artefact, tmp_path / "page.html").path
    count = 7 if kind == "windows" else 2
    check(browser, artefact.path, page, scans(tmp_path / "scans", count), tmp_path)


def test_two_modalities_are_told_by_their_names(browser: Any, tmp_path: Path) -> None:
    plan = made.plan_of(modalities=("MR", "PET"), crop="center", crop_voxels=(20, 30, 20))
    artefact = made.artefact(tmp_path / "artefact", plan, noise=0.05)
    files = []
    for scan in scans(tmp_path / "scans", 2):
        first = nibabel.load(scan)
        second = np.asarray(first.dataobj)[::-1].astype(np.float32) * 0.7
        for n, image in enumerate((first, nibabel.Nifti1Image(second, first.affine))):
            files.append(tmp_path / f"{scan.name.partition('.')[0]}_{n:04d}.nii.gz")
            nibabel.save(image, files[-1])
    page = export_page(artefact, tmp_path / "page.html").path
    check(browser, artefact.path, page, files, tmp_path)


@pytest.mark.real_data
def test_thirty_real_scans(browser: Any, real_data: Path, tmp_path: Path) -> None:
    files = sorted((real_data / "Task04_Hippocampus" / "imagesTr").glob("hippocampus_*.nii.gz"))[:30]
    assert len(files) == 30
    artefact = made.artefact(tmp_path / "artefact", noise=0.05)
    check(browser, artefact.path, export_page(artefact, tmp_path / "page.html").path, files, tmp_path)
