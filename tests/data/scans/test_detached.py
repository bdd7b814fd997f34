"""Voxels beside their header: which files they are, and that a header leads nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from distilseg.data.scans.detached import files_of
from distilseg.data.scans.reading import read_geometry, read_stored
from distilseg.data.scans.scan import UnreadableImage

META = """ObjectType = Image
NDims = 3
DimSize = 2 2 2
ElementType = MET_UCHAR
ElementDataFile = {}
"""
NRRD = """NRRD0004
type: uint8
dimension: 3
sizes: 2 2 2
encoding: raw
data file: {}
"""


def written(path: Path, names: str) -> Path:
    path.write_text((META if path.suffix in (".mhd", ".mha") else NRRD).format(names))
    return path


@pytest.mark.parametrize("ending", [".mhd", ".mha", ".nrrd"])
def test_voxels_beside_the_header(ending: str, tmp_path: Path) -> None:
    (tmp_path / "scan.raw").write_bytes(bytes(range(8)))
    path = written(tmp_path / f"scan{ending}", "scan.raw")
    assert files_of(path) == (
        path,
        tmp_path / "scan.raw",
    )
    np.testing.assert_array_equal(read_stored(path).array.ravel("F"), range(8))


@pytest.mark.parametrize("ending", [".mhd", ".nrrd"])
def test_a_list_of_slices(ending: str, tmp_path: Path) -> None:
    for n in range(2):
        (tmp_path / f"{n}.raw").write_bytes(bytes([n] * 4))
    path = written(tmp_path / f"scan{ending}", "LIST\n0.raw\n1.raw")
    assert files_of(path) == (path, tmp_path / "0.raw", tmp_path / "1.raw")


@pytest.mark.parametrize("ending", [".mha", ".nrrd", ".nii.gz"])
def test_voxels_behind_the_header(ending: str, tmp_path: Path) -> None:
    """Whatever bytes they have: these spell a field of a header."""
    image = np.frombuffer(
        b"\ndata file: /etc/hostname\nElementDataFile = /etc/hostname\n".ljust(64), np.uint8
    )
    path = tmp_path / f"scan{ending}"
    sitk.WriteImage(sitk.GetImageFromArray(image.reshape(4, 4, 4)), str(path), useCompression=False)
    assert files_of(path) == (path,)
    np.testing.assert_array_equal(read_stored(path).array.ravel("F"), image)


@pytest.mark.parametrize("ending", [".mhd", ".mha", ".nrrd"])
@pytest.mark.parametrize(
    "names", ["../secret.raw", "/dev/zero", "in/secret.raw", "LIST\n0.raw\n../secret.raw", "C:\\secret.raw"]
)
def test_a_header_leads_nowhere_else(names: str, ending: str, tmp_path: Path) -> None:
    (tmp_path / "secret.raw").write_bytes(bytes(8))
    (tmp_path / "scans" / "in").mkdir(parents=True)
    (tmp_path / "scans" / "in" / "secret.raw").write_bytes(bytes(8))
    path = written(tmp_path / "scans" / f"scan{ending}", names)
    for read in (read_stored, read_geometry):
        with pytest.raises(
            UnreadableImage, match=r"keeps its voxels in '.+is no name for a file.+one folder"
        ):
            read(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes with names")
def test_a_pipe_is_no_file_of_voxels(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "scan.raw")
    with pytest.raises(UnreadableImage, match="which is no file"):
        read_stored(written(tmp_path / "scan.mhd", "scan.raw"))


@pytest.mark.parametrize("ending", [".mhd", ".nrrd"])
def test_a_pattern_of_slices(ending: str, tmp_path: Path) -> None:
    for n in (3, 5):
        (tmp_path / f"slice{n:03d}.raw").write_bytes(bytes([n] * 4))
    path = written(tmp_path / f"scan{ending}", "slice%03d.raw 3 5 2")
    assert files_of(path) == (path, tmp_path / "slice003.raw", tmp_path / "slice005.raw")
    np.testing.assert_array_equal(read_stored(path).array.ravel("F"), [3] * 4 + [5] * 4)


@pytest.mark.parametrize("ending", [".mhd", ".nrrd"])
@pytest.mark.parametrize(
    "names", ["%s.raw 1 2 1", "%n%n.raw 1 2 1", "../%d.raw 1 2 1", "%d.raw 1 999999999 1"]
)
def test_patterns_that_are_none(ending: str, names: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match=r"that is no pattern|is no name for a file"):
        read_stored(written(tmp_path / f"scan{ending}", names))


@pytest.mark.parametrize("ending", [".mhd", ".nrrd"])
@pytest.mark.parametrize("target", ["/dev/zero", "../secret.raw", "."])
def test_a_link_leads_nowhere_else(target: str, ending: str, tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    (tmp_path / "secret.raw").write_bytes(bytes(8))
    (tmp_path / "scans" / "scan.raw").symlink_to(target)
    with pytest.raises(UnreadableImage, match=r"which is no file|is a link into the folder"):
        read_stored(written(tmp_path / "scans" / f"scan{ending}", "scan.raw"))


def test_header_and_voxels_linked_into_one_store(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "b2").write_bytes(bytes(range(8)))
    header = written(tmp_path / "scan.mhd", "scan.raw").rename(tmp_path / "store" / "b1")
    (tmp_path / "scan.mhd").symlink_to(header)
    (tmp_path / "scan.raw").symlink_to(tmp_path / "store" / "b2")
    np.testing.assert_array_equal(read_stored(tmp_path / "scan.mhd").array.ravel("F"), range(8))


@pytest.mark.parametrize("before", ["Comment = a\rElementDataFile = LOCAL", "ElementDataFile: ../secret.raw"])
def test_a_header_is_read_as_its_library_does(before: str, tmp_path: Path) -> None:
    """Lines end with a line feed alone, and a colon is as good as an equals sign."""
    (tmp_path / "scans").mkdir()
    (tmp_path / "secret.raw").write_bytes(bytes(8))
    path = tmp_path / "scans" / "scan.mhd"
    path.write_bytes(
        (META.partition("ElementDataFile")[0] + before + "\n").encode() + b"\nElementDataFile = x"
    )
    with pytest.raises(UnreadableImage, match=r"is no NAME = VALUE|is no name for a file"):
        read_stored(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes with names")
@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha", ".mhd", ".png"])
def test_a_pipe_is_no_scan(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"scan{ending}"
    os.mkfifo(path)
    for read in (read_stored, read_geometry, files_of):
        with pytest.raises(UnreadableImage, match="it is no regular file"):
            read(path)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(UnreadableImage, match="it is no regular file"):
        read_stored(path)
