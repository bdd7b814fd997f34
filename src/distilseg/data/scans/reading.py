"""Scans and label maps on disk: NIfTI, NRRD, MetaImage, PNG and DICOM, read once and in their stored type.

Arrays have the voxel axes as stored, [I J K]; an affine maps voxel indices to RAS+ millimetres, whatever
convention the file itself has (NRRD and MetaImage store LPS+). Nothing is reoriented or cast here, nor
resampled unless a `Source` says so; NIfTI's intensity scaling is applied only where it changes something.
A 2D image is a volume one voxel thick, [I J 1]. Of DICOM, a folder is what a file is of others.

`read_scan` reads one modality, `read_scans` a case (a file that holds several modalities is read once),
`read_label` its label map, `read_geometry` only the header. `write_label_map` puts labels back into a scan's
own space.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np

from ...errors import UserError
from ...files import written_whole
from ..case import Case, Source
from .detached import files_of
from .limits import check_size
from .plausible import check_plausible
from .scan import ENDINGS, NIFTI_ENDINGS, Geometry, Header, Scan, Stored, UnreadableImage, ending


def read_stored(path: Path, series: str = "", *, straight: bool = False) -> Stored:
    """Everything in the file at `path`, in one read. Raises `UnreadableImage`, naming the file.

    What its header promises must fit into memory, and is looked at first. `series` and `straight`: which
    volume of a folder of DICOM, and how, see `Source`.
    """
    if series or path.is_dir():
        from .dicom import reading as dicom

        with _one_refusal(path):
            return dicom.read(path, series, straight=straight)
    backend = _backend(path)
    with _one_refusal(path):
        check_size(path, backend.read_header(files_of(path)[0]))
        stored: Stored = backend.read(path)
    return stored


def read_scan(source: Source | Path, *, sheared: bool = False) -> Scan:
    """The 3D scan at `source`: a file, or one channel of a 4D file. Raises `UserError`, naming the file.

    Also for a grid that cannot be that of a body (`plausible.py`); `sheared`: its axes may lean.
    """
    source = source if isinstance(source, Source) else Source(source)
    return _placed(scan_of(_stored(source), source), source, sheared=sheared)


def read_scans(images: Mapping[str, Source]) -> dict[str, Scan]:
    """The modalities of a case; a file that holds several of them is read once."""
    stored: dict[tuple[Path, str], Stored] = {}
    for source in images.values():
        if (source.path, source.series) not in stored:
            stored[source.path, source.series] = _stored(source)
    return {
        name: _placed(scan_of(stored[source.path, source.series], source), source)
        for name, source in images.items()
    }


def _stored(source: Source) -> Stored:
    return read_stored(source.path, source.series, straight=source.straight)


def read_label(case: Case) -> Scan:
    """The label map of a labelled case, values that are merged counted as one. Raises `UserError`."""
    if case.label is None:
        raise UserError(f"case {case.id} has no label map", "label it, or leave it out")
    return merged_values(label_as_it_is(case, case.label), case)


def label_as_it_is(case: Case, label: Path) -> Scan:
    """The label map of a case, values as they lie in it. Raises `UserError`."""
    if case.painted is None:
        return read_scan(Source(label, slice=case.slice))
    from .dicom.labels import read_painted

    with _one_refusal(label):
        scan = read_painted(case.painted)
    return scan if case.slice is None else one_slice(scan, *case.slice)


def merged_values(scan: Scan, case: Case) -> Scan:
    """The label map with the values that the case merges."""
    if not case.merged:
        return scan
    array = scan.array.copy()
    for value, counts_as in case.merged.items():
        array[scan.array == value] = counts_as
    return replace(scan, array=array)


def _placed(scan: Scan, source: Source, *, sheared: bool = False) -> Scan:
    check_plausible(scan.geometry, scan.path, sheared=sheared)
    onto = None if source.onto is None else read_geometry(source.onto)
    if source.onto is not None and onto is not None:
        check_plausible(onto, source.onto)
    if onto is not None or source.box_mm:
        from .placing import placed

        scan = placed(scan, source, onto)
    return scan if source.slice is None else one_slice(scan, *source.slice)


def one_slice(scan: Scan, axis: int, index: int) -> Scan:
    """Slice `index` across a stored axis as a scan one voxel thick, where it lay in the patient."""
    if not 0 <= index < scan.array.shape[axis]:
        raise UnreadableImage(
            "shape",
            f"{scan.path} has {scan.array.shape[axis]} slices across axis {axis}, the dataset asks for"
            f" slice {index}",
            "was the file replaced? read the dataset again",
        )
    affine = scan.geometry.affine.copy()
    affine[:3, 3] += index * affine[:3, axis]
    array = scan.array.take([index], axis)
    return replace(scan, array=array, geometry=replace(scan.geometry, shape=array.shape, affine=affine))


def scan_of(stored: Stored, source: Source) -> Scan:
    """What `source` means in a file already read. Raises `UnreadableImage` if that is no 3D array."""
    array, shape = stored.array, stored.array.shape
    if source.channel is not None and len(shape) == 4:
        if source.channel >= shape[3]:
            raise UnreadableImage(
                "modality",
                f"{source.path} holds {shape[3]} channels, the dataset asks for channel {source.channel}",
                "correct the dataset's modalities or the file",
            )
        array = array[..., source.channel]
    elif source.channel:
        raise UnreadableImage(
            "modality",
            f"{source.path} holds one 3D image, the dataset asks for its channel {source.channel}",
            "correct the dataset's modalities, or store the modalities along a fourth axis",
        )
    if array.ndim == 2:
        array = array[..., np.newaxis]
    if array.ndim != 3:
        raise UnreadableImage(
            "dimension",
            f"{source.path} is {array.ndim}D {list(shape)}, a 3D array was expected",
            "store one volume per file" if array.ndim > 3 else "stack the rows of the case into one image",
        )
    geometry = Geometry(array.shape, stored.affine, stored.stated_mm)
    return Scan(array, geometry, source.path, stored.header, stored.origin)


def read_geometry(path: Path) -> Geometry:
    """Shape (I J K) and affine from the header alone. Raises `UserError`, naming the file."""
    backend = _backend(path)
    with _one_refusal(path):
        header: Header = backend.read_header(path if path.is_dir() else files_of(path)[0])
        check_size(path, header)
    return header.geometry


def write_label_map(path: Path, labels_IJK: np.ndarray, like: Scan) -> None:
    """Writes labels in the space of `like`, whole or not at all; the file type follows from `path`'s ending.

    The smallest unsigned integer type that holds the values is chosen. From NIfTI to NIfTI the geometry in
    the header (affines, their codes, units) is carried over bit by bit; otherwise it is the same affine, in
    the convention and precision of the file type (NIfTI-1 keeps 32-bit floats). Where DICOM was straightened,
    the labels are put back on its planes.
    """
    if labels_IJK.size and labels_IJK.min() < 0:
        raise ValueError(f"a label map holds values from 0, not {labels_IJK.min()}")
    if like.origin is not None and like.origin.tilt is not None:
        tilt = like.origin.tilt
        labels_IJK, like = tilt.put_back(labels_IJK), replace(like, geometry=tilt.leaning)
    highest = int(labels_IJK.max()) if labels_IJK.size else 0
    write_array(path, labels_IJK.astype(np.min_scalar_type(highest)), like)


def write_array(path: Path, array_IJK: np.ndarray, like: Scan) -> None:
    """The same for any voxels, in the type they have."""
    if array_IJK.shape != like.geometry.shape:
        raise ValueError(f"an array of shape {array_IJK.shape} for a scan of shape {like.geometry.shape}")
    backend = _backend(path)
    with written_whole(path) as aside:
        backend.write(aside, array_IJK, like)


@contextmanager
def _one_refusal(path: Path) -> Iterator[None]:
    """Whatever a library raises about a file is that the file cannot be read."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        told = (error.strerror if isinstance(error, OSError) else "") or f"{type(error).__name__}: {error}"
        raise UnreadableImage("unreadable", f"{path} cannot be read ({told})", "check it") from error


def _backend(path: Path) -> ModuleType:
    """The module that reads and writes this file type."""
    if path.is_dir():
        from .dicom import reading as dicom

        return dicom
    known = ending(path).lower()
    if not known:
        raise UnreadableImage(
            "unreadable",
            f"{path} has no image ending that is known",
            f"convert it to one of {', '.join(ENDINGS)}",
        )
    if known in NIFTI_ENDINGS:
        from . import nifti

        return nifti
    try:
        if known == ".png":
            from . import png

            return png
        from . import itk
    except ModuleNotFoundError as error:
        raise UnreadableImage(
            "unreadable",
            f"{path}: {known} files need {error.name}, which is not installed",
            f"pip install {error.name}, or convert them to NIfTI",
        ) from None
    return itk
