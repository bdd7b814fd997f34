"""Single slices of the phantom as 2D NIfTI or PNG with a label PNG: for tests, and to try 2D data out.

    images/phantom_000.png   labels/phantom_000.png   labels.json

Of each case the axial slice with the most foreground, in one modality. A PNG has 8 bit: 0 to 255 from the
least to the greatest intensity of its slice. A 2D NIfTI keeps the intensities and has `spacing_mm`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from ...files import folder_written_whole
from ..readable import readable_json
from ..scans.png import AFFINE
from ..scans.reading import write_array
from ..scans.scan import Geometry, Scan
from .volumes import LABELS, phantom_case


def write_phantom_slices(
    folder: Path | str,
    *,
    cases: int = 8,
    shape: Sequence[int] = (32, 32, 32),
    spacing_mm: Sequence[float] = (1.5, 1.5),
    seed: int = 0,
    modality: str = "MR",
    ending: Literal[".png", ".nii.gz"] = ".png",
) -> Path:
    """Writes `cases` slices [I J] of phantoms of `shape`, whole or not at all, and returns their folder."""
    import nibabel

    folder = Path(folder)
    with folder_written_whole(folder) as aside:
        (aside / "images").mkdir()
        (aside / "labels").mkdir()
        names = {str(value): name for value, name in LABELS.items()}
        (aside / "labels.json").write_text(readable_json(names) + "\n", encoding="utf-8")
        for case in range(cases):
            images, label = phantom_case(case, seed=seed, shape=shape, modalities=[modality])
            k = int((label > 0).sum(axis=(0, 1)).argmax())
            image_IJ, label_IJ = images[modality][:, :, k], label[:, :, k]
            for part, array_IJ in (("images", image_IJ), ("labels", label_IJ)):
                path = aside / part / f"phantom_{case:03d}{ending}"
                if ending == ".png":
                    upright = array_IJ[:, ::-1] if part == "labels" else _grey(array_IJ[:, ::-1])
                    array = upright[..., np.newaxis]
                    write_array(path, array, Scan(array, Geometry(array.shape, AFFINE), path))
                else:
                    nibabel.save(nibabel.Nifti1Image(array_IJ, np.diag([*spacing_mm, 1.0, 1.0])), path)
    return folder


def _grey(array_IJ: np.ndarray) -> np.ndarray:
    low, high = float(array_IJ.min()), float(array_IJ.max())
    grey: np.ndarray = np.rint((array_IJ - low) / (high - low) * 255).astype(np.uint8)
    return grey
