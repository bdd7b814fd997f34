"""Artefacts of models that nnU-Net itself trained, against the label maps that nnU-Net itself wrote."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from distilseg.commands import export
from distilseg.data.scans.reading import read_scan
from distilseg.teachers.teacher import TeacherOptions

from ...export.test_export import TRAINING, WITHOUT_TRAINING
from ...teachers.fixtures import teachers
from ...teachers.nnunet.test_genuine_models import (
    MODELS,
    answered,
    described,
    expected,
    hardly_weighed,
    opened,
)
from .shipped import as_artefact

pytestmark = pytest.mark.real_data


@pytest.mark.parametrize(
    ("name", "mirror"),
    [*((name, False) for name in MODELS), ("c_plain_2d", True), ("d_lowres", True), ("e_regions", True)],
)
def test_labels_are_nnunets(name: str, mirror: bool) -> None:
    teacher, scans = opened(name, mirror)
    labels = as_artefact(teacher).segment(scans, case=name)
    assert np.mean(labels != teacher.labels(answered(name, mirror), scans)) <= 1e-4
    theirs = expected(name, "labels", ".nii.gz", mirror)
    assert (labels != theirs)[~hardly_weighed(name, mirror)].mean() <= 1e-3
    assert (labels != theirs).mean() <= 4e-3  # with corners, where nnU-Net's float16 keeps no digits


@pytest.mark.parametrize(("name", "target"), [("f_ct_pet", "openvino"), ("a_plain_3d_2folds", "onnx")])
def test_exported_they_are_too_in_a_process_without_torch(name: str, target: str, tmp_path: Path) -> None:
    about = described(name)
    folds = tuple(str(fold) for fold in about["folds"])
    inputs = teachers() / about["inputs"]
    exported = export(
        teachers() / about["folder"],
        target,
        out=tmp_path / "model",
        data=inputs,
        cases=about["cases"],
        teacher=TeacherOptions(folds=folds),
    )
    assert exported.parity[0].voxels <= 1e-4 * exported.parity[0].of_voxels
    program = tmp_path / "without_training.py"
    program.write_text(WITHOUT_TRAINING.replace("{names!r}", repr(TRAINING)))
    words = [
        sys.executable,
        str(program),
        "predict",
        str(tmp_path / "model"),
        str(inputs),
        str(tmp_path / "out"),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert (done.returncode, done.stderr) == (0, "")
    (case,) = about["cases"]
    labels = read_scan(tmp_path / "out" / f"{case}.nii.gz").array
    assert np.mean(labels != expected(name, "labels", ".nii.gz")) <= 1e-3
