"""kill -9 before and after every step: the next start goes on, and each study is answered right and once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from distilseg.serving.spool import ANSWERED, ARRIVING, PREDICTING, RECEIVED, SENT, Spool, key_of

from .world import Pacs, free_port, send, study, uid_of, until

# `serve` with predictions of no model, that kills itself before or after a step; SPOOL PORT PACS STEP WHEN.
SERVE = """
import os, signal, sys
from distilseg.commands import _serve
from distilseg.serving import predicting, spool
from tests.serving.stub import Stub

folder, port, pacs, step, when = sys.argv[1:]
move = spool.Spool.move

def killing(self, key, before, after):
    if (step, when) == (f"{before}-{after}", "before"):
        os.kill(os.getpid(), signal.SIGKILL)
    move(self, key, before, after)
    if (step, when) == (f"{before}-{after}", "after"):
        os.kill(os.getpid(), signal.SIGKILL)

spool.Spool.move = killing
predicting.Predictions.begin = lambda self, images, out: Stub().begin(images, out)
_serve._check_model, _serve._model = (lambda told: []), (lambda told: "model")
_serve.serve("none", ae="DISTILSEG", port=int(port), send_to=pacs, spool=folder, quiet_s=0.2)
"""
STEPS = [
    f"{before}-{after}"
    for before, after in (
        (ARRIVING, RECEIVED),
        (RECEIVED, PREDICTING),
        (PREDICTING, ANSWERED),
        (ANSWERED, SENT),
    )
]


def started(words: Sequence[object]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SERVE, *map(str, words)],
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env=os.environ,
    )


def listening(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_every_step(step: str, when: str, tmp_path: Path) -> None:
    port, spool, images = free_port(), tmp_path / "spool", study()
    with Pacs().open() as pacs:
        first = started([spool, port, pacs.address, step, when])
        until(lambda: listening(port), "it listens")
        assert send(images, port) == {0}
        assert first.wait(60) == -signal.SIGKILL
        assert first.stderr is not None
        first.stderr.close()
        second = started([spool, port, pacs.address, "none", "none"])
        until(lambda: listening(port), "it listens again")
        until(lambda: Path(spool, SENT, key_of(uid_of(images))).is_dir(), "it is sent")
        second.terminate()
        said = second.communicate(timeout=60)[1]
        assert second.returncode == 0
    assert "stopped; what is left is gone on with at the next start" in said
    assert len(pacs.answers) == 1  # the same object, if it was stored twice
    left = Spool(spool)
    assert [left.count(state) for state in (ARRIVING, RECEIVED, PREDICTING, ANSWERED, SENT)] == [
        0,
        0,
        0,
        0,
        1,
    ]
    assert len(left.images(SENT, key_of(uid_of(images)))) == len(images)
