"""The loop: every study once, in turn, whatever the others, the disk and the PACS do."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from distilseg.serving import service as module
from distilseg.serving.arriving import Arrivals
from distilseg.serving.health import Health
from distilseg.serving.predicting import Outcome
from distilseg.serving.sending import FIRST_S, MOST_S, NotReached, NotTaken, Post
from distilseg.serving.service import Service, Settings
from distilseg.serving.spool import ANSWER, ANSWERED, ARRIVING, RECEIVED, REFUSED, SENT, Spool, key_of

from .stub import Stub
from .world import until


class Taking:
    """Takes answers, or says why not."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.errors: list[Exception] = []

    def takes(self, kind: str) -> bool:
        return True

    def send(self, answer: Path) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.taken.append(answer.read_bytes())


class World:
    def __init__(self, folder: Path, **settings: Any) -> None:
        self.spool = Spool(folder)
        self.arrivals = Arrivals(self.spool, quiet_s=0, most_bytes=1000)
        self.stub, self.sender, self.said = Stub(), Taking(), list[str]()
        told = Settings("model", 3600, **settings)
        health = Health(self.spool, every_s=3600, said=self.said.append)
        stub: Any = self.stub
        self.service = Service(self.spool, self.arrivals, stub, self.sender, told, health, self.said.append)

    def come(self, study: str, *instances: str) -> str:
        arrival = self.arrivals.begin()
        for instance in instances:
            self.arrivals.keep(arrival, study, instance, [instance.encode()])
        self.arrivals.end(arrival, whole=True)
        return key_of(study)

    def step_until(self, true: Callable[[], Any], what: str) -> None:
        def stepped() -> Any:
            self.service.step()
            return true()

        until(stepped, what, seconds=10)

    def is_in(self, state: str, *keys: str) -> Callable[[], bool]:
        return lambda: all(self.spool.state_of(key) == state for key in keys)

    def told(self, words: str) -> int:
        return sum(words in line for line in self.said)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_studies_are_predicted_in_turn_and_sent_once(world: World) -> None:
    keys = [world.come(f"1.{n}", "a", "b") for n in range(3)]
    world.step_until(world.is_in(SENT, *keys), "all are sent")
    assert len(world.stub.asked) == len(world.sender.taken) == len(set(world.sender.taken)) == 3
    assert all(len(images) == 2 for images in world.stub.asked)


def test_the_same_again_is_told_and_not_predicted_and_a_grown_one_is(world: World) -> None:
    key = world.come("1.1", "a")
    world.step_until(world.is_in(SENT, key), "it is sent")
    world.come("1.1", "a")
    world.step_until(lambda: world.told("came again unchanged"), "it is told")
    world.come("1.1", "b")
    world.step_until(lambda: len(world.sender.taken) == 2, "it is sent again")
    assert [len(images) for images in world.stub.asked] == [1, 2]


def test_a_study_of_which_more_comes_waits_for_it(world: World) -> None:
    world.stub.hold.clear()
    key = world.come("1.1", "a")
    world.step_until(lambda: world.stub.asked, "it is predicted")
    world.come("1.1", "b")
    for _ in range(3):
        world.service.step()
    assert world.spool.keys(ARRIVING) == [key]  # while it is predicted
    world.stub.hold.set()
    world.step_until(lambda: len(world.stub.asked) == 2, "it is predicted with both")
    assert len(world.stub.asked[1]) == 2
    world.step_until(world.is_in(SENT, key), "it is sent")


def test_a_study_that_crashes_three_times_is_refused_and_others_go_on(world: World) -> None:
    world.stub.outcomes = [
        Outcome("crashed", "SIGSEGV"),
        Outcome("answered"),
        *[Outcome("crashed", "SIGSEGV")] * 2,
    ]
    poison, good = world.come("1.1", "a"), world.come("1.2", "a")
    world.step_until(world.is_in(REFUSED, poison), "it is refused")
    world.step_until(world.is_in(SENT, good), "the other is sent")
    assert len(world.stub.asked) == 4
    reason = world.spool.noted(REFUSED, poison, "reason.txt")
    assert reason == "3 attempts failed, the last as SIGSEGV"
    assert world.told(f"refused: {reason}") == 1


def test_a_refusal_is_final_and_what_people_typed_is_not_in_the_log(world: World) -> None:
    typed = """number=3 modality=MR description='Mr. Planted\\'s' (9 x 9); number=4 description="x\""""
    why = f"2 series fit MR: {typed}"
    world.stub.outcomes = [Outcome("refused", why)]
    key = world.come("1.1", "a")
    world.step_until(world.is_in(REFUSED, key), "it is refused")
    assert len(world.stub.asked) == 1
    assert world.spool.noted(REFUSED, key, "reason.txt") == why
    assert world.told("Planted") == world.told('"x"') == 0
    assert world.told("number=3 modality=MR description=... (9 x 9)") == 1


def test_a_refused_study_that_is_sent_again_is_tried_again(world: World) -> None:
    world.stub.outcomes = [Outcome("refused", "why")]
    key = world.come("1.1", "a")
    world.step_until(world.is_in(REFUSED, key), "it is refused")
    world.come("1.1", "a")
    world.step_until(world.is_in(SENT, key), "it is sent")


def test_the_machines_own_faults_cost_no_attempt(world: World) -> None:
    world.stub.outcomes = [Outcome("waits", "No space left on device")] * 5
    key = world.come("1.1", "a")
    with mock.patch.object(module, "_WAIT_S", 0.0):
        world.step_until(world.is_in(SENT, key), "it is sent")
    assert len(world.stub.asked) == 6
    assert world.told("nothing is predicted for 0 s: No space left on device") == 5


def test_nothing_is_begun_on_a_full_disk(world: World) -> None:
    key = world.come("1.1", "a")
    with mock.patch.object(Spool, "free_bytes", return_value=1000):
        for _ in range(3):
            world.service.step()
    assert world.spool.state_of(key) == RECEIVED
    assert world.told("the disk of the spool is full") == 1
    assert world.stub.asked == []


def test_a_step_that_the_disk_refuses_is_done_later(world: World) -> None:
    key = world.come("1.1", "a")
    stop, notes = threading.Event(), Spool.note
    full = iter([True, True])

    def note(self: Spool, state: str, key: str, name: str, text: str) -> None:
        if next(full, False):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
        notes(self, state, key, name, text)

    with mock.patch.object(module, "_FULL_S", 0.01), mock.patch.object(Spool, "note", note):
        running = threading.Thread(target=world.service.run, args=(stop,))
        running.start()
        until(world.is_in(SENT, key), "it is sent", 10)
        stop.set()
        running.join()
    assert world.told("waiting for 0 s") == 2


def test_a_pacs_that_is_away_holds_up_no_prediction(world: World) -> None:
    world.sender.errors = [NotReached("no answer")]
    keys = [world.come(f"1.{n}", "a") for n in range(3)]
    world.step_until(world.is_in(ANSWERED, *keys), "all are answered")
    assert world.told("not sent (no answer); again in 5 s") == 1
    assert world.sender.taken == []


def test_one_answer_that_is_not_taken_holds_up_no_other(world: World) -> None:
    world.sender.errors = [NotTaken("it answers C000")]
    first, second = world.come("1.1", "a"), world.come("1.2", "a")
    world.step_until(world.is_in(SENT, second), "the other is sent")
    assert world.spool.state_of(first) == ANSWERED
    assert world.told("not taken (it answers C000)") == 1


def test_answers_are_sent_again_ever_more_seldom_and_for_ever(tmp_path: Path) -> None:
    sender, said = Taking(), list[str]()
    sender.errors = [NotReached("away")] * 12
    post = Post(sender, lambda key, told: said.append(told))
    (tmp_path / ANSWER).write_bytes(b"answer")
    now_s, waits = 0.0, list[float]()
    last_s = 0.0
    while not sender.taken:
        if post.begin("key", tmp_path / ANSWER, now_s):
            waits.append(now_s - last_s)
            last_s = now_s
            until(lambda: post._now is None or post._now[1].done(), "an attempt")
            post.taken(now_s)
        now_s += 1
    post.close()
    assert waits[1:4] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S]
    assert waits[-1] == MOST_S
    assert post.reached


def test_it_ends_after_one_study_where_it_is_asked_to(tmp_path: Path) -> None:
    world = World(tmp_path, once=True)
    world.stub.outcomes = [Outcome("refused", "why")]
    world.come("1.1", "a")
    assert world.service.run(threading.Event()) is False
    world = World(tmp_path, once=True)
    world.come("1.2", "a")
    assert world.service.run(threading.Event()) is True
    assert len(world.sender.taken) == 1


def test_what_is_predicted_at_the_end_is_put_back_without_an_attempt(world: World) -> None:
    world.stub.hold.clear()
    key, stop = world.come("1.1", "a"), threading.Event()
    running = threading.Thread(target=world.service.run, args=(stop,))
    running.start()
    until(lambda: world.stub.asked, "it is predicted")
    stop.set()
    running.join()
    assert world.spool.state_of(key) == RECEIVED
    assert world.spool.noted(RECEIVED, key, "attempts") == "0"
    assert world.told("put back") == 1
    assert '"state": "stopped"' in (world.spool.folder / "status.json").read_text()


def test_images_go_after_a_while_and_the_study_is_still_known(world: World) -> None:
    key = world.come("1.1", "a")
    world.step_until(world.is_in(SENT, key), "it is sent")
    assert world.spool.prune(keep_s=3600, record_s=7200) == 0
    assert world.spool.prune(keep_s=-1, record_s=7200) == 1
    left = {path.name for path in world.spool.place(SENT, key).iterdir()}
    assert not left & {"images", ANSWER}
    world.come("1.1", "a")
    world.step_until(lambda: world.told("came again unchanged"), "it is known")
    world.spool.prune(keep_s=-1, record_s=-1)
    assert world.spool.state_of(key) is None


def test_a_cut_study_whose_rest_never_comes_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path)
    arrival = world.arrivals.begin()
    world.arrivals.keep(arrival, "1.1", "a", [b"a"])
    world.arrivals.end(arrival, whole=False)
    world.service._settings = Settings("model", keep_s=-1)
    world.service.step()
    assert world.spool.state_of(key_of("1.1")) == REFUSED
    assert world.told("its association was cut, and the rest never came") == 1
