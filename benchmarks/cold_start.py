"""One scan, one process: `distilseg predict ARTEFACT one.nii.gz OUT`, against what no such process is spared.

Processor time of the whole process, user and system, because a busy machine changes it little. The bound is
Python that imports NumPy and OpenVINO and compiles the artefact's network: neither a scan nor the network's
answers are in it. Ours finds the network that an earlier start compiled; a row says what that saves.

The artefact is `student_tiny` for OpenVINO with random weights, the scan a phantom of a hippocampus' size.
All run with compiled bytecode, as an installed package does.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from distilseg.data.planning.normalisation import Normalisation
from distilseg.runtime.compiled import VARIABLE

from .common import Row, in_turns, ratio_row
from .shipping import _artefact, _plan, _write_phantom

_BOUND = """
import os, sys
import numpy
sys.modules["openvino.tools.ovc"] = None  # as `runtime/engine.py` leaves it out
import openvino
how = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", "CPU_DENORMALS_OPTIMIZATION": True}
core = openvino.Core()
core.compile_model(core.read_model(sys.argv[1]), "CPU", how).create_infer_request()
os._exit(0)
"""


def main(quick: bool = False) -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan = _plan("MR", 3, (1.0, 1.0, 1.0), (32, 48, 32), Normalisation(kind="zscore"))
        artefact, scan = _artefact(folder / "artefact", plan), folder / "one.nii.gz"
        _write_phantom(scan, 0, (36, 50, 36), (1.0, 1.0, 1.0), "MR")
        own = {"PYTHONPYCACHEPREFIX": str(folder / "bytecode"), "XDG_CACHE_HOME": str(folder / "cache")}
        predict = ["-m", "distilseg", "predict", str(artefact), str(scan), str(folder / "out"), "--overwrite"]
        contestants = {
            "kept": partial(_run, predict, {**own, VARIABLE: "yes"}),
            "compiled": partial(_run, predict, {**own, VARIABLE: "no"}),
            "bound": partial(_run, ["-c", _BOUND, str(artefact / "network.xml")], own),
        }
        used = in_turns(contestants, repeats=2 if quick else 15, clock=_children_s)
    what = "predict, a scan of 36x50x36 voxels, processor time of the whole process"
    return [
        ratio_row(
            "cold start", what, used["kept"], used["bound"], aim="<= 1.3", peer_name="imports and compilation"
        ),
        ratio_row(
            "cold start",
            f"{what}, network kept",
            used["kept"],
            used["compiled"],
            aim="<= 1",
            peer_name="network compiled anew",
        ),
    ]


def _run(order: list[str], variables: Mapping[str, str]) -> None:
    left = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, *order], env={**left, **variables}, capture_output=True, check=True)


def _children_s() -> float:
    """Processor seconds of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
