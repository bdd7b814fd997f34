"""Workers that are killed at random moments: every result once, equal to plain predict, nothing left behind.

The suite kills a few times; `DISTILSEG_KILLS=20` tries as many seeds for each engine.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from . import small
from .conftest import SCANS

SEEDS = int(os.environ.get("DISTILSEG_KILLS", "1"))
ELEMENT = "distilseg.engines.tied"  # what predicts
WORKERS = {"local": (ELEMENT,), "dask": (ELEMENT, "spawn_main"), "ray": (ELEMENT, "ray::")}
PATIENCE_S = 300


def submitting(model: Path, scans: Path, out: Path, engine: str) -> subprocess.Popen[bytes]:
    command = f"predict {model} {scans} {out}"
    return small.submitting(engine, command, out.with_name("said"), "--parts", "4")


def workers(process: subprocess.Popen[bytes], kinds: tuple[str, ...]) -> list[psutil.Process]:
    """Its descendants of these kinds, by their command lines."""
    found = []
    for one in psutil.Process(process.pid).children(recursive=True):
        try:
            told = f"{one.name()} {' '.join(one.cmdline())}"
        except psutil.Error:
            continue
        if any(kind in told for kind in kinds):
            found.append(one)
    return sorted(found, key=lambda one: one.pid)


def equal(out: Path, plain: Path) -> bool:
    made, asked = ({file.name: file.read_bytes() for file in of.glob("*.nii.gz")} for of in (out, plain))
    return made == asked


@pytest.mark.usefixtures("mortal")
@pytest.mark.parametrize("seed", range(SEEDS))
def test_killed_workers_cost_nothing_but_time(
    engine: str,
    seed: int,
    model: Path,
    scans: Path,
    plain: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLOW_S", "0.4")
    chance, out = random.Random(seed), tmp_path / "out"
    process = submitting(model, scans, out, engine)
    killed = 0
    # Of each engine first what predicts and then, where it is another process, the engine's own worker.
    for kind in dict.fromkeys([ELEMENT, WORKERS[engine][-1]]):
        victims: list[psutil.Process] = []
        end = time.monotonic() + PATIENCE_S
        while process.poll() is None and time.monotonic() < end:
            victims = workers(process, (kind,))
            if workers(process, (ELEMENT,)) and victims:
                break
            time.sleep(0.05)
        time.sleep(chance.uniform(0, 2.0))
        victims = (
            [one for one in workers(process, (kind,)) if one.is_running()] if process.poll() is None else []
        )
        if victims:
            chance.choice(victims).kill()
            killed += 1
    assert process.wait(PATIENCE_S) == 0, (tmp_path / "said").read_text()
    assert killed or seed, "nothing was killed"
    assert equal(out, plain)
    assert small.hidden(out) == []
    logs = "".join(path.read_text() for path in out.with_name("out.submit").rglob("*.log"))
    assert sum(map(int, re.findall(r"(\d+) written to", logs))) <= SCANS  # none of them twice


@pytest.mark.usefixtures("mortal")
def test_all_of_it_killed_goes_on_by_the_same_command(
    model: Path, scans: Path, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLOW_S", "0.4")
    out = tmp_path / "out"
    process = submitting(model, scans, out, "local")
    end = time.monotonic() + PATIENCE_S
    while not out.is_dir() or not any(out.glob("*.nii.gz")):
        assert time.monotonic() < end
        time.sleep(0.05)
    elements = workers(process, (ELEMENT,))
    process.kill()
    process.wait()
    psutil.wait_procs(elements, PATIENCE_S)  # they end with it
    assert 0 < len(list(out.glob("*.nii.gz"))) < SCANS
    assert small.hidden(out) == []
    monkeypatch.setenv("SLOW_S", "0")
    assert submitting(model, scans, out, "local").wait(PATIENCE_S) == 0
    assert equal(out, plain)
    assert small.hidden(out) == []
