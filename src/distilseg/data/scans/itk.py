"""NRRD and MetaImage files, behind `data/scans/reading.py`. They store LPS+ coordinates; ours are RAS+."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from .apart import ReaderFailed, read_apart
from .detached import files_of
from .scan import Header, Scan, Stored, UnreadableImage, ending

sitk.ProcessObject.SetGlobalWarningDisplay(False)  # what it says is for those who write readers

_READERS = {".mha": "MetaImageIO", ".mhd": "MetaImageIO", ".nrrd": "NrrdImageIO"}
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read(path: Path) -> Stored:
    """The whole file, in one read."""
    said, array = _said(path, voxels=True)  # [.. K J I], then the components of a vector image
    spatial = len(said["size"])
    array = array.transpose(*reversed(range(spatial)), *range(spatial, array.ndim))
    if spatial == 2:  # one voxel thick, so that what follows are components
        array = np.expand_dims(array, 2)
    trailing = tuple(axis for axis in range(3, array.ndim) if array.shape[axis] == 1)
    return Stored(array.squeeze(trailing), _affine(said), stated_mm=tuple(said["spacing"][:3]))


def read_header(path: Path) -> Header:
    """What the file says it holds, without the voxels."""
    said, _ = _said(path, voxels=False)
    shape, components = tuple(said["size"]), said["components"]
    if len(shape) == 2 and components > 1:
        shape = (*shape, 1)
    return Header(
        (*shape, components) if components > 1 else shape,
        _affine(said),
        said["value_bytes"],
        tuple(said["spacing"][:3]),
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


def _said(path: Path, *, voxels: bool) -> tuple[dict[str, Any], Any]:
    """What ITK reads, in a process apart."""
    size = sum(file.stat().st_size for file in files_of(path))
    try:
        return read_apart(path, _READERS[ending(path).lower()], size=size, voxels=voxels)
    except ReaderFailed as error:
        raise _unreadable(path, error) from None


def _affine(said: dict[str, Any]) -> np.ndarray:
    """[4 4] voxel index -> RAS+ mm, of an image of any dimension."""
    n = len(said["size"])
    used = min(n, 3)
    affine = np.eye(4)
    direction = np.array(said["direction"]).reshape(n, n)[:used, :used]
    affine[:used, :used] = direction * np.array(said["spacing"])[:used]
    affine[:used, 3] = said["origin"][:used]
    return _LPS_TO_RAS @ affine


def _unreadable(path: Path, error: ReaderFailed) -> UnreadableImage:
    reason = str(error).strip().splitlines()[-1].strip().removeprefix("itk::ERROR: ")
    if reason.startswith("Reason:"):  # the system's last error, which says nothing: the file itself was found
        reason = "its header or voxels are damaged, cut short or missing"
    kind = "spacing" if "spacing" in reason.lower() else "unreadable"
    return UnreadableImage(kind, f"{path} cannot be read ({reason})", "copy or export the file again")
