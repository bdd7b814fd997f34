"""Whole files beside what killed writers left; nothing through a link; nothing removed but what is ours."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from distilseg.errors import UserError
from distilseg.files import folder_written_whole, write_text, written_whole

fcntl = pytest.importorskip("fcntl")

HEX = "0123456789abcdef" * 2
DIES = """
import os, signal, sys
from pathlib import Path
from distilseg.files import folder_written_whole, written_whole
how, path = sys.argv[1], Path(sys.argv[2])
with (written_whole if how == "file" else folder_written_whole)(path) as aside:
    (aside if how == "file" else aside / "half").write_text("half")
    if sys.argv[3] == "lives":
        print("writing", flush=True)
        sys.stdin.read()
    else:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def writer(how: str, path: Path, end: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", DIES, how, str(path), end]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize("how", ["file", "folder"])
def test_what_a_killed_writer_left_goes_with_the_next_one(how: str, tmp_path: Path) -> None:
    with writer(how, tmp_path / "out", "dies") as dead:
        dead.communicate()
        assert dead.returncode == -signal.SIGKILL
    (left,) = names(tmp_path)
    assert left.startswith(".writing-")
    write_text(tmp_path / "note", "whole")
    assert names(tmp_path) == ["note"]


@pytest.mark.parametrize("how", ["file", "folder"])
def test_what_a_living_process_writes_stays(how: str, tmp_path: Path) -> None:
    with writer(how, tmp_path / "out", "lives") as living:
        assert living.stdout is not None
        assert living.stdout.readline() == "writing\n"
        write_text(tmp_path / "note", "whole")
        assert len(names(tmp_path)) == 2
        living.communicate("go on")
    assert names(tmp_path) == ["note", "out"]
    made = tmp_path / "out"
    assert (made if how == "file" else made / "half").read_text() == "half"


def test_what_a_user_made_stays(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "kept").write_text("kept")
    kept = [".writing-notes", ".writing-precious", f".writing-{HEX.upper()}", f".writing-{HEX}0"]
    for name in kept:
        (tmp_path / name).mkdir()
    (tmp_path / f".writing-{HEX}").symlink_to(theirs)
    (tmp_path / f".writing-{HEX[::-1]}").write_text("a file")
    before = names(tmp_path)
    write_text(tmp_path / "note", "whole")
    assert names(tmp_path) == sorted([*before, "note"])
    assert (theirs / "kept").read_text() == "kept"


def test_without_sweeping_others_stay(tmp_path: Path) -> None:
    left = tmp_path / f".writing-{HEX}"
    left.mkdir()
    write_text(tmp_path / "note", "whole", sweep=False)
    assert left.is_dir()
    write_text(tmp_path / "note", "whole")
    assert not left.exists()


def test_links_in_what_was_left_are_not_followed(tmp_path: Path) -> None:
    theirs, left = tmp_path / "theirs", tmp_path / f".writing-{HEX}"
    theirs.mkdir()
    (theirs / "kept").write_text("kept")
    left.mkdir()
    (left / "link").symlink_to(theirs)
    write_text(tmp_path / "note", "whole")
    assert not left.exists()
    assert (theirs / "kept").read_text() == "kept"


def test_writers_that_race_lose_nothing(tmp_path: Path) -> None:
    """Each sweeps while the others write: files and folders of four threads, all whole."""

    def write(thread: int) -> None:
        for n in range(50):
            write_text(tmp_path / f"{thread}-{n}", "whole")
            with folder_written_whole(tmp_path / f"{thread}-{n}-folder") as aside:
                (aside / "in").write_text("whole")

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names(tmp_path)) == 400
    inside = [place / "in" if place.is_dir() else place for place in tmp_path.iterdir()]
    assert {place.read_text() for place in inside} == {"whole"}


def test_where_there_are_no_locks_nothing_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(handle: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    left = tmp_path / f".writing-{HEX}"
    left.mkdir()
    monkeypatch.setattr(fcntl, "flock", none)
    write_text(tmp_path / "note", "whole")
    assert names(tmp_path) == [left.name, "note"]


def test_rights_are_as_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write_text(tmp_path / "file", "whole")
    with folder_written_whole(tmp_path / "folder") as aside:
        (aside / "in").write_text("whole")
    usual = stat.S_IMODE((tmp_path / "usual").stat().st_mode)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == usual
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) & 0o666 == usual


def test_a_link_in_place_of_a_file_is_replaced_and_of_a_folder_refused(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text("kept")
    (tmp_path / "link").symlink_to(theirs)
    write_text(tmp_path / "link", "ours")
    assert (theirs.read_text(), (tmp_path / "link").read_text()) == ("kept", "ours")
    assert not (tmp_path / "link").is_symlink()
    (tmp_path / "to").symlink_to(tmp_path / "absent")
    with pytest.raises(UserError, match=r"to is a link"), folder_written_whole(tmp_path / "to"):
        pass
    assert not (tmp_path / "absent").exists()


def test_nothing_written_is_no_success(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.nrrd: nothing was written"), written_whole(tmp_path / "a.nrrd"):
        pass
    assert os.listdir(tmp_path) == []
