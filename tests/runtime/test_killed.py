"""Workers that are killed, or that a scan kills: every result once, equal to plain predict, nothing left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from distilseg.cli import main

from ..test_predict import scan, write
from .test_service import artefact, label_maps, run, until

__all__ = ["artefact", "run"]  # fixtures

CASES = 12

# `distilseg predict`, without torch so that it starts at once; each case takes a while.
SLOW = """
import sys, time
from distilseg.cli import main
from distilseg.runtime.predictor import ArtefactPredictor
def slow(self, prepared, *, quick=ArtefactPredictor.ask, **options):
    time.sleep(0.03)
    return quick(self, prepared, **options)
ArtefactPredictor.ask = slow
sys.exit(main(sys.argv[1:]))
"""

# `distilseg predict`, whose network ends the process where a scan is very bright.
POISONED = """
import os, signal, sys
from distilseg.cli import main
from distilseg.runtime.predictor import ArtefactPredictor
def deadly(self, image, *, case="", quick=ArtefactPredictor.blocks):
    if image.max() > 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return quick(self, image, case=case)
ArtefactPredictor.blocks = deadly
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    for n in range(CASES):
        write(folder / f"case_{n:02d}.nii.gz", scan(seed=n))
    return folder


@pytest.fixture(scope="module")
def whole(artefact: Path, scans: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole")
    assert main(["predict", str(artefact), str(scans), str(out)]) == 0
    return label_maps(out)


def begin(program: str, *words: object) -> subprocess.Popen[str]:
    order = [sys.executable, "-c", program, *map(str, words)]
    quiet = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(order, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=quiet)


@pytest.mark.parametrize("seed", range(20))
def test_one_of_two_workers_is_killed_at_any_moment(
    seed: int, artefact: Path, scans: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    """At the moment when so many label maps are there, and a little later: then the other ends its work."""
    chance, out = random.Random(seed), tmp_path / "out"
    workers = [begin(SLOW, "predict", artefact, scans, out) for _ in range(2)]
    moment, later_s = chance.randrange(CASES), chance.random() / 20
    until(lambda: len(list(out.glob("*.nii.gz"))) >= moment)
    killed = workers[chance.randrange(2)]
    try:
        killed.wait(later_s)
    except subprocess.TimeoutExpired:
        killed.send_signal(signal.SIGKILL)
    said = [worker.communicate(timeout=60) for worker in workers]
    assert all(worker.returncode in (0, -signal.SIGKILL) for worker in workers), said
    assert label_maps(out).items() <= whole.items()  # none is half, none differs
    times = {path: path.stat().st_mtime_ns for path in out.glob("*.nii.gz")}
    assert main(["predict", str(artefact), str(scans), str(out)]) == 0
    assert label_maps(out) == whole
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())  # none twice
    assert not list(out.glob(".*"))


def test_a_scan_that_ends_its_worker_is_refused_after_three_and_all_others_are_done(
    artefact: Path, scans: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for path in scans.iterdir():
        (folder / path.name).symlink_to(path)
    bright = scan()
    bright.array[0, 0, 0] = 9
    write(folder / "case_03_bright.nii.gz", bright)
    ends = []
    for _ in range(6):  # as a queue does: again until it ends
        worker = begin(POISONED, "predict", artefact, folder, out)
        said, told = worker.communicate(timeout=60)
        ends.append(worker.returncode)
        if worker.returncode >= 0:
            break
    assert ends == [-signal.SIGKILL] * 3 + [1]
    assert "refused: case case_03_bright: 3 processes ended while they predicted it" in told
    assert "1 refused" in said
    assert sorted(label_maps(out)) == sorted(path.name for path in scans.iterdir())
    assert [path.name for path in out.glob(".*")] == [".case_03_bright.nii.gz.claim"]
