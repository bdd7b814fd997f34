"""A study is whole when all its associations were released, all was kept, and nothing came for a while."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from unittest import mock

import pytest

from distilseg.serving.arriving import Arrivals, TooLarge
from distilseg.serving.spool import ARRIVING, WHOLE, Spool, key_of

STUDY, KEY = "1.2.3", key_of("1.2.3")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path)


@pytest.fixture
def arrivals(spool: Spool, clock: Clock) -> Arrivals:
    return Arrivals(spool, quiet_s=5, most_bytes=100, clock=clock)


def keep(arrivals: Arrivals, *instances: str, whole: bool = True, study: str = STUDY) -> None:
    arrival = arrivals.begin()
    for instance in instances:
        arrivals.keep(arrival, study, instance, [b"head", instance.encode()])
    arrivals.end(arrival, whole=whole)


def test_a_study_is_whole_after_its_release_and_a_quiet_while(arrivals: Arrivals, clock: Clock) -> None:
    keep(arrivals, "a", "b")
    clock.now = 4.9
    assert arrivals.complete() == []
    clock.now = 5
    assert arrivals.complete() == [KEY]


def test_another_association_starts_the_while_anew(arrivals: Arrivals, clock: Clock) -> None:
    keep(arrivals, "a")
    clock.now = 4
    arrival = arrivals.begin()
    arrivals.keep(arrival, STUDY, "b", [b"b"])
    clock.now = 60  # a slow sender that is still there
    assert arrivals.complete() == []
    arrivals.end(arrival, whole=True)
    assert arrivals.complete() == []
    clock.now = 65
    assert arrivals.complete() == [KEY]


@pytest.mark.parametrize("again", ["b", "a"])
def test_a_cut_study_waits_until_a_later_association_is_released(
    again: str, arrivals: Arrivals, clock: Clock
) -> None:
    keep(arrivals, "a", whole=False)
    clock.now = 1000
    assert arrivals.complete() == []
    assert arrivals.cut() == [KEY]
    keep(arrivals, again)
    clock.now = 1005
    assert arrivals.complete() == [KEY]
    assert arrivals.cut() == []


def test_an_association_that_was_open_beside_the_cut_one_heals_nothing(
    arrivals: Arrivals, clock: Clock
) -> None:
    other, cut = arrivals.begin(), arrivals.begin()
    arrivals.keep(other, STUDY, "a", [b"a"])
    arrivals.keep(cut, STUDY, "b", [b"b"])
    arrivals.end(cut, whole=False)
    arrivals.end(other, whole=True)
    clock.now = 1000
    assert arrivals.complete() == []


@pytest.mark.parametrize("order", [(True, False), (False, True)])
def test_the_closed_connection_of_a_released_association_is_no_cut(
    order: tuple[bool, bool], arrivals: Arrivals, spool: Spool, clock: Clock
) -> None:
    arrival = arrivals.begin()
    arrivals.keep(arrival, STUDY, "a", [b"a"])
    for whole in order:
        arrivals.end(arrival, whole=whole)
    clock.now = 5
    assert arrivals.complete() == [KEY]
    assert (spool.place(ARRIVING, KEY) / WHOLE).exists()


def test_an_image_that_comes_after_the_connection_was_lost_makes_nothing_whole(
    arrivals: Arrivals, clock: Clock
) -> None:
    arrival = arrivals.begin()
    arrivals.end(arrival, whole=False)
    arrivals.keep(arrival, STUDY, "a", [b"a"])
    clock.now = 1000
    assert arrivals.complete() == []
    assert arrivals.cut() == [KEY]


def test_after_a_kill_a_released_study_goes_on_and_a_cut_one_waits(
    arrivals: Arrivals, spool: Spool, clock: Clock
) -> None:
    keep(arrivals, "a", study="1.1")
    arrival = arrivals.begin()
    arrivals.keep(arrival, "1.2", "b", [b"b"])
    part = spool.place(ARRIVING, key_of("1.2")) / "images" / "half.part"
    part.write_bytes(b"half")
    again = Arrivals(Spool(spool.folder), quiet_s=5, most_bytes=100, clock=clock)
    clock.now += 5
    assert again.complete() == [key_of("1.1")]
    assert again.cut() == [key_of("1.2")]
    assert not part.exists()
    keep(again, "b", study="1.2")
    clock.now += 5
    assert set(again.complete()) == {key_of("1.1"), key_of("1.2")}


def test_an_image_that_comes_again_replaces_itself(arrivals: Arrivals, spool: Spool) -> None:
    arrival = arrivals.begin()
    for content in (b"one", b"one", b"two"):
        arrivals.keep(arrival, STUDY, "a", [content])
    (image,) = (spool.place(ARRIVING, KEY) / "images").iterdir()
    assert image.read_bytes() == b"two"
    assert image.name.startswith(f"{key_of('a')}-")


def test_a_study_that_is_too_large_takes_no_more_and_is_done_with(
    arrivals: Arrivals, spool: Spool, clock: Clock
) -> None:
    arrival = arrivals.begin()
    arrivals.keep(arrival, STUDY, "a", [bytes(60)])
    with pytest.raises(TooLarge):
        arrivals.keep(arrival, STUDY, "b", [bytes(60)])
    arrivals.end(arrival, whole=True)
    clock.now = 5
    assert arrivals.complete() == [KEY]
    assert "larger than 1e-07 GB" in spool.noted(ARRIVING, KEY, "reason.txt")


def test_a_full_disk_refuses_the_image_and_the_study_waits_for_it(
    arrivals: Arrivals, spool: Spool, clock: Clock
) -> None:
    arrival = arrivals.begin()
    arrivals.keep(arrival, STUDY, "a", [b"a"])
    with mock.patch.object(Spool, "free_bytes", return_value=1000), pytest.raises(OSError) as full:
        arrivals.keep(arrival, STUDY, "b", [b"b"])
    assert full.value.errno == errno.ENOSPC
    arrivals.end(arrival, whole=True)
    clock.now = 1000
    assert arrivals.complete() == []
    assert len(spool.images(ARRIVING, KEY)) == 1
    keep(arrivals, "a", "b")
    clock.now = 1005
    assert arrivals.complete() == [KEY]


def test_a_write_that_fails_leaves_nothing(arrivals: Arrivals, spool: Spool) -> None:
    arrival = arrivals.begin()
    failing = mock.patch.object(os, "fsync", side_effect=OSError(errno.EIO, "the disk fails"))
    with failing, pytest.raises(OSError):
        arrivals.keep(arrival, STUDY, "a", [b"a"])
    assert list((spool.place(ARRIVING, KEY) / "images").iterdir()) == []
    assert arrival.failed
