"""Scans whose bytes somebody changed, by seed: each kind of file, its header read alone, then the whole."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import numpy as np
import SimpleITK as sitk

from distilseg.data.scans.reading import read_geometry, read_stored
from distilseg.errors import UserError

from ..data.small_datasets import write
from .mutations import mutated

TRIES = 500  # a kind of file

VOXELS = np.random.default_rng(0).integers(0, 99, (4, 5, 6)).astype(np.int16)


def make(kind: str, folder: Path) -> list[Path]:
    """Small genuine files of a kind, the one with the header first."""
    image = sitk.GetImageFromArray(VOXELS)
    image.SetSpacing((0.7, 0.8, 2.5))
    name, _, how = kind.partition(" ")
    path = folder / f"scan{name}"
    if name.startswith(".nii"):
        return [write(path, VOXELS)]
    if name == ".png":
        sitk.WriteImage(sitk.GetImageFromArray(VOXELS[0].astype(np.uint8)), str(path))
        return [path]
    if how == "detached":
        path.write_text(
            "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 6 5 4\n"
            "space directions: (1,0,0) (0,1,0) (0,0,2)\nendian: little\nencoding: raw\n"
            "space origin: (0,0,0)\ndata file: scan.raw\n"
        )
        path.with_suffix(".raw").write_bytes(VOXELS.tobytes())
    else:
        sitk.WriteImage(image, str(path), useCompression=how == "packed")
    voxels = [path.with_suffix(end) for end in (".raw", ".zraw") if path.with_suffix(end).is_file()]
    return [path, *voxels]


KINDS = (
    *(".nii", ".nii.gz", ".nrrd", ".nrrd packed", ".nrrd detached", ".png"),
    *(".mha", ".mha packed", ".mhd", ".mhd packed"),
)


def sweep(folder: Path, kind: str, tries: int = TRIES) -> Iterator[tuple[int, list[str | None], float]]:
    """The try, how its header and its voxels were refused (None: they were read), and the seconds it took."""
    files = make(kind, folder)
    sound = [file.read_bytes() for file in files]
    for number in range(tries):
        rng = Random(f"{kind} {number}")
        changed = rng.randrange(len(files)) if rng.random() < 0.2 else 0
        for index, (file, content) in enumerate(zip(files, sound, strict=True)):
            file.write_bytes(_changed(kind, content, rng) if index == changed else content)
        began = time.monotonic()
        refusals = [_refusal(reader, files[0]) for reader in (read_geometry, read_stored)]
        yield number, refusals, time.monotonic() - began


def _refusal(reader: Callable[[Path], object], path: Path) -> str | None:
    try:
        reader(path)
    except UserError as error:
        return error.cause
    return None


def _changed(kind: str, content: bytes, rng: Random) -> bytes:
    """The file, or what is packed in it, changed."""
    if kind == ".nii.gz" and rng.random() < 0.8:
        return gzip.compress(mutated(gzip.decompress(content), rng), compresslevel=1)
    return mutated(content, rng)
