"""NRRD and MetaImage files, behind `data/scans/reading.py`. They store LPS+ coordinates; ours are RAS+."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from .detached import voxel_files
from .scan import Header, Scan, Stored, UnreadableImage

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read(path: Path) -> Stored:
    """The whole file, in one read."""
    voxel_files(path)
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise _unreadable(path, error) from None
    array = sitk.GetArrayFromImage(image)  # [.. K J I], then the components of a vector image
    spatial = image.GetDimension()
    array = array.transpose(*reversed(range(spatial)), *range(spatial, array.ndim))
    if spatial == 2:  # one voxel thick, so that what follows are components
        array = np.expand_dims(array, 2)
    trailing = tuple(axis for axis in range(3, array.ndim) if array.shape[axis] == 1)
    return Stored(array.squeeze(trailing), _affine(image), stated_mm=image.GetSpacing()[:3])


def read_header(path: Path) -> Header:
    """What the file says it holds, without the voxels."""
    voxel_files(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(path, error) from None
    shape, components = tuple(reader.GetSize()), reader.GetNumberOfComponents()
    if len(shape) == 2 and components > 1:
        shape = (*shape, 1)
    bits = re.search(r"(\d+)-bit", sitk.GetPixelIDValueAsString(reader.GetPixelID()))
    return Header(
        (*shape, components) if components > 1 else shape,
        _affine(reader),
        int(bits[1]) // 8 if bits else 8,
        tuple(reader.GetSpacing()[:3]),
    )


def write(path: Path, array_IJK: np.ndarray, like: Scan) -> None:
    """An array in the space of `like`."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array_IJK.T))
    affine = _LPS_TO_RAS @ like.geometry.affine
    spacing_mm = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing_mm.tolist())
    image.SetDirection((affine[:3, :3] / spacing_mm).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    # An .mhd is written as one file too (its data LOCAL): a second file could not appear together with it.
    one_file = path.with_suffix(".mha") if path.suffix.lower() == ".mhd" else path
    sitk.WriteImage(image, str(one_file), useCompression=True, compressionLevel=1)
    one_file.replace(path)
    # ITK does not tell of a full disk: what it wrote is read back.
    try:
        whole = np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), array_IJK.T)
    except RuntimeError:
        whole = False
    if not whole:
        raise RuntimeError(f"Error writing {path}: it cannot be read back")


def _affine(image: Any) -> np.ndarray:
    """[4 4] voxel index -> RAS+ mm, from an image or a reader of any dimension."""
    n = image.GetDimension()
    used = min(n, 3)
    affine = np.eye(4)
    direction = np.array(image.GetDirection()).reshape(n, n)[:used, :used]
    affine[:used, :used] = direction * np.array(image.GetSpacing())[:used]
    affine[:used, 3] = image.GetOrigin()[:used]
    return _LPS_TO_RAS @ affine


def _unreadable(path: Path, error: RuntimeError) -> UnreadableImage:
    reason = str(error).strip().splitlines()[-1].strip().removeprefix("itk::ERROR: ")
    if reason.startswith("Reason:"):  # the system's last error, which says nothing: the file itself was found
        reason = "its header or voxels are damaged, cut short or missing"
    kind = "spacing" if "spacing" in reason.lower() else "unreadable"
    return UnreadableImage(kind, f"{path} cannot be read ({reason})", "copy or export the file again")
