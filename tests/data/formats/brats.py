"""A phantom as BraTS hands it out: skull-stripped brains with nested tumours, one folder per patient."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np


def write_brats(folder: Path, *, hgg: int = 3, lgg: int = 2, shape: tuple[int, ...] = (40, 44, 36)) -> Path:
    """`hgg` + `lgg` patients: outside the brain 0; oedema (2) around a core (1) around enhancing tumour (4).

    The enhancing tumour is bright in T1ce, the oedema in FLAIR. LGG patients have no enhancing tumour.
    """
    for number in range(hgg + lgg):
        grade = "HGG" if number < hgg else "LGG"
        name = f"Brats18_TEST_{number}_1"
        random = np.random.default_rng(number)
        centre = np.array(shape) / 2 + random.uniform(-3, 3, 3)
        grid = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1)
        brain = (((grid - np.array(shape) / 2) / (np.array(shape) * 0.42)) ** 2).sum(-1) < 1
        distance = np.linalg.norm(grid - centre, axis=-1)
        label = np.zeros(shape, np.uint8)
        for value, radius in ((2, 9), (1, 6), (4, 3)):
            if value != 4 or grade == "HGG":
                label[distance < radius] = value
        bright = {"t1": {1: 50}, "t2": {2: 80, 1: 60}, "t1ce": {4: 200}, "flair": {2: 120}}
        patient = folder / grade / name
        patient.mkdir(parents=True)
        for part, added in bright.items():
            image = 300 + 20 * random.normal(size=shape)
            for value, more in added.items():
                image[label == value] += more
            image[~brain] = 0
            nib.save(nib.Nifti1Image(image.astype(np.int16), np.eye(4)), patient / f"{name}_{part}.nii.gz")
        nib.save(nib.Nifti1Image(label, np.eye(4)), patient / f"{name}_seg.nii.gz")
    (folder / "survival_data.csv").write_text("BraTS18ID,Age,Survival\n")
    return folder
