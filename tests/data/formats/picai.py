"""A phantom as PI-CAI is handed out: three MR sequences of two resolutions, lesions by ISUP grade."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

T2W = ((40, 40, 8), (0.5, 0.5, 3.0))  # voxels, mm
DIFFUSION = ((14, 14, 8), (2.0, 2.0, 3.0))
SERIES = {"t2w": T2W, "hbv": DIFFUSION, "adc": DIFFUSION, "sag": T2W, "cor": T2W}


def write_picai(folder: Path, *, patients: int = 4, place: str = "picai_public_images_fold0") -> Path:
    """Patients 10000, 10001, ... with one study each, the first with a second; lesions of the grades 0 to 5.

    A lesion (2 to 5) is dark in ADC (-600 of 1500), bright in HBV. The last study has no label map.
    """
    labels = folder / "picai_labels/csPCa_lesion_delineations/human_expert/resampled"
    labels.mkdir(parents=True)
    studies = [(10000, 1000000), (10000, 1000001)]
    studies += [(10000 + n, 1000001 + n) for n in range(1, patients)]
    for number, (patient, study) in enumerate(studies):
        random, lesion = np.random.default_rng(number), (2.0, -1.0, 3.0)
        for part, (shape, spacing) in SERIES.items():
            at_mm = np.stack(np.indices(shape), -1) * spacing - (np.array(shape) - 1) / 2 * spacing
            inside = np.linalg.norm(at_mm - lesion, axis=-1) < 5
            image = random.normal(1500, 50, shape) + {"adc": -600, "hbv": 600}.get(part, -200) * inside
            name = folder / place / str(patient) / f"{patient}_{study}_{part}.mha"
            name.parent.mkdir(parents=True, exist_ok=True)
            _save(name, image.astype(np.int16), spacing)
            if part == "t2w" and number < len(studies) - 1:
                grade = (0, 2, 3, 5)[number % 4]
                _save(labels / f"{patient}_{study}.nii.gz", (grade * inside).astype(np.uint8), spacing)
    return folder


def _save(path: Path, array_IJK: np.ndarray, spacing_mm: tuple[float, ...]) -> None:
    image = sitk.GetImageFromArray(np.ascontiguousarray(array_IJK.T))
    image.SetSpacing(spacing_mm)
    image.SetOrigin([-(n - 1) / 2 * mm for n, mm in zip(array_IJK.shape, spacing_mm, strict=True)])
    sitk.WriteImage(image, str(path))
