"""Arrays on the disk: the same numbers, little memory, no file that stays, a refusal without room."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from distilseg import scratch
from distilseg.errors import UserError

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where scratch files lie; every array is large enough for one."""
    monkeypatch.setattr(scratch, "IN_MEMORY", 0)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def mapped(folder: Path) -> bool:
    """Whether this process holds a map of a file that lay in `folder`."""
    return str(folder) in Path("/proc/self/maps").read_text()


def resident_bytes() -> int:
    """Of this process, pages of files included."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_small_arrays_stay_in_memory() -> None:
    values = scratch.zeros((2, 3, 4, 5), "they")
    assert values.flags.owndata
    assert scratch.part(values, (slice(1, 2), slice(None), slice(None))).base is values


def test_what_is_written_is_read_again(folder: Path) -> None:
    values, expected = scratch.zeros((3, 4, 5, 6), "they"), np.zeros((3, 4, 5, 6), np.float32)
    assert np.array_equal(values, expected)
    random = np.random.default_rng(0).standard_normal((3, 4, 5, 6), np.float32)
    for head_S, of_S, expected_S in zip(scratch.heads_of(values), random, expected, strict=True):
        head_S += of_S
        expected_S += of_S
    scratch.give_back(values)
    assert np.array_equal(values, expected)
    turned = values.transpose(0, 3, 1, 2)
    box = (slice(1, 4), slice(2, 4), slice(0, 5, 2))
    assert np.array_equal(scratch.part(turned, box), expected.transpose(0, 3, 1, 2)[:, *box])


@LINUX
def test_the_file_has_no_name_and_goes_with_the_array(folder: Path) -> None:
    values = scratch.zeros((3, 4, 5, 6), "they")
    view = values[1:, 2]
    assert mapped(folder)
    assert list(folder.iterdir()) == []
    del values
    assert mapped(folder)  # the view still needs it
    del view
    assert not mapped(folder)


@LINUX
def test_memory_does_not_grow_with_the_heads(folder: Path) -> None:
    values = scratch.zeros((32, 128, 128, 128), "they")  # 8 MiB a head
    before, most = resident_bytes(), 0
    for head_S in scratch.heads_of(values):
        head_S += 1
        most = max(most, resident_bytes() - before)
    assert most < 3 * values[0].nbytes
    assert scratch.part(values, (slice(0, 1),) * 3).sum() == len(values)
    assert resident_bytes() - before < 3 * values[0].nbytes


@pytest.mark.parametrize("told", [True, False])
def test_without_disk_they_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch, told: bool) -> None:
    """Where it is known before, and where a file system says so only when asked for the blocks."""
    if told:
        monkeypatch.setattr(
            shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, 10**9)
        )
    else:

        def full(*given: object) -> None:
            raise OSError(errno.ENOSPC, "no space left on device")

        monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match=r"the logits of 118 classes take 0\.94 GB of disk") as caught:
        scratch.zeros((118, 100, 100, 200), "the logits of 118 classes")
    assert "TMPDIR" in caught.value.fix
    assert str(folder) in caught.value.cause
    assert list(folder.iterdir()) == []


def test_tmpdir_is_honoured(folder: Path) -> None:
    assert scratch.scratch_folder() == folder


def test_file_systems_without_that_call_hold_it_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "posix_fallocate", unsupported)
    with tempfile.TemporaryFile() as file:
        scratch._taken(file.fileno(), 4096)
        assert os.fstat(file.fileno()).st_size == 4096
