"""Minutes on a bare GPU machine: the tests that need CUDA, then dual self-distillation as it was published.

    python scripts/on_a_gpu.py WHEELS DATA OUT --minutes 12        # Python, torch and a GPU are there
    python scripts/on_a_gpu.py WHEELS DATA OUT --minutes 3 --toy   # the same parts, tiny, on a processor

WHEELS and DATA are what `scripts/for_a_gpu.py` filled; nothing is fetched. In turn: the wheels are installed
into a folder of their own; the tests marked `cuda` run, for a sixth of the time at most; a step of each
network is measured, alone and beside the others; what is left is divided over three networks, each trained
plainly, with deep supervision and with dual self-distillation; one fold, judged on its test cases.

OUT holds, from the first minute on and however this ends,

    summary.json     what was done, measured and planned
    rows.csv         a line a judged run
    results.tar.gz   what belongs into results/hippocampus-dsd-gpu
    tests.txt        what pytest said
    log.txt          what all else said

Exit code: 0 all done, 1 something failed or was cut off; the summary says what.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]  # the project is not installed

from evidence.hippocampus_dsd_gpu import kept, timing  # noqa: E402

STUDY = "hippocampus-dsd-gpu"
ALL_DONE = "all done"
TESTS = ["-m", "cuda", "-W", "default", "-p", "no:cacheprovider", "tests/cuda", "tests/networks/test_cotr.py"]
PIP = ["pip", "install", "-q", "--no-index", "--no-deps", "--no-compile", "--target"]
NEEDED = ("torch", "monai", "nibabel", "pydantic", "lightning_fabric", "scipy", "safetensors", "pytest")
FACTS = f"""
import importlib.util, json, platform, torch
told = {{"python": platform.python_version(), "torch": torch.__version__}}
told["gpu"] = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
told["missing"] = [name for name in {NEEDED!r} if importlib.util.find_spec(name) is None]
print(json.dumps(told))
"""


class Session:
    """The clock, the folder for what is found, and the program that runs."""

    def __init__(self, out: Path, scratch: Path, minutes: float, toy: bool) -> None:
        self.out, self.scratch, self.seconds, self.toy = out, scratch, 60 * minutes, toy
        self.runs = scratch / "runs"
        self.began = time.monotonic()
        self.summary: dict[str, Any] = {"minutes": minutes, "toy": toy, "ended": "cut off", "parts": {}}
        self.running: subprocess.Popen[bytes] | None = None
        self.judged = 0
        paths = [str(scratch / "site"), *sys.path[:2], os.environ.get("PYTHONPATH", "")]
        self.environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "XDG_CACHE_HOME": str(scratch / "cache"),
            **({"DISTILSEG_TEST_DEVICE": "cpu"} if toy else {}),
        }
        out.mkdir(parents=True, exist_ok=True)

    @property
    def left_s(self) -> float:
        return self.seconds - (time.monotonic() - self.began)

    def tell(self, **more: Any) -> None:
        """Adds to summary.json, which is always whole."""
        self.summary |= {**more, "seconds": round(time.monotonic() - self.began, 1)}
        aside = self.out / ".summary.json"
        aside.write_text(json.dumps(self.summary, indent=2) + "\n", encoding="utf-8")
        aside.replace(self.out / "summary.json")

    def part(self, name: str, module: Sequence[str], limit_s: float, log: str = "log.txt") -> bool:
        """Runs `python -m MODULE ...`, ended with all that it started at its limit. Whether it succeeded."""
        command, start = [sys.executable, "-m", *module], time.monotonic()
        with (self.out / log).open("ab") as file:
            self.running = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            code = self._ended(start + max(limit_s, 1.0))
        how = "ended at its limit" if code is None else code
        self.summary["parts"][name] = {"seconds": round(time.monotonic() - start, 1), "exit": how}
        self.tell()
        return code == 0

    def _ended(self, until: float) -> int | None:
        """The exit code; None where it had to be ended. Runs that are judged meanwhile are kept at once."""
        assert self.running is not None
        try:
            while (left := until - time.monotonic()) > 0:
                with suppress(subprocess.TimeoutExpired):
                    return self.running.wait(min(5.0, left))
                self.keep()
            return None
        finally:
            self.end()

    def end(self) -> None:
        """Ends what is running, and what that started."""
        if self.running is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.running.pid, signal.SIGKILL)
            self.running.wait()
            self.running = None

    def keep(self) -> None:
        """rows.csv and results.tar.gz anew, where another run was judged."""
        rows = kept.rows(self.runs)
        if len(rows) > self.judged:
            self.judged = len(rows)
            kept.write_rows(rows, self.out / "rows.csv")
            kept.pack(self.runs, self.scratch / STUDY, self.out / "results.tar.gz", self.out / "log.txt")
            self.tell(judged=self.judged)


def carry_out(session: Session, wheels: Path, data: Path) -> str:
    """All parts in turn; what there is to say in the end."""
    files = [str(path) for path in sorted(wheels.glob("*.whl"))]
    if files and not session.part("install", [*PIP, str(session.scratch / "site"), *files], session.left_s):
        return "the wheels could not be installed; see log.txt"
    facts = subprocess.run(
        [sys.executable, "-c", FACTS], env=session.environment, capture_output=True, text=True, check=False
    )
    if facts.returncode:
        return f"torch cannot be imported: {(facts.stderr.strip().splitlines() or ['no word'])[-1]}"
    session.tell(**json.loads(facts.stdout))
    if missing := session.summary["missing"]:
        return f"not on this machine: {', '.join(missing)}; add their wheels"
    if not (session.summary["gpu"] or session.toy):
        return "torch finds no GPU on this machine; --toy tries the parts on a processor"

    limit_s = timing.TESTS * session.seconds
    passed = session.part("tests", ["pytest", "-v", *TESTS], limit_s, log="tests.txt")
    session.tell(tests=((session.out / "tests.txt").read_text(encoding="utf-8").splitlines() or [""])[-1])

    plan = planned(session, data)
    if plan is None:
        return "no time is left to train, or a step could not be measured; see log.txt"
    session.tell(plan=asdict(plan))
    told = ["--steps", json.dumps(plan.steps), "--minutes", json.dumps(plan.minutes)]
    trained = _jobs(session, "train", data, session.runs, plan.processes, told, spare_s=timing.LAST_S)
    if not trained:
        return "not every run was finished in time; see log.txt"
    return ALL_DONE if passed else "the tests failed or were ended; see tests.txt"


def planned(session: Session, data: Path) -> timing.Plan | None:
    """Measures steps: of one job alone, then of all beside one another, and with these what judging takes."""
    alone_s, beside_s = timing.ALONE * session.seconds, timing.BESIDE * session.seconds
    alone, beside = session.scratch / "alone", session.scratch / "beside"
    once = ["--validations", "1", "--minutes"]  # when the minutes are over: within them there are steps alone
    only = ["--only", json.dumps([timing.ALONE_JOB]), "--judged", "false", *once, str(alone_s / 60)]
    all_nine = [*once, str(beside_s / 60)]
    if not (
        _jobs(session, "measure alone", data, alone, 1, only)
        and _jobs(session, "measure beside", data, beside, 9, all_nine)
    ):
        return None
    overhead_s = session.summary["parts"]["measure beside"]["seconds"] - beside_s
    one, rates = kept.rates(alone, alone_s), kept.rates(beside, beside_s)
    session.tell(steps_a_second_alone=one, steps_a_second_beside=rates, overhead_s=round(overhead_s, 1))
    if not (one.get(timing.ALONE_JOB) and rates.get(timing.ALONE_JOB)):
        return None
    speedup = one[timing.ALONE_JOB] / rates[timing.ALONE_JOB]
    return timing.plan(rates, speedup, overhead_s, session.left_s)


def _jobs(
    session: Session,
    name: str,
    data: Path,
    runs: Path,
    processes: int,
    told: Sequence[str],
    spare_s: float = 0.0,
) -> bool:
    where = ["--data", str(data), "--runs", str(runs), "--processes", str(processes)]
    toy = ["--toy", "true", "--device", '"cpu"'] if session.toy else []
    return session.part(name, ["evidence", STUDY, "run", *where, *told, *toy], session.left_s - spare_s)


def main(arguments: Sequence[str] | None = None) -> int:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("wheels", type=Path, help="folder of wheels; it may be empty")
    parser.add_argument("data", type=Path, help="folder of the hippocampus scans, Task04_Hippocampus")
    parser.add_argument("out", type=Path, help="folder for what is found")
    parser.add_argument("--minutes", type=float, default=12.0, help="all in all (default: 12)")
    parser.add_argument("--toy", action="store_true", help="one tiny network, on a processor")
    given = parser.parse_args(arguments)
    for folder in (given.wheels, given.data):
        if not folder.is_dir():
            parser.error(f"{folder} is no folder; scripts/for_a_gpu.py fills one")
    if not given.minutes > 0:
        parser.error(f"--minutes is {given.minutes:g}; give a number above 0")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="on-a-gpu-") as scratch:
        session = Session(given.out.resolve(), Path(scratch), given.minutes, given.toy)
        told = "cut off"
        try:
            told = carry_out(session, given.wheels.resolve(), given.data.resolve())
        finally:
            session.end()
            session.keep()
            session.tell(ended=told)
    print(told)
    return 0 if told == ALL_DONE else 1


if __name__ == "__main__":
    sys.exit(main())
