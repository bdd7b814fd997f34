"""Many cases on many machines: what parts and claims cost beside the predictions.

    a part's case   300 small scans by four processes with a part each, against one: processor seconds a
                    case, the starts taken off (a start is a process that finds everything done)
    claims          the same scans in one process, against the same without claims
    handing out     100,000 names, no network: what one of 100 jobs takes to know its 1,000 cases and to claim
                    each, against ten times what 10,000 names take; and its memory

Processor time, because a busy machine changes it little; contestants take turns.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

from distilseg.claims import Claim, claim
from distilseg.data.formats.chosen import chosen
from distilseg.data.formats.inputs import find_chosen
from distilseg.data.planning.normalisation import Normalisation
from distilseg.runtime import pipeline
from distilseg.runtime.jobs import place, stamp
from distilseg.runtime.pipeline import predict_files
from distilseg.runtime.views import load_shipped

from .cold_start import _children_s
from .common import Row, in_turns, ratio_row, row
from .memory import resident
from .shipping import _artefact, _plan, _write_phantom

SHAPE, SPACING_MM, PATCH = (24, 32, 24), (1.0, 1.0, 1.0), (32, 32, 32)
PARTS = 4


def main(quick: bool = False) -> list[Row]:
    cases, repeats, names = (8, 1, 1_000) if quick else (300, 3, 100_000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan = _plan("MR", 3, SPACING_MM, PATCH, Normalisation(kind="zscore"))
        artefact, scans = _artefact(folder / "artefact", plan), folder / "scans"
        scans.mkdir()
        for n in range(cases):
            _write_phantom(scans / f"case_{n:05d}.nii.gz", n, SHAPE, SPACING_MM, "MR")
        return [
            _parts(artefact, scans, folder / "out", cases, repeats),
            _claims(artefact, scans, folder / "out", cases, repeats),
            *_handing_out(folder, names),
        ]


def _parts(artefact: Path, scans: Path, out: Path, cases: int, repeats: int) -> Row:
    def predict(*more: str, fresh: bool = True) -> None:
        if fresh:
            shutil.rmtree(out, ignore_errors=True)
        words = [sys.executable, "-m", "distilseg", "predict", str(artefact), str(scans), str(out), *more]
        subprocess.run(words, capture_output=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})

    def in_parts() -> None:
        for k in range(1, PARTS + 1):
            predict("--part", f"{k}/{PARTS}", "--threads", "1", fresh=k == 1)

    contestants: dict[str, Callable[[], object]] = {
        "whole": partial(predict, "--threads", "1"),
        "start": partial(predict, "--threads", "1", fresh=False),
        "parts": in_parts,
    }
    used = in_turns(contestants, repeats=repeats, clock=_children_s)
    per_case = {
        name: [(s - starts * one) / cases for s, one in zip(used[name], used["start"], strict=True)]
        for name, starts in (("whole", 1), ("parts", PARTS))
    }
    return ratio_row(
        "many machines",
        f"{cases} scans in {PARTS} parts, processor seconds a case, starts taken off",
        per_case["parts"],
        per_case["whole"],
        aim="<= 1.05",
        peer_name="one process",
        note=f"a start takes {sorted(used['start'])[len(used['start']) // 2]:.2f} s",
    )


def _claims(artefact: Path, scans: Path, out: Path, cases: int, repeats: int) -> Row:
    predictor = load_shipped(artefact, threads=1)

    def predict() -> None:
        shutil.rmtree(out, ignore_errors=True)
        done = predict_files(predictor, scans, out)
        assert len(done.written) == cases

    def without() -> None:
        with mock.patch.object(pipeline, "claim", _unclaimed):
            predict()

    used = in_turns({"with": predict, "without": without}, repeats=repeats, clock=time.process_time)
    return ratio_row(
        "many machines",
        f"{cases} scans in one process, processor seconds",
        used["with"],
        used["without"],
        aim="<= 1.05",
        peer_name="without claims",
    )


def _unclaimed(path: Path) -> Claim:
    """A folder to write in, and no lock."""
    aside = path.parent / f".{path.name}"
    aside.mkdir(parents=True)
    return Claim(path, aside)


def _handing_out(folder: Path, names: int) -> list[Row]:
    """In processes of their own, for their memory."""
    found = {}
    for many in (names // 10, names):
        scans = folder / f"names_{many}"
        scans.mkdir()
        for n in range(many):
            (scans / f"case_{n:07d}.nii.gz").touch()
        order = [
            sys.executable,
            "-m",
            "benchmarks.many",
            str(scans),
            str(folder / f"claimed_{many}"),
            "3/100",
        ]
        done = subprocess.run(order, capture_output=True, check=True, text=True)
        found[many] = json.loads(done.stdout)
        shutil.rmtree(scans)
    few, many = found[names // 10], found[names]
    told = f"one of 100 jobs knows and claims its {many['cases']:,} of {names:,} cases"
    return [
        row(
            "many machines",
            f"{told}, processor seconds",
            ours=many["seconds"],
            peer=10 * few["seconds"],
            unit="s",
            ratio=many["seconds"] / (10 * few["seconds"]),
            aim="<= 1.5",
            peer_name=f"ten times as for {names // 10:,}",
            repeats=1,
            note=f"of which claims {many['claims_s']:.2f} s",
        ),
        row(
            "many machines",
            f"{told}, memory beside the program",
            ours=many["bytes"] / 1e6,
            peer=10 * few["bytes"] / 1e6,
            unit="MB",
            ratio=many["bytes"] / (10 * few["bytes"]),
            aim="<= 1.5",
            peer_name=f"ten times as for {names // 10:,}",
            repeats=1,
            note="",
        ),
    ]


def hand_out(scans: str, out: str, part: str) -> None:
    """Prints what it takes to know the part's cases, and to claim and release each."""
    before, start = resident("VmRSS"), time.process_time()
    found = find_chosen(scans, ("MR",), chosen=chosen(part, None))
    jobs = place(found.cases, Path(out), found.refused, others=found.others)
    known = [stamp(job.out) for job in jobs]
    begun = time.process_time()
    for job in jobs:
        mine = claim(job.out)
        assert mine is not None
        mine.release()
    end = time.process_time()
    used = max(1, resident("VmHWM") - before)
    told = {"cases": len(known), "seconds": end - start, "claims_s": end - begun, "bytes": used}
    print(json.dumps(told))


if __name__ == "__main__":
    hand_out(*sys.argv[1:])
