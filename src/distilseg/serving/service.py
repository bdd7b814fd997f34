"""One study at a time: received, predicted, answered, sent; each step is on the disk before the next.

The loop takes every step but two: images are kept by the threads they come in (`arriving.py`), and an answer
is sent by a thread of its own (`sending.py`), so a PACS that takes nothing holds up no prediction.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from ..disk import SPARE_BYTES, reason
from ..errors import UserError
from ..progress import duration
from .arriving import Arrivals
from .health import Health
from .predicting import Outcome, Prediction, Predictions
from .sending import Post, Sender
from .settling import GREW, NEW, SAME, settle
from .spool import (
    ANSWER,
    ANSWERED,
    ANSWERED_BY,
    ARRIVING,
    ATTEMPTS,
    IMAGES,
    PREDICTING,
    REASON,
    RECEIVED,
    REFUSED,
    SENT,
    Spool,
    shown,
)

MOST_ATTEMPTS = 3  # of a study that ends the process that predicts it
RECORDS_S = 90 * 86400.0  # how long a study is known that came
_TICK_S, _PRUNE_S = 0.1, 600.0
_WAIT_S, _FULL_S = 60.0, 10.0  # until another try: to predict; to take any step


@dataclass(frozen=True)
class Settings:
    """What the service does beside predicting."""

    model: str  # a digest of all that an answer depends on
    keep_s: float  # images of studies that ended
    once: bool = False  # ends after one study
    until: str | None = None  # after this one


class Service:
    """The studies of a spool on their way."""

    def __init__(
        self,
        spool: Spool,
        arrivals: Arrivals,
        predictions: Predictions,
        sender: Sender,
        settings: Settings,
        health: Health,
        say: Callable[[str], object],
    ) -> None:
        self._spool, self._arrivals, self._predictions = spool, arrivals, predictions
        self._settings, self._health, self._say = settings, health, say
        self._post = Post(sender, lambda key, told: say(f"{shown(key)}: {told}"))
        self._now: tuple[str, Prediction] | None = None
        self._paused_until_s = self._pruned_s = float("-inf")
        self._ended: dict[str, bool] = {}  # key -> whether it was answered

    def run(self, stop: threading.Event) -> bool:
        """Until `stop`, or as `settings` say; False where the study that it was for was refused."""
        try:
            while not stop.is_set():
                try:
                    self.step()
                except (OSError, UserError) as error:
                    if reason(error) is None:
                        raise
                    self._say(f"waiting for {_FULL_S:.0f} s: {error}")  # most often a full disk
                    self._recover()
                    stop.wait(_FULL_S)
                for key, answered in self._ended.items():
                    if self._settings.until == key or (self._settings.once and not self._settings.until):
                        return answered
                self._ended.clear()
                stop.wait(_TICK_S)
            return True
        finally:
            self._end()

    def step(self) -> None:
        """All that can be done now."""
        self._settle()
        self._predict()
        self._send()
        self._tell()
        now_s = time.monotonic()
        if now_s - self._pruned_s > _PRUNE_S:
            self._pruned_s = now_s
            self._prune()

    def _tell(self, *, stopped: bool = False) -> None:
        cut = len(self._arrivals.cut())
        self._health.tell(time.monotonic(), cut=cut, reached=self._post.reached, stopped=stopped)

    def _settle(self) -> None:
        busy = {self._post.busy(), self._now and self._now[0]}
        for key in self._arrivals.complete():
            if key not in busy:
                self._settled(key, self._arrivals.take(key, partial(self._settling, key)))

    def _settling(self, key: str) -> str:
        return settle(self._spool, key, self._settings.model)

    def _settled(self, key: str, outcome: str | None) -> None:
        told = {
            NEW: "complete",
            GREW: "complete, with what came before",
            SAME: "came again unchanged, and is answered already",
        }
        if outcome == REFUSED:
            self._refused(key)
        elif outcome is not None:
            self._say(f"{shown(key)}: {told[outcome]}")
        if outcome == SAME and self._spool.state_of(key) == SENT:
            self._ended[key] = True

    def _predict(self) -> None:
        if self._now is not None:
            key, prediction = self._now
            if (outcome := prediction.outcome()) is not None:
                self._now = None
                self._predicted(key, outcome, prediction.took_s)
            return
        now_s = time.monotonic()
        if now_s < self._paused_until_s:
            return
        more_comes = set(self._spool.keys(ARRIVING)).difference(self._arrivals.cut())
        waiting = [key for key in self._spool.keys(RECEIVED) if key not in more_comes]
        if not waiting:
            return
        if self._spool.free_bytes() < SPARE_BYTES:
            self._pause("the disk of the spool is full")
            return
        self._begin(waiting[0])

    def _begin(self, key: str) -> None:
        attempt = self._attempts(RECEIVED, key) + 1
        self._spool.move(key, RECEIVED, PREDICTING)
        self._spool.note(PREDICTING, key, ATTEMPTS, str(attempt))
        folder = self._spool.place(PREDICTING, key)
        (folder / ANSWER).unlink(missing_ok=True)
        self._say(f"{shown(key)}: predicting{f', attempt {attempt}' * (attempt > 1)}")
        self._now = key, self._predictions.begin(folder / IMAGES, folder / ANSWER)

    def _predicted(self, key: str, outcome: Outcome, took_s: float) -> None:
        attempt = self._attempts(PREDICTING, key)
        if outcome.kind == "answered":
            self._spool.note(PREDICTING, key, ANSWERED_BY, self._settings.model)
            self._spool.move(key, PREDICTING, ANSWERED)
            self._say(f"{shown(key)}: answered in {duration(took_s)}")
        elif outcome.kind == "waits":
            self._again(key, attempt - 1)
            self._pause(outcome.loggable)
        elif outcome.kind == "crashed" and attempt < MOST_ATTEMPTS:
            self._say(f"{shown(key)}: attempt {attempt} of {MOST_ATTEMPTS} failed ({outcome.loggable})")
            self._again(key, attempt)
        else:
            crashed = outcome.kind == "crashed"
            why = f"{MOST_ATTEMPTS} attempts failed, the last as {outcome.why}" if crashed else outcome.why
            self._spool.refuse(key, PREDICTING, why)
            self._refused(key, Outcome("refused", why).loggable)

    def _refused(self, key: str, why: str = "") -> None:
        self._ended[key] = False
        reason = why or Outcome("refused", self._spool.noted(REFUSED, key, REASON)).loggable
        self._say(f"{shown(key)}: refused: {reason}")

    def _again(self, key: str, attempts: int) -> None:
        """Back to those that wait, behind the others."""
        self._spool.note(PREDICTING, key, ATTEMPTS, str(attempts))
        self._spool.move(key, PREDICTING, RECEIVED)

    def _pause(self, why: str) -> None:
        self._say(f"nothing is predicted for {_WAIT_S:.0f} s: {why}")
        self._paused_until_s = time.monotonic() + _WAIT_S

    def _attempts(self, state: str, key: str) -> int:
        text = self._spool.noted(state, key, ATTEMPTS)
        return int(text) if text.isdecimal() else 0

    def _send(self) -> None:
        self._sent()
        if self._post.busy() is None:
            now_s = time.monotonic()
            for key in self._spool.keys(ANSWERED):
                if self._post.begin(key, self._spool.place(ANSWERED, key) / ANSWER, now_s):
                    break

    def _sent(self) -> None:
        if (key := self._post.taken(time.monotonic())) is not None:
            self._spool.move(key, ANSWERED, SENT)
            self._say(f"{shown(key)}: sent")
            self._ended[key] = True

    def _end(self) -> None:
        """Nothing is left half done, and what cannot be written now is as after a kill."""
        self._post.close()
        for last in (self._put_back, self._sent, partial(self._tell, stopped=True)):
            with suppress(OSError, UserError):
                last()

    def _recover(self) -> None:
        """What was on its way to or from a prediction, when a step failed, waits."""
        for key in self._spool.keys(PREDICTING):
            if self._now is None or self._now[0] != key:
                self._spool.move(key, PREDICTING, RECEIVED)

    def _put_back(self) -> None:
        """What is being predicted waits for the next start; the attempt does not count."""
        if self._now is not None:
            (key, prediction), self._now = self._now, None
            prediction.stop()
            self._again(key, self._attempts(PREDICTING, key) - 1)
            self._say(f"{shown(key)}: put back")

    def _prune(self) -> None:
        keep_s = self._settings.keep_s
        for key in self._arrivals.cut():
            age_s = time.time() - (self._spool.place(ARRIVING, key) / IMAGES).stat().st_mtime
            if age_s > keep_s and self._arrivals.take(key, partial(self._given_up, key)) == REFUSED:
                self._refused(key)
        if pruned := self._spool.prune(keep_s, RECORDS_S):
            self._say(f"images of {pruned} studies that ended are removed")

    def _given_up(self, key: str) -> str:
        """A study whose association was cut, and of which nothing came since."""
        if self._spool.state_of(key) is not None:  # its answer stays
            self._spool.remove(ARRIVING, key)
            return ""
        self._spool.refuse(key, ARRIVING, "its association was cut, and the rest never came; send it again")
        return REFUSED
