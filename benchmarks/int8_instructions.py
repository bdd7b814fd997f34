"""`python -m benchmarks.int8_instructions`: int8 against float where a processor lacks instructions for it.

oneDNN, which computes OpenVINO's layers, is held to fewer instructions than this processor has, by its
ONEDNN_MAX_CPU_ISA, each time in a process of its own: what there is, AVX-512 without VNNI, AVX2. OpenVINO's
own code between the layers is not held, and an older processor differs in more than its instructions, so the
ratios say what VNNI gives here, not what another machine would show. An export measures that machine itself.

Processor time, one thread, one window and four, in turns, medians; written to results/int8-instructions.csv.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from distilseg.export.openvino import write_openvino
from distilseg.export.quantise import engine_of, write_int8
from distilseg.networks.build import NetworkSpec, build
from distilseg.networks.folding import folded
from distilseg.runs import write_rows

from .common import Row, in_turns, machine

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "results" / "int8-instructions.csv"
HELD = {"all there are": "DEFAULT", "AVX-512, no VNNI": "AVX512_CORE", "AVX2": "AVX2"}
PATCH = (32, 48, 32)
NETWORKS = {
    "student_tiny": NetworkSpec("student_tiny", 1, 3, PATCH),
    "student_small": NetworkSpec("student_small", 1, 3, PATCH),
    "student_base": NetworkSpec("student_base", 1, 3, PATCH),
    "DynUNet 16...256": NetworkSpec("dynunet", 1, 3, PATCH),
}
REPEATS = 9


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        windows = np.random.default_rng(0).standard_normal((4, 1, *PATCH), np.float32)
        for name, spec in NETWORKS.items():
            torch.manual_seed(0)
            in_float, in_int8 = (Path(folder) / f"{form}.xml" for form in ("float", "int8"))
            write_openvino(folded(build(spec).eval()), in_float, modalities=1, patch=PATCH)
            write_int8(in_float, in_int8, [window[None] for window in windows])
            for told, held in HELD.items():
                rows += [{"network": name, "instructions": told, **one} for one in _held(folder, held)]
    for one in rows:
        print(f"{one['network']:18} {one['instructions']:18} {one['windows']} {one['int8_of_float']:7.3f}")
    write_rows(RESULT, [{**one, **machine()} for one in rows])


def _held(folder: str, instructions: str) -> list[Row]:
    """What the child says, on one window and on four."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.int8_instructions", folder],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": instructions},
        stdout=subprocess.PIPE,
        check=True,
        cwd=ROOT,
    )
    told: list[Row] = json.loads(done.stdout)
    return told


def _measured(folder: Path) -> list[Row]:
    engines = {form: engine_of(folder / f"{form}.xml", threads=1) for form in ("float", "int8")}
    rows = []
    for count in (1, 4):
        shown = np.random.default_rng(1).standard_normal((count, 1, *PATCH), np.float32)
        calls = {form: lambda engine=engine, shown=shown: engine(shown) for form, engine in engines.items()}  # type: ignore[misc]
        seconds = in_turns(calls, repeats=REPEATS, clock=time.process_time, again=True)
        ratio = statistics.median(i / f for i, f in zip(seconds["int8"], seconds["float"], strict=True))
        ms = {f"{form}_ms": round(1000 * statistics.median(times), 2) for form, times in seconds.items()}
        rows.append({"windows": count, **ms, "int8_of_float": round(ratio, 3), "repeats": REPEATS})
    return rows


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(_measured(Path(sys.argv[1]))))
    else:
        main()
