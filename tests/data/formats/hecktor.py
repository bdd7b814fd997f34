"""A phantom as HECKTOR 2021 is handed out: CT and PET on grids of their own, a table of boxes beside them."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

CT = ((40, 36, 14), (1.5, 1.5, 4.0))  # voxels, mm
PET = ((22, 20, 18), (4.0, 4.0, 4.0))
BOX_MM = 36.0
RADIUS_MM = 8.0


def write_hecktor(folder: Path, *, cases: int = 5, boxes: bool = True) -> Path:
    """`cases` patients in `folder`/hecktor_nii: a tumour hot in PET (SUV 8 in 1) and faint in CT, in its box.

    Voxels run to the left, the back and the head, as SimpleITK writes them.
    """
    images = folder / "hecktor_nii"
    images.mkdir(parents=True)
    rows = ["PatientID,x1,x2,y1,y2,z1,z2"]
    for number in range(cases):
        name, random = f"CHGJ{number + 7:03d}", np.random.default_rng(number)
        tumour = random.uniform(-5, 5, 3)  # LPS, mm
        for part, (shape, spacing_mm) in (("ct", CT), ("pt", PET)):
            spacing, aside_mm = np.array(spacing_mm), np.array([1.0, -2.0, 0.5]) if part == "pt" else 0.0
            origin = -(np.array(shape) - 1) / 2 * spacing + aside_mm
            at_mm = origin + spacing * np.stack(np.indices(shape), -1)
            inside = np.linalg.norm(at_mm - tumour, axis=-1) < RADIUS_MM
            affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ nib.affines.from_matvec(np.diag(spacing), origin)
            if part == "ct":
                image = random.normal(40, 20, shape) + 30 * inside
                _save(images / f"{name}_gtvt.nii.gz", inside.astype(np.uint8), affine)
            else:
                image = random.uniform(0.5, 1.5, shape) + 7 * inside
            _save(images / f"{name}_{part}.nii.gz", image.astype(np.float32), affine)
        low, high = tumour.round() - BOX_MM / 2, tumour.round() + BOX_MM / 2
        rows.append(",".join([name, *(f"{mm}" for pair in zip(low, high, strict=True) for mm in pair)]))
    if boxes:
        (folder / "hecktor2021_bbox_training.csv").write_text("\n".join(rows) + "\n")
    return folder


def _save(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    nib.save(nib.Nifti1Image(array, affine), path)
