"""Small datasets for tests, written with nibabel so that our own writing is not part of the question."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

SHAPE = (8, 7, 6)
OBLIQUE = np.array(  # 30 degrees about z, then 20 about x; 0.9 x 1.1 x 2.5 mm
    [
        [0.7794228634059948, -0.55, 0.0, -91.25],
        [0.4228616937156106, 0.8951676371, -0.8550503583, 12.5],
        [0.1539090645, 0.3258138543, 2.3492315520, -603.75],
        [0.0, 0.0, 0.0, 1.0],
    ]
)


def image(seed: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1000, 1000, shape).astype(np.int16)


def label(*values: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """A label map with one slice along J per value, background elsewhere."""
    array = np.zeros(shape, np.uint8)
    for j, value in enumerate(values):
        array[:, j] = value
    return array


def write(path: Path, array: np.ndarray, affine: np.ndarray | None = None, **header: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nifti = nib.Nifti1Image(array, np.diag([1.0, 1.0, 2.0, 1.0]) if affine is None else affine)
    for name, value in header.items():
        nifti.header[name] = value
    nib.save(nifti, path)
    return path


def write_json(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def nnunet(folder: Path, cases: int = 3, channels: tuple[str, ...] = ("CT", "PET"), **changes: Any) -> Path:
    """A sound nnU-Net v2 raw dataset with the labels background, tumour, organ."""
    for c in range(cases):
        for m in range(len(channels)):
            write(folder / "imagesTr" / f"case_{c}_{m:04d}.nii.gz", image(10 * c + m))
        write(folder / "labelsTr" / f"case_{c}.nii.gz", label(1, 2))
    described = {
        "channel_names": {str(m): name for m, name in enumerate(channels)},
        "labels": {"background": 0, "tumour": 1, "organ": 2},
        "numTraining": cases,
        "file_ending": ".nii.gz",
    }
    write_json(folder / "dataset.json", described | changes)
    return folder


def decathlon(folder: Path, cases: int = 2, channels: int = 1, **changes: Any) -> Path:
    """A sound Decathlon dataset; several channels lie along the fourth axis."""
    shape = SHAPE if channels == 1 else (*SHAPE, channels)
    for c in range(cases):
        write(folder / "imagesTr" / f"case_{c}.nii.gz", image(c, shape))
        write(folder / "labelsTr" / f"case_{c}.nii.gz", label(1))
    described = {
        "name": "Small",
        "modality": {str(m): f"M{m}" for m in range(channels)},
        "labels": {"0": "background", "1": "tumour"},
        "training": [
            {"image": f"./imagesTr/case_{c}.nii.gz", "label": f"./labelsTr/case_{c}.nii.gz"}
            for c in range(cases)
        ],
    }
    write_json(folder / "dataset.json", described | changes)
    return folder
