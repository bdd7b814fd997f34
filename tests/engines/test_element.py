"""One command line in a process of its own: how it ends, who starts it again, who waits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from distilseg.cli import main
from distilseg.engines.element import MOST_STARTS, how_ended, is_running, run
from distilseg.engines.submission import Element, Submission, new_submission
from distilseg.errors import UserError

from . import small


def submission(folder: Path, *lines: tuple[str, ...]) -> Submission:
    made = new_submission(folder / "out", "x", [Element("a", line) for line in lines], engine="local")
    made.write()
    return made


def element(made: Submission, number: int = 1) -> subprocess.Popen[bytes]:
    order = [sys.executable, "-m", "distilseg.engines.element", str(made.commands), str(number)]
    return subprocess.Popen(order, stderr=subprocess.DEVNULL)


def until(happens: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not happens():  # type: ignore[operator]
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def test_how_it_ended_is_kept(model: Path, scans: Path, tmp_path: Path) -> None:
    good = ("predict", str(model), str(scans / "scan_000.nii.gz"), str(tmp_path / "out"))
    made = submission(tmp_path, good, ("predict", str(tmp_path / "none"), "a", "b"))
    assert how_ended(made.commands, 1) is None
    assert run(made.commands, 1).code == 0
    assert (tmp_path / "out" / "scan_000.nii.gz").is_file()
    refused = run(made.commands, 2)
    assert (refused.code, refused.starts) == (2, 1)
    assert refused.told[0].startswith("error: there is no")
    assert how_ended(made.commands, 2) == refused
    with pytest.raises(UserError, match="has no line 3"):
        run(made.commands, 3)


@pytest.mark.usefixtures("mortal")
def test_what_dies_is_started_again_and_a_case_that_it_dies_of_is_refused(
    model: Path, tmp_path: Path
) -> None:
    scans, out = small.scans(tmp_path / "scans", 3, "poison"), tmp_path / "out"
    ended = run(submission(tmp_path, ("predict", str(model), str(scans), str(out))).commands, 1)
    assert (ended.code, ended.starts) == (1, MOST_STARTS)
    assert ended.told[0].startswith("refused: case poison: 3 processes ended")
    assert sorted(path.name for path in out.glob("*.nii.gz")) == [f"scan_00{n}.nii.gz" for n in range(3)]


@pytest.mark.usefixtures("mortal")
def test_what_dies_every_time_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "worker" / "sitecustomize.py").write_text(
        "import os, sys\nif 'distilseg.engines.tied' in sys.orig_argv: os.kill(os.getpid(), 9)\n"
    )
    ended = run(submission(tmp_path, ("recipes",)).commands, 1)
    assert (ended.code, ended.starts) == (-signal.SIGKILL, MOST_STARTS)
    assert ended.told == (f"error: SIGKILL ended it {MOST_STARTS} times",)
    assert not ended.went_through


@pytest.mark.usefixtures("mortal")
def test_it_ends_with_whoever_started_it_and_leaves_nothing(
    model: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner is killed while a scan is in its hands: that is given back, and the next owner does all."""
    monkeypatch.setenv("SLOW_S", "0.5")
    out = tmp_path / "out"
    made = submission(tmp_path, ("predict", str(model), str(scans), str(out)))
    owner = element(made)
    until(lambda: out.is_dir() and list(out.glob("*.nii.gz")))
    assert is_running(made.commands, 1)
    owner.kill()
    owner.wait()
    until(lambda: not is_running(made.commands, 1))
    count = len(list(out.glob("*.nii.gz")))
    assert count < 12
    assert small.hidden(out) == []  # claims were given back, and no case is blamed
    monkeypatch.setenv("SLOW_S", "0")
    assert run(made.commands, 1).code == 0
    assert len(list(out.glob("*.nii.gz"))) == 12
    assert small.hidden(out) == []


@pytest.mark.usefixtures("mortal")
def test_two_of_one_element_run_one_after_the_other(
    model: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLOW_S", "0.1")
    out = tmp_path / "out"
    made = submission(tmp_path, ("predict", str(model), str(scans), str(out)))
    both = [element(made), element(made)]
    assert [one.wait() for one in both] == [0, 0]
    said = (made.folder / "elements" / "1.log").read_text()
    assert f"12 written to {out}, 0 refused" in said
    assert f"0 written to {out}, 12 there already" in said


def test_a_bug_holds_up_what_waits_and_a_refused_scan_does_not(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans = small.scans(tmp_path / "scans", 1)
    (scans / "bad.nii.gz").write_text("Dear radiologist")
    made = submission(tmp_path, ("predict", str(model), str(scans), str(tmp_path / "out")), ("recipes",))
    refused = run(made.commands, 1)
    assert (refused.code, refused.went_through) == (1, True)
    assert element(made).wait() == 0  # a queue's dependency, afterok, is met
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker" / "sitecustomize.py").write_text(
        "import sys\nif 'distilseg.engines.tied' in sys.orig_argv:\n"
        "    from distilseg.cli import show\n    show.print_recipes = None\n"
    )
    monkeypatch.setenv("PYTHONPATH", small.joined(tmp_path / "worker"))
    bug = run(made.commands, 2)
    assert (bug.code, bug.went_through) == (1, False)
    assert "did not foresee" in bug.told[0]


def test_a_queue_s_element_ends_as_its_process(tmp_path: Path) -> None:
    made = submission(tmp_path, ("predict", str(tmp_path / "none"), "a", "b"))
    assert element(made).wait() == 2


def test_commands_run_where_they_were_submitted(
    model: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = submission(tmp_path, ("predict", str(model), str(scans), "out"))
    monkeypatch.chdir(os.sep)
    assert run(made.commands, 1).code == 0
    assert len(list((tmp_path / "out").iterdir())) == 12
    assert main(["predict", str(model), str(scans), str(tmp_path / "out")]) == 0
