"""Scans that were stored on grids of their own, brought together: PET on CT's grid, ADC on T2W's.

Positions are taken from the headers. Interpolation is linear; where the scan does not reach, it is 0. A box
keeps as many voxels as its size asks for, the nearest to it, and makes the rest 0: `"crop": "nonzero"` then
cuts it out, and label maps still fit the whole scan.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from ..case import Source
from .scan import Geometry, Scan, UnreadableImage, axis_order

_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # RAS+ <-> LPS+, ITK's


def placed(scan: Scan, source: Source, onto: Geometry | None) -> Scan:
    """`scan` on the grid `onto`, if one is given, and only what lies in the box of `source`.

    Raises `UnreadableImage` where it does not reach that box.
    """
    if onto is not None:
        scan = resampled(scan, onto)
    if not source.box_mm:
        return scan
    kept = box_voxels(scan.geometry, source)
    array = np.zeros_like(scan.array)
    array[kept] = scan.array[kept]
    return replace(scan, array=array)


def resampled(scan: Scan, onto: Geometry) -> Scan:
    """`scan` as float32 on another grid, by position in the patient; as it is where that is its own."""
    here = scan.geometry
    if here.shape == onto.shape and np.allclose(here.affine, onto.affine, atol=1e-4):
        return scan
    image = sitk.GetImageFromArray(np.ascontiguousarray(scan.array.T, np.float32))
    _locate(image, here)
    like = sitk.Image([int(n) for n in onto.shape], sitk.sitkUInt8)
    _locate(like, onto)
    moved = sitk.Resample(image, like, sitk.Transform(), sitk.sitkLinear, 0.0)
    return Scan(sitk.GetArrayFromImage(moved).T, onto, scan.path)


def _locate(image: Any, geometry: Geometry) -> None:
    affine = _LPS @ geometry.affine
    spacing_mm = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing_mm.tolist())
    image.SetDirection((affine[:3, :3] / spacing_mm).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())


def box_voxels(geometry: Geometry, source: Source) -> tuple[slice, ...]:
    """The voxels of the box, axis by axis; of an oblique grid those along the axes nearest to R, A and S.

    Raises `UnreadableImage` where the grid does not reach it.
    """
    low_mm, high_mm = np.array(source.box_mm, dtype=np.float64).T
    centre: NDArray[Any] = np.linalg.inv(geometry.affine) @ [*(low_mm + high_mm) / 2, 1.0]
    size_mm = high_mm - low_mm
    along = np.argsort(axis_order(geometry.orientation))  # stored axis of R, of A, of S
    kept = []
    for axis, n in enumerate(geometry.shape):
        voxels = round(float(size_mm[list(along).index(axis)]) / geometry.spacing_mm[axis])
        start = round(float(centre[axis]) - (voxels - 1) / 2)
        kept.append(slice(max(start, 0), min(start + voxels, n)))
    if any(box.start >= box.stop for box in kept):
        box = " x ".join(f"{low:g}..{high:g}" for low, high in source.box_mm)
        raise UnreadableImage(
            "geometry", f"{source.path} does not reach its box {box} mm (RAS)", "correct the table of boxes"
        )
    return tuple(kept)
