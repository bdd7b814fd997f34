"""Which studies of an archive are fetched, and when: an archive of a few lines instead of one."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from distilseg.errors import UserError
from distilseg.serving.archive import Archive, Series
from distilseg.serving.arriving import Arrivals, TooLarge
from distilseg.serving.looking import Looking
from distilseg.serving.sending import NotReached
from distilseg.serving.spool import Spool


class Shelf:
    """Studies by their series and images; `others` are of kinds that are not fetched."""

    def __init__(self) -> None:
        self.held: dict[str, dict[str, int]] = {}
        self.others = 0
        self.fetched: list[str] = []
        self.errors: list[Exception] = []
        self.asked: tuple[date, date] | None = None

    def studies(self, first: date, last: date) -> dict[str, int | None]:
        if self.errors:
            raise self.errors.pop(0)
        self.asked = first, last
        return {uid: sum(series.values()) + self.others for uid, series in self.held.items()}

    def series(self, study: str) -> list[Series]:
        return [Series(uid, count) for uid, count in self.held[study].items()]

    def fetch(self, study: str, arrivals: Arrivals) -> int:
        self.fetched.append(study)
        return sum(self.held[study].values())


class World:
    def __init__(self, folder: Path) -> None:
        self.shelf, self.said, self.now = Shelf(), list[str](), 0.0
        shelf: Any = self.shelf
        self.looking = Looking(
            shelf,
            Arrivals(Spool(folder), quiet_s=10, most_bytes=1),
            self.said.append,
            today=lambda: date(2026, 3, 1),
            clock=lambda: self.now,
        )

    def look(self, at: float) -> list[str]:
        self.now = at
        before = len(self.shelf.fetched)
        self.looking.look()
        return self.shelf.fetched[before:]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_study_is_fetched_once_nothing_more_comes_to_it(world: World) -> None:
    world.shelf.held = {"1.1": {"a": 3}}
    assert world.look(0) == []
    world.shelf.held = {"1.1": {"a": 9}}
    assert world.look(10) == []
    assert world.look(19) == []
    assert world.look(20) == ["1.1"]
    assert world.look(40) == []
    assert world.shelf.asked == (date(2026, 2, 28), date(2026, 3, 1))


def test_an_answer_that_is_stored_there_is_no_growth_and_a_series_is(world: World) -> None:
    world.shelf.held = {"1.1": {"a": 3}}
    world.look(0)
    assert world.look(10) == ["1.1"]
    world.shelf.others = 1
    assert world.look(20) == world.look(40) == []
    world.shelf.held = {"1.1": {"a": 3, "b": 5}}
    world.look(50)
    assert world.look(60) == ["1.1"]


def test_a_study_without_scans_is_left(world: World) -> None:
    world.shelf.held = {"1.1": {}}
    world.look(0)
    assert world.look(10) == []


def test_an_archive_that_is_away_is_told_once_and_asked_again(world: World) -> None:
    world.shelf.held = {"1.1": {"a": 3}}
    world.shelf.errors = [NotReached("no answer")] * 3
    for at in range(3):
        world.look(at)
    assert len(world.said) == 1
    assert world.said[0] == "the archive was not reached (no answer); it is asked again every 30 s"
    world.look(3)
    assert world.said[1] == "the archive is reached again"
    assert world.look(13) == ["1.1"]


def test_a_study_that_cannot_be_fetched_holds_up_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.shelf.held = {"1.1": {"a": 3}, "1.2": {"a": 3}}
    fetch, failures = world.shelf.fetch, iter(range(2))

    def failing(study: str, arrivals: Arrivals) -> int:
        if study == "1.1" and next(failures, None) is not None:
            raise NotReached("it answers HTTP 500")
        return fetch(study, arrivals)

    monkeypatch.setattr(world.shelf, "fetch", failing)
    world.look(0)
    assert world.look(10) == ["1.2"]
    assert world.look(20) == []
    assert world.look(30) == ["1.1"]
    assert sum("not fetched (it answers HTTP 500); it is tried again" in line for line in world.said) == 1


def test_a_study_that_is_too_large_is_not_fetched_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.shelf.held = {"1.1": {"a": 3}}
    fetched = []

    def fetch(study: str, arrivals: Arrivals) -> int:
        fetched.append(study)
        raise TooLarge

    monkeypatch.setattr(world.shelf, "fetch", fetch)
    for at in (0, 10, 20, 30):
        world.look(at)
    assert fetched == ["1.1"]


@pytest.mark.parametrize("url", ["pacs", "ftp://pacs/dicom-web", "http://", "file:///etc"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(UserError, match="is no address"):
        Archive(url)


def test_what_goes_wrong_is_told_without_an_address() -> None:
    """Addresses hold the UIDs of studies."""
    archive = Archive("http://127.0.0.1:9/dicom-web")
    with pytest.raises(NotReached) as error:
        archive.series("1.2.3.4711")
    assert "4711" not in str(error.value)
