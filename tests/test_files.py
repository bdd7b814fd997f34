"""Locks on files and folders: of one owner at a time, and of none where the system has none."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from distilseg.errors import UserError
from distilseg.files import lock
from distilseg.runs import Run
from distilseg.runtime.claims import claim
from distilseg.training.trained import _claimed

fcntl = pytest.importorskip("fcntl")


def test_a_lock_has_one_owner_until_it_is_closed(tmp_path: Path) -> None:
    first, second = os.open(tmp_path, os.O_RDONLY), os.open(tmp_path, os.O_RDONLY)
    assert (lock(first), lock(second)) == (True, False)
    os.close(first)
    assert lock(second) is True
    os.close(second)


def test_a_run_is_made_by_one_process_at_a_time(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    refused = pytest.raises(UserError, match=r"another process is training .*run; wait for it")
    with _claimed(run), refused, _claimed(run):
        pass
    with _claimed(run):
        pass


def test_where_there_are_no_locks_the_work_is_done_nevertheless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(handle: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with _claimed(Run(tmp_path / "run")), _claimed(Run(tmp_path / "run")):
        pass
    both = [claim(tmp_path / "a.nii.gz") for _ in range(2)]
    for mine in both:
        assert mine is not None
        with mine.written() as aside:
            aside.write_text("whole")
        mine.release()
    assert (tmp_path / "a.nii.gz").read_text() == "whole"
