"""Scans whose bytes were changed are read or refused, whatever was changed, in bounded time and memory."""

from __future__ import annotations

import gzip
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import numpy as np
import pytest
import SimpleITK as sitk

from distilseg.data.scans import apart
from distilseg.data.scans.reading import read_geometry, read_stored
from distilseg.errors import UserError

from ..data.small_datasets import write
from .mutations import mutated

INPUTS = 500  # a kind of file
MOST_S = 10.0  # one file
MOST_BYTES = 2**30  # that this process grows by

VOXELS = np.random.default_rng(0).integers(0, 99, (4, 5, 6)).astype(np.int16)


def _files(kind: str, folder: Path) -> list[Path]:
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


@pytest.mark.parametrize("kind", KINDS)
def test_read_or_refused(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "LIMIT_S", MOST_S)
    files = _files(kind, tmp_path)
    sound = [file.read_bytes() for file in files]
    assert read_stored(files[0]).array.size in (VOXELS.size, VOXELS[0].size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read = refused = 0
    for number in range(INPUTS):
        rng = Random(f"{kind} {number}")
        changed = rng.randrange(len(files)) if rng.random() < 0.2 else 0
        for index, (file, content) in enumerate(zip(files, sound, strict=True)):
            file.write_bytes(_changed(kind, content, rng) if index == changed else content)
        began = time.monotonic()
        for reader in (read_geometry, read_stored):
            if (refusal := _refusal(reader, files[0])) is None:
                read += 1
            else:
                refused += 1
                assert re.search(r"scan\.", refusal), number
                assert not re.search("took longer|crashed", refusal), number
        assert time.monotonic() - began < MOST_S, number
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert min(read, refused) > INPUTS / 100
    assert grown < MOST_BYTES


def test_a_file_that_kills_its_reader_costs_itself_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were our look at the headers wrong, MetaIO would end its own process, and no other."""
    sound, deadly = (_files(".mha", tmp_path / name)[0] for name in _made(tmp_path, "sound", "deadly"))
    deadly.write_bytes(sound.read_bytes().replace(b"NDims = 3", b"NDims = -1"))
    with pytest.raises(apart.ReaderFailed, match="the reader crashed on it, SIG"):
        apart.read_apart(deadly, "MetaImageIO", size=0, voxels=True)
    np.testing.assert_array_equal(read_stored(sound).array, VOXELS.T)
    with pytest.raises(UserError, match=r"scan.mha cannot be read .its header is damaged: its NDims is '-1'"):
        read_stored(deadly)


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


def _made(folder: Path, *names: str) -> tuple[str, ...]:
    for name in names:
        (folder / name).mkdir()
    return names


def test_a_reader_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ITK turns this direction for ever; its process ends itself, so that none stays where nobody waits."""
    monkeypatch.setattr(apart, "LIMIT_S", 1.0)
    (path,) = _files(".mha", tmp_path)
    path.write_bytes(path.read_bytes().replace(b"1 0 0 0 1 0 0 0 1", b"1 0 0 0 1 0 0 1e308 1"))
    with pytest.raises(apart.ReaderFailed, match="took longer than 1 s"):
        apart.read_apart(path, "MetaImageIO", size=0, voxels=True)


ENDS = """
import os, sys
from pathlib import Path
from distilseg.data.scans import apart
from distilseg.data.scans.reading import read_stored
read_stored(Path(sys.argv[1]))
print(apart._idle[0].process.pid, flush=True)
if sys.argv[2] == "forks":  # a child of ours has a reader of its own, and leaves ours as it is
    if os.fork() == 0:
        read_stored(Path(sys.argv[1]))
        os._exit(0)
    assert os.wait()[1] == 0
    read_stored(Path(sys.argv[1]))
os._exit(0) if sys.argv[2] == "at once" else None
"""


@pytest.mark.parametrize("how", ["at once", "as ever", "forks"])
def test_no_reader_stays(how: str, tmp_path: Path) -> None:
    (path,) = _files(".mha", tmp_path)
    done = subprocess.run([sys.executable, "-c", ENDS, str(path), how], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    left = Path(f"/proc/{int(done.stdout)}/cmdline")
    until = time.monotonic() + 10
    while left.is_file() and b"itk_process" in left.read_bytes() and time.monotonic() < until:
        time.sleep(0.01)
    assert time.monotonic() < until


def test_threads_read_at_once(tmp_path: Path) -> None:
    (path,) = _files(".nrrd", tmp_path)
    with ThreadPoolExecutor(4) as pool:
        for array in pool.map(lambda n: read_stored(path).array, range(40)):
            np.testing.assert_array_equal(array, VOXELS.T)
    assert len(apart._idle) <= 5
