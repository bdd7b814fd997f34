"""nnU-Net and MONAI themselves run what is written for them, and answer as the run does.

They are asked where `DISTILSEG_NNUNET` names an environment with nnunetv2, `DISTILSEG_MONAI` one with MONAI,
nibabel, pytorch-ignite and fire; and skipped where they do not.
"""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distilseg.data.scans.reading import read_scan
from distilseg.export.for_others import _pack
from distilseg.export.monai_bundle import write_bundle
from distilseg.export.nnunet_folder import write_nnunet

from .handed_on import FEET_FIRST, LPS, by_run, plan_of, scans_at, student_of
from .test_monai_bundle import PLANS as OF_MONAI
from .test_monai_bundle import REGIONS, UNET
from .test_nnunet_folder import FLAT, OTHERS, PLAIN, SMALL
from .test_nnunet_folder import PLANS as OF_NNUNET

NETWORKS = """
import sys
from pathlib import Path
import numpy as np, torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
for folder in map(Path, sys.argv[1:]):
    predictor = nnUNetPredictor(device=torch.device("cpu"))
    predictor.initialize_from_trained_model_folder(str(folder), (0,))
    network = predictor.network.eval()
    with torch.inference_mode():
        answer = network(torch.from_numpy(np.load(folder / "shown.npy")))
    np.save(folder / "answer.npy", answer.numpy())
"""
LABELS = """
import sys
from pathlib import Path
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
for folder in map(Path, sys.argv[1:]):
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(folder / "model"), (0,))
    scans = [str(path) for path in sorted(folder.glob("case_*.nii.gz"))]
    (folder / "out").mkdir()
    predictor.predict_from_files_sequential([scans], str(folder / "out"))
"""


def environment(name: str) -> Path:
    """The Python of the environment that a variable names; skips where it names none."""
    place = os.environ.get(name)
    if not place:
        pytest.skip(f"${name} names no environment")
    return Path(place) / "bin" / "python"


def asked(python: Path, *words: str, cwd: Path | None = None, **variables: str) -> None:
    """Runs a program of that environment; its last lines are the failure's message."""
    own = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    for folder in ("raw", "preprocessed", "results"):
        own.setdefault(f"nnUNet_{folder}", str(cwd or Path.cwd()))
    ran = subprocess.run(
        [str(python), *words],
        env={**own, "OMP_NUM_THREADS": "1", **variables},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]


def test_nnunets_networks_take_the_weights_and_answer_alike(tmp_path: Path) -> None:
    python = environment("DISTILSEG_NNUNET")
    shown = np.random.default_rng(0).normal(size=(1, 1, 16, 16, 16)).astype(np.float32)
    answers = {}
    for name, of in OTHERS.items():
        student = student_of(plan_of(), *of)
        folder = tmp_path / ("of " + name).replace(" ", "-")
        folder.mkdir()
        write_nnunet(student, folder, 3)
        np.save(folder / "shown.npy", shown)
        with torch.inference_mode():
            answers[folder] = student.network(torch.from_numpy(shown)).numpy()
    asked(python, "-c", NETWORKS, *map(str, answers), cwd=tmp_path)
    for folder, logits in answers.items():
        np.testing.assert_allclose(np.load(folder / "answer.npy"), logits, atol=1e-4, err_msg=folder.name)


def test_nnunet_predicts_the_labels_of_the_run(tmp_path: Path) -> None:
    python = environment("DISTILSEG_NNUNET")
    plans: dict[str, dict[str, Any]] = {**OF_NNUNET, "regions": REGIONS}
    expected = {}
    for name, changed in plans.items():
        folder = tmp_path / ("of " + name).replace(" ", "-")
        (folder / "model").mkdir(parents=True)
        plan = plan_of(**changed)
        student = student_of(
            plan,
            PLAIN,
            SMALL if plan.slice_axis is None else FLAT,
            answers="regions" if name == "regions" else "classes",
        )
        scans = scans_at(folder, plan, axes=FEET_FIRST)
        expected[folder] = write_nnunet(student, folder / "model", 3).values, by_run(student, scans)[1]
    asked(python, "-c", LABELS, *map(str, expected), cwd=tmp_path)
    for folder, (values, labels) in expected.items():
        theirs = np.vectorize(values.get)(read_scan(folder / "out" / "case.nii.gz").array)
        assert len(np.unique(labels)) > 1
        assert (theirs != labels).mean() < 0.01, folder.name  # its sums are of half precision


def test_nnunet_installs_the_zip_and_predicts_by_its_commands(tmp_path: Path) -> None:
    python = environment("DISTILSEG_NNUNET")
    student = student_of(plan_of(), PLAIN, SMALL, inferer={"mirror": True})
    scans, out = tmp_path / "scans", tmp_path / "out"
    scans.mkdir()
    labels = by_run(student, scans_at(scans, student.plan, axes=LPS))[1]
    (tmp_path / "model").mkdir()
    written = write_nnunet(student, tmp_path / "model", 3)
    _pack(tmp_path / "model", tmp_path / "student.zip", written.inside)
    for folder in ("raw", "preprocessed", "results"):
        (tmp_path / folder).mkdir()
    places = {f"nnUNet_{folder}": str(tmp_path / folder) for folder in ("raw", "preprocessed", "results")}
    program = python.parent
    asked(
        program / "nnUNetv2_install_pretrained_model_from_zip",
        str(tmp_path / "student.zip"),
        cwd=tmp_path,
        **places,
    )
    at = ["-i", str(scans), "-device", "cpu", "-npp", "1", "-nps", "1"]
    words = written.use[-1].split()
    options = words[words.index("-d") :]
    asked(program / words[0], *at, "-o", str(out / "installed"), *options, cwd=tmp_path, **places)
    model = ["-m", str(tmp_path / "model"), "-f", "0"]
    asked(program / written.use[0].split()[0], *at, "-o", str(out / "folder"), *model, cwd=tmp_path, **places)
    for place in ("installed", "folder"):
        assert (read_scan(out / place / "case.nii.gz").array != labels).mean() < 0.01


def test_monai_runs_the_bundle_and_gives_the_labels_of_the_run(tmp_path: Path) -> None:
    python = environment("DISTILSEG_MONAI")
    for name in ("regions", "modalities apart", "gaps"):
        place = tmp_path / name.replace(" ", "-")
        bundle, scans = place / "bundle", place / "scans"
        bundle.mkdir(parents=True)
        scans.mkdir()
        plan = plan_of(**{**OF_MONAI, "regions": REGIONS}[name])
        student = student_of(plan, "unet", UNET, answers="regions" if name == "regions" else "classes")
        labels = by_run(student, scans_at(scans, plan, axes=FEET_FIRST))[1]
        written = write_bundle(student, bundle, 3)
        words = written.use[-1].split()[1:]
        words[words.index("SCANS")], words[words.index("PREDICTIONS")] = str(scans), str(place / "out")
        asked(python, *words, cwd=bundle)
        (path,) = (place / "out").glob("*.nii.gz")
        assert (read_scan(path).array != labels).mean() < 1e-3, name
        assert len(np.unique(labels)) > 1


def test_the_zip_is_what_it_says(tmp_path: Path) -> None:
    """What nnU-Net's installer looks for, also where nnU-Net is not asked."""
    (tmp_path / "model").mkdir()
    written = write_nnunet(student_of(plan_of(), PLAIN, SMALL), tmp_path / "model", 3)
    _pack(tmp_path / "model", tmp_path / "student.zip", written.inside)
    with zipfile.ZipFile(tmp_path / "student.zip") as packed:
        plans = json.loads(packed.read(f"{written.inside}/plans.json"))
    dataset, model = written.inside.split("/")
    assert dataset == plans["dataset_name"]
    assert model == f"nnUNetTrainer__{plans['plans_name']}__{next(iter(plans['configurations']))}"
