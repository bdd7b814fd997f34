"""What becomes of a study that comes again: the same, grown, or lacking what it had."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from distilseg.serving.settling import GREW, NEW, SAME, settle
from distilseg.serving.spool import (
    ANSWER,
    ANSWERED,
    ANSWERED_BY,
    ARRIVING,
    IMAGES,
    PREDICTING,
    RECEIVED,
    REFUSED,
    SENT,
    Spool,
)

KEY = "0" * 32


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path)


def come(spool: Spool, *names: str) -> None:
    folder = spool.place(ARRIVING, KEY) / IMAGES
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text(name)


def answered(spool: Spool, *names: str, state: str = SENT, model: str = "m") -> None:
    """A study that came before, and got that far."""
    come(spool, *names)
    assert settle(spool, KEY, "m") == NEW
    (spool.place(RECEIVED, KEY) / ANSWER).write_text("answer")
    spool.note(RECEIVED, KEY, ANSWERED_BY, model)
    spool.move(KEY, RECEIVED, state)


def test_a_study_that_is_new_is_received_with_a_record(spool: Spool) -> None:
    come(spool, "a-1.dcm", "b-1.dcm")
    assert settle(spool, KEY, "m") == NEW
    assert spool.state_of(KEY) == RECEIVED
    assert spool.recorded(RECEIVED, KEY) == {"a-1.dcm", "b-1.dcm"}
    assert spool.keys(ARRIVING) == []


@pytest.mark.parametrize("names", [("a-1.dcm", "b-1.dcm"), ("b-1.dcm",)])
@pytest.mark.parametrize("state", [ANSWERED, SENT])
def test_the_same_again_is_not_predicted_twice(names: tuple[str, ...], state: str, spool: Spool) -> None:
    answered(spool, "a-1.dcm", "b-1.dcm", state=state)
    come(spool, *names)
    assert settle(spool, KEY, "m") == SAME
    assert spool.state_of(KEY) == state
    assert spool.keys(ARRIVING) == []


@pytest.mark.parametrize(
    ("state", "model", "came"),
    [
        (SENT, "m", ("c-1.dcm",)),  # more of it
        (SENT, "m", ("b-2.dcm", "c-1.dcm")),  # and one that holds something else now
        (ANSWERED, "m", ("c-1.dcm",)),
        (REFUSED, "m", ("a-1.dcm", "c-1.dcm")),
        (RECEIVED, "m", ("c-1.dcm",)),
    ],
)
def test_a_study_that_grew_is_predicted_with_what_came_before(
    state: str, model: str, came: tuple[str, ...], spool: Spool
) -> None:
    answered(spool, "a-1.dcm", "b-1.dcm", state=SENT, model=model)
    if state != SENT:
        spool.move(KEY, SENT, state)
    come(spool, *came)
    assert settle(spool, KEY, "m") == GREW
    second = "b-2.dcm" if "b-2.dcm" in came else "b-1.dcm"
    assert spool.images(RECEIVED, KEY) == {"a-1.dcm", second, "c-1.dcm"}
    assert spool.state_of(KEY) == RECEIVED
    assert not (spool.place(RECEIVED, KEY) / ANSWER).exists()


@pytest.mark.parametrize(("state", "model"), [(REFUSED, "m"), (SENT, "another model")])
def test_the_same_again_is_predicted_where_it_was_not_by_this_model(
    state: str, model: str, spool: Spool
) -> None:
    answered(spool, "a-1.dcm", state=state, model=model)
    come(spool, "a-1.dcm")
    assert settle(spool, KEY, "m") == GREW
    assert spool.state_of(KEY) == RECEIVED


def test_a_part_of_a_study_whose_rest_is_kept_no_longer_is_refused(spool: Spool) -> None:
    answered(spool, "a-1.dcm", "b-1.dcm")
    shutil.rmtree(spool.place(SENT, KEY) / IMAGES)
    come(spool, "b-1.dcm", "c-1.dcm")
    assert settle(spool, KEY, "m") == REFUSED
    assert "without 1 of the images" in spool.noted(REFUSED, KEY, "reason.txt")
    assert spool.images(REFUSED, KEY) == {"b-1.dcm", "c-1.dcm"}
    come(spool, "a-1.dcm", "b-1.dcm", "c-1.dcm")
    assert settle(spool, KEY, "m") == GREW


class Killed(BaseException):
    pass


def steps_of(spool: Spool) -> int:
    """How many calls of the system the step of a grown study takes."""
    with mock.patch("os.rename", wraps=os.rename) as renamed:
        settle(spool, KEY, "m")
    return int(renamed.call_count)


def grown(folder: Path) -> Spool:
    folder.mkdir()
    spool = Spool(folder)
    answered(spool, "a-1.dcm", "b-1.dcm")
    come(spool, "b-2.dcm", "c-1.dcm")
    return spool


def test_a_kill_at_any_step_loses_no_image(tmp_path: Path) -> None:
    steps, rename = steps_of(grown(tmp_path / "counted")), os.rename
    assert steps >= 3
    for killed_at in range(steps):
        spool, left = grown(tmp_path / str(killed_at)), iter(range(killed_at))

        def until_killed(source: Path, target: Path, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise Killed
            rename(source, target)

        with mock.patch("os.rename", until_killed), pytest.raises(Killed):
            settle(spool, KEY, "m")
        again = Spool(spool.folder)
        if again.keys(ARRIVING):
            settle(again, KEY, "m")
        assert again.images(RECEIVED, KEY) == {"a-1.dcm", "b-2.dcm", "c-1.dcm"}
        assert again.state_of(KEY) == RECEIVED


def test_a_study_in_the_middle_of_its_prediction_waits_after_a_kill(spool: Spool) -> None:
    come(spool, "a-1.dcm")
    settle(spool, KEY, "m")
    spool.move(KEY, RECEIVED, PREDICTING)
    assert Spool(spool.folder).state_of(KEY) == RECEIVED
