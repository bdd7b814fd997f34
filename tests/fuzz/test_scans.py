"""Scans whose bytes were changed are read or refused, whatever was changed, in bounded time and memory."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from distilseg.data.scans import apart
from distilseg.data.scans.reading import read_stored
from distilseg.errors import UserError

from . import scans

MOST_S = 10.0  # one file
MOST_BYTES = 2**30  # that this process grows by


@pytest.mark.parametrize("kind", scans.KINDS)
def test_read_or_refused(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "LIMIT_S", MOST_S)
    assert read_stored(scans.make(kind, tmp_path)[0]).array.size in (scans.VOXELS.size, scans.VOXELS[0].size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read = refused = 0
    for number, refusals, seconds in scans.sweep(tmp_path, kind):
        for refusal in refusals:
            if refusal is None:
                read += 1
            else:
                refused += 1
                assert re.search(r"scan\.", refusal), number
                assert not re.search("took longer|crashed", refusal), number
        assert seconds < MOST_S, number
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert min(read, refused) > scans.TRIES / 100
    assert grown < MOST_BYTES


def test_a_file_that_kills_its_reader_costs_itself_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were our look at the headers wrong, MetaIO would end its own process, and no other."""
    sound, deadly = (scans.make(".mha", tmp_path / name)[0] for name in _made(tmp_path, "sound", "deadly"))
    deadly.write_bytes(sound.read_bytes().replace(b"NDims = 3", b"NDims = -1"))
    with pytest.raises(apart.ReaderFailed, match="the reader crashed on it, SIG"):
        apart.read_apart(deadly, "MetaImageIO", size=0, voxels=True)
    np.testing.assert_array_equal(read_stored(sound).array, scans.VOXELS.T)
    with pytest.raises(UserError, match=r"scan.mha cannot be read .its header is damaged: its NDims is '-1'"):
        read_stored(deadly)


def _made(folder: Path, *names: str) -> tuple[str, ...]:
    for name in names:
        (folder / name).mkdir()
    return names


def test_a_reader_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ITK turns this direction for ever; its process ends itself, so that none stays where nobody waits."""
    monkeypatch.setattr(apart, "LIMIT_S", 1.0)
    (path,) = scans.make(".mha", tmp_path)
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
    (path,) = scans.make(".mha", tmp_path)
    done = subprocess.run([sys.executable, "-c", ENDS, str(path), how], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    left = Path(f"/proc/{int(done.stdout)}/cmdline")
    until = time.monotonic() + 10
    while left.is_file() and b"itk_process" in left.read_bytes() and time.monotonic() < until:
        time.sleep(0.01)
    assert time.monotonic() < until


def test_threads_read_at_once(tmp_path: Path) -> None:
    (path,) = scans.make(".nrrd", tmp_path)
    with ThreadPoolExecutor(4) as pool:
        for array in pool.map(lambda n: read_stored(path).array, range(40)):
            np.testing.assert_array_equal(array, scans.VOXELS.T)
    assert sum(reader.module == apart.ITK for reader in apart._idle) <= 5
