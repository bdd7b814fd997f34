"""A plan and a scan to prepare, made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from distilseg.data.planning.normalisation import Normalisation
from distilseg.data.planning.plan import Plan
from distilseg.data.scans.scan import Geometry, Scan


def plan(**changes: Any) -> Plan:
    values: dict[str, Any] = {
        "dataset": "made up",
        "modalities": ("MR",),
        "labels": {0: "background", 1: "one", 4: "four"},
        "spacing_mm": (1.0, 1.0, 1.0),
        "normalisation": {"MR": Normalisation(kind="none"), "CT": Normalisation(kind="none")},
        "patch": (8, 8, 8),
        "strides": ((1, 1, 1), (2, 2, 2)),
    }
    return Plan(**{**values, **changes})


def scan(array: np.ndarray, affine: np.ndarray | None = None) -> Scan:
    affine = np.eye(4) if affine is None else affine
    return Scan(array, Geometry(array.shape, affine), Path("scan.nii.gz"))
