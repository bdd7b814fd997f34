"""One scan, one process: what predicting it with an artefact does not wait for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from distilseg.data.planning.normalisation import Normalisation
from distilseg.data.planning.plan import Plan
from distilseg.data.scans.nifti import write
from distilseg.data.scans.reading import read_scan
from distilseg.data.scans.scan import Geometry, Scan
from distilseg.export.cost_probe import untrained_artefact

# Libraries that others of our commands need, and what those bring along.
NOT_WAITED_FOR = {
    *("typer", "click", "rich", "pydantic", "pydantic_core", "nibabel", "pydicom", "platformdirs"),
    *("torch", "monai", "scipy", "onnxruntime", "importlib.metadata", "ssl", "email", "difflib"),
    *("distilseg.cli.tree", "distilseg.teachers", "distilseg.networks", "distilseg.recipes"),
    *("distilseg.data.planning.fingerprint", "distilseg.training", "distilseg.data.scans.apart"),
    *("distilseg.data.scans.dicom.series", "distilseg.data.scans.dicom.segmentation"),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artefact for OpenVINO, and a scan."""
    folder = tmp_path_factory.mktemp("world")
    plan = Plan(
        dataset="phantom",
        modalities=("MR",),
        labels={0: "background", 1: "organ"},
        spacing_mm=(1, 1, 1),
        normalisation={"MR": Normalisation(kind="zscore")},
        patch=(16, 16, 16),
        strides=((1, 1, 1), (2, 2, 2), (2, 2, 2)),
        network="student_tiny",
    )
    untrained_artefact(folder / "artefact", plan, "openvino")
    voxels = np.random.default_rng(0).normal(100, 20, (20, 18, 16)).astype(np.float32)
    write(folder / "scan.nii.gz", voxels, Scan(voxels, Geometry(voxels.shape, np.eye(4)), folder / "scan"))
    return folder


def predicted(world: Path, out: str, **environment: str) -> set[str]:
    """Predicts in a process of its own; the modules that it imported."""
    code = (
        "import json, sys; from distilseg.cli import main\n"
        f"assert main(['predict', 'artefact', 'scan.nii.gz', {out!r}, '--threads', '1']) == 0\n"
        "print(json.dumps([name for name, module in sys.modules.items() if module is not None]))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=world,
        env={**os.environ, "XDG_CACHE_HOME": str(world / "cache"), **environment},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    return set(json.loads(ran.stdout.splitlines()[-1]))


def test_what_is_not_imported(world: Path) -> None:
    modules = predicted(world, "out")
    assert {"numpy", "openvino"} <= modules
    assert modules & NOT_WAITED_FOR == set()


def test_the_second_start_finds_the_network_and_predicts_the_same(world: Path) -> None:
    for out in ("first", "second"):
        predicted(world, out, DISTILSEG_KEEP_COMPILED="yes")
    (entry,) = (world / "cache" / "distilseg" / "networks").iterdir()
    assert entry.stat().st_size > 1000
    predicted(world, "third", DISTILSEG_KEEP_COMPILED="no")
    maps = {(world / out / "scan.nii.gz").read_bytes() for out in ("first", "second", "third")}
    assert len(maps) == 1
    assert read_scan(world / "first" / "scan.nii.gz").array.shape == (20, 18, 16)
