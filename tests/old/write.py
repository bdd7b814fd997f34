"""Writes what later commits must open: `PYTHONPATH=<checkout>/src python write.py OUT`, a new folder.

Made-up scans of 16 voxels, their plan, a case of the cache; a student and how it was judged, the same as two
artefacts, and the label map that it gave one case.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from distilseg import commands
from distilseg.training.machine import Machine

CPU = Machine(device="cpu", precision="32-true")
# What `train` is asked for, here and by the test.
ASKED: dict[str, Any] = {
    "recipe": "dual_self_distillation",
    "options": {"network": "unet", "network_options": {"filters": [2, 4, 4], "residual_units": 0}},
    "control": False,
    "steps": 120,
    "validations": 2,
    "batch_size": 4,
    "learning_rate": 1e-2,
}
CASES = tuple(f"case_{number}" for number in range(4))


def write(out: Path) -> None:
    """Everything, below the new folder `out`."""
    torch.set_num_threads(1)
    out.mkdir(parents=True)
    os.chdir(out)
    write_scans(Path("scans"))
    commands.plan("scans", out="plan.json", patch=(16, 16, 16), levels=3)
    *_, run = commands.train(
        data="scans", plan=Path("plan.json"), runs="trained", cache=Path("cache"), machine=CPU, **ASKED
    )
    commands.export(run, "openvino", out="openvino.zip")
    commands.export(run, "torch", out="torch")
    commands.predict(run.folder, f"scans/imagesTr/{CASES[0]}.nii.gz", "answer.nii.gz")
    for entry in sorted(Path("cache").iterdir())[1:]:  # one case is enough
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    for about in Path("trained").rglob("experiment.json"):  # where that was is nobody's business
        told = {**json.loads(about.read_text()), "command": ["write.py"]}
        told["dataset"]["folder"] = "scans"
        about.write_text(json.dumps(told, indent=2) + "\n")


def write_scans(folder: Path) -> None:
    """A bright ball and a brighter box in each case, in Decathlon's layout."""
    for place in ("imagesTr", "labelsTr"):
        (folder / place).mkdir(parents=True)
    voxels = np.stack(np.meshgrid(*[np.arange(16)] * 3, indexing="ij"))
    affine = np.diag([-1.5, 1.5, 2.0, 1.0])
    for number, case in enumerate(CASES):
        rng = np.random.default_rng(number)
        ball, box = rng.integers(4, 7, 3), rng.integers(10, 12, 3)
        label = np.zeros((16, 16, 16), np.uint8)
        label[((voxels - ball[:, None, None, None]) ** 2).sum(0) <= 12] = 1
        label[(abs(voxels - box[:, None, None, None]) <= 2).all(0)] = 2
        image = (label * 200 + 20 * rng.integers(0, 3, label.shape)).astype(np.int16)
        nib.save(nib.Nifti1Image(image, affine), folder / "imagesTr" / f"{case}.nii.gz")
        nib.save(nib.Nifti1Image(label, affine), folder / "labelsTr" / f"{case}.nii.gz")
    about = {
        "name": "Old",
        "licence": "CC0-1.0",
        "reference": "made up",
        "modality": {"0": "MR"},
        "labels": {"0": "background", "1": "ball", "2": "box"},
        "training": [
            {"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"} for case in CASES
        ],
    }
    (folder / "dataset.json").write_text(json.dumps(about, indent=2))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
