"""Claims: one owner at a time, nothing left behind, and those of an older version are honoured."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from distilseg import claims
from distilseg.claims import MOST_ENDED, Claim, claim, claimed, ended_with, made_once, tidy
from distilseg.errors import UserError
from distilseg.training.cases import content_digest, prepare
from distilseg.training.trained import trained

from .training.small import small_experiment, small_study

fcntl = pytest.importorskip("fcntl")


def test_a_claim_is_held_once_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "out" / "a.nii.gz"
    first = claim(path)
    assert first is not None
    assert claim(path) is None
    with first.written() as aside:
        aside.write_text("whole")
        assert not path.exists()
    first.release()
    assert [entry.name for entry in path.parent.iterdir()] == ["a.nii.gz"]
    second = claim(path)
    assert second is not None
    second.release()


@pytest.fixture
def nfs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that locks only what is open for writing, as NFS does."""
    flock = fcntl.flock

    def lock(handle: int, how: int) -> None:
        if fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", lock)


@pytest.mark.usefixtures("nfs")
def test_on_nfs_a_claim_is_held_once_and_leaves_nothing(tmp_path: Path) -> None:
    test_a_claim_is_held_once_and_leaves_nothing(tmp_path)


@pytest.mark.usefixtures("nfs")
def test_on_nfs_claims_are_exclusive_among_threads_that_race(tmp_path: Path) -> None:
    test_claims_are_exclusive_among_threads_that_race(tmp_path)


@pytest.mark.usefixtures("nfs")
def test_on_nfs_a_released_claim_is_taken_while_its_folder_still_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the end of an owner's lock and of its folder another may claim: that folder is then its."""
    first = claim(tmp_path / "a")
    assert first is not None
    others: list[Claim | None] = []
    close = claims._close

    def closing(handle: int | None) -> None:
        close(handle)
        if handle == first.of_file and not others:
            others.append(claim(tmp_path / "a"))

    monkeypatch.setattr(claims, "_close", closing)
    first.release()
    (second,) = others
    assert second is not None
    assert claim(tmp_path / "a") is None
    second.release()
    assert list(tmp_path.iterdir()) == []


def test_claims_are_exclusive_among_threads_that_race(tmp_path: Path) -> None:
    """Taken and released 200 times: never two owners at once, although the folder comes and goes."""
    owners, most, taken = [0], [0], [0]
    lock = threading.Lock()

    def race() -> None:
        own = 0
        while own < 50:
            mine = claim(tmp_path / "a")
            if mine is None:
                continue
            with lock:
                owners[0] += 1
                most[0] = max(most[0], owners[0])
            own += 1
            time.sleep(0)  # let the others try
            with lock:
                owners[0] -= 1
                taken[0] += 1
            mine.release()

    threads = [threading.Thread(target=race) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most[0], taken[0]) == (1, 200)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_owner_left_is_no_claim(tmp_path: Path) -> None:
    left = tmp_path / ".a.nii.gz.claim"
    left.mkdir()
    (left / ".writing-half.nii.gz").write_text("half")
    mine = claim(tmp_path / "a.nii.gz")
    assert mine is not None
    assert [inside.name for inside in left.iterdir()] == ["lock"]
    mine.release()
    left.mkdir()
    tidy(tmp_path / "a.nii.gz")
    assert list(tmp_path.iterdir()) == []


def dies(claim: Claim) -> None:
    """What is left of a claim whose process is killed: its locks are gone, its folder stays."""
    for handle in (claim.of_file, claim.of_folder):
        if handle is not None:
            os.close(handle)


def test_processes_that_end_with_a_claim_are_counted_until_one_gives_it_back(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    assert ended_with(path) == 0
    for ended in range(3):
        mine = claim(path)
        assert mine is not None
        assert mine.ended == ended
        dies(mine)
    assert ended_with(path) == 3
    mine = claim(path)
    assert mine is not None
    mine.put_back()
    assert ended_with(path) == 3
    mine = claim(path)
    assert mine is not None
    assert mine.ended == 3
    mine.release()
    assert list(tmp_path.iterdir()) == []
    mine = claim(path)
    assert mine is not None
    assert mine.ended == 0
    mine.release()


def test_a_link_in_place_of_the_lock_is_removed_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    (tmp_path / ".a.claim").mkdir()
    (tmp_path / ".a.claim" / "lock").symlink_to(tmp_path / "precious")
    mine = claim(tmp_path / "a")
    assert mine is not None
    mine.release()
    assert (tmp_path / "precious").read_text() == "kept"


def test_work_is_shared_out_and_what_a_dead_process_held_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "_LOOK_AGAIN_S", 0.001)
    todo = {name: tmp_path / name for name in "abcd"}
    made: list[str] = []
    (tmp_path / "d").write_text("there")
    others = {name: held for name in "ac" if (held := claim(tmp_path / name)) is not None}

    def make(name: str, mine: Claim) -> None:
        with mine.written() as aside:
            aside.write_text("ours")
        made.append(name)

    done = []
    for name in made_once(todo, make):
        done.append(name)
        if name == "d":  # of the others one dies, one is done
            dies(others["a"])
            with others["c"].written() as aside:
                aside.write_text("theirs")
            others["c"].release()
    assert sorted(done) == [*"abcd"]
    assert made == ["b", "a"]
    assert (tmp_path / "c").read_text() == "theirs"
    assert sorted(path.name for path in tmp_path.iterdir()) == [*"abcd"]


def test_shared_work_that_ends_every_process_is_refused(tmp_path: Path) -> None:
    for _ in range(MOST_ENDED):
        mine = claim(tmp_path / "a")
        assert mine is not None
        dies(mine)
    told = r"a: 3 processes ended while they worked on it; .* to try it again delete .*\.a\.claim"
    for _ in range(2):
        with pytest.raises(UserError, match=told):
            list(made_once({"a": tmp_path / "a"}, lambda name, mine: None))


@pytest.mark.parametrize("there", [True, False], ids=["whole", "dangling"])
def test_a_link_in_place_of_a_claim_is_removed_and_not_followed(tmp_path: Path, there: bool) -> None:
    theirs, link = tmp_path / "theirs", tmp_path / ".a.nii.gz.claim"
    if there:
        theirs.mkdir()
        (theirs / "precious").write_text("kept")
    link.symlink_to(theirs)
    mine = claim(tmp_path / "a.nii.gz")
    assert mine is not None
    assert not link.is_symlink()
    mine.release()
    link.symlink_to(theirs)
    tidy(tmp_path / "a.nii.gz")
    assert not link.is_symlink()
    assert theirs.exists() == there
    if there:
        assert (theirs / "precious").read_text() == "kept"


def test_a_run_folder_and_its_claim_are_no_links(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (tmp_path / "run").symlink_to(theirs)
    with pytest.raises(UserError, match=r"run is a link"), claimed(tmp_path / "run"):
        pass
    own = tmp_path / "own"
    own.mkdir()
    (own / ".claim").symlink_to(theirs / "made")
    with claimed(own) as ours:
        assert ours
    assert list(theirs.iterdir()) == []


def test_a_pipe_in_place_of_a_claim_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".claim")
    with pytest.raises(OSError, match="No such device"), claimed(tmp_path):
        pass


def test_a_folder_is_claimed_by_one_process_at_a_time(tmp_path: Path) -> None:
    with claimed(tmp_path / "run") as first, claimed(tmp_path / "run") as second:
        assert (first, second) == (True, False)
    with claimed(tmp_path / "run") as again:
        assert again


def test_a_run_that_another_process_trains_is_left_to_it(tmp_path: Path) -> None:
    experiment, cache = small_experiment(small_study(tmp_path / "scans")), tmp_path / "cache"
    name = experiment.run_name(content_digest(prepare(experiment, cache)))
    refused = pytest.raises(UserError, match=rf"another process is training .*{name}; wait for it")
    with claimed(tmp_path / "runs" / experiment.study.dataset.name / name), refused:
        trained(experiment, runs=tmp_path / "runs", cache=cache)


def test_claims_lie_where_every_version_looks_for_them(tmp_path: Path) -> None:
    """A lock on these two places is a claim, whoever took it; and ours are locks on them."""
    file, folder = tmp_path / ".a.nii.gz.claim", tmp_path / "run" / ".claim"
    file.mkdir()
    folder.parent.mkdir()
    folder.touch()
    theirs = [os.open(place, os.O_RDONLY) for place in (file, folder)]
    for handle in theirs:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with claimed(folder.parent) as ours:
        assert (claim(tmp_path / "a.nii.gz"), ours) == (None, False)
    for handle in theirs:
        fcntl.flock(handle, fcntl.LOCK_UN)
    mine = claim(tmp_path / "a.nii.gz")
    assert mine is not None
    with claimed(folder.parent):
        for handle in theirs:
            with pytest.raises(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.close(handle)
    mine.release()


def test_where_an_open_file_is_never_what_lies_there_the_work_is_done_nevertheless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "lies_at", lambda handle, place: False)
    mine = claim(tmp_path / "a")
    assert mine is not None
    with mine.written() as aside:
        aside.write_text("whole")
    mine.release()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_where_there_are_no_locks_the_work_is_done_nevertheless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(handle: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with claimed(tmp_path / "run") as first, claimed(tmp_path / "run") as second:
        assert (first, second) == (True, True)
    both = [claim(tmp_path / "a.nii.gz") for _ in range(2)]
    for mine in both:
        assert mine is not None
        with mine.written() as aside:
            aside.write_text("whole")
        mine.release()
    assert (tmp_path / "a.nii.gz").read_text() == "whole"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.nii.gz", "run"]
