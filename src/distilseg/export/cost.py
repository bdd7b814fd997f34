"""What a run's student costs: parameters, multiply-accumulates, seconds a case, peak memory.

Time and memory are measured in a process of its own, which loads the run and predicts whole cases as
`distilseg predict` does (reading and writing files aside): a process that has just trained would show its
own memory. The first case warms up and is told apart.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..hardware import processor_name
from ..runs import Run, open_run

WARM_CASES = 3  # at least, for the median
ENOUGH_S = 6.0  # of timing: a median over many cases shrugs off what else the machine does

Scans = Mapping[str, tuple[Any, ...]]  # modality -> file, channel, ...: a `Source` in plain values


def measure_cost(
    run: Run,
    cases: Mapping[str, Scans],
    *,
    device: str = "auto",
    threads: int | None = None,
    trust: str | None = None,
) -> dict[str, Any]:
    """Measures up to all of `cases` in a fresh process, for a few seconds; returns what cost.json holds.

    `trust` is that of `networks.checkpoint.load_network`.
    """
    order = [sys.executable, "-m", "distilseg.export.cost", str(run.folder), "--device", device]
    if threads:
        order += ["--threads", str(threads)]
    if trust:
        order += ["--trust", trust]
    done = subprocess.run(order, input=json.dumps(cases), capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(
            f"measuring the cost of {run.name} failed: {last}", "run `distilseg evaluate` on it again"
        )
    cost: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return cost


def _measure(
    folder: Path, cases: Mapping[str, Scans], device: str, threads: int | None, trust: str | None
) -> dict[str, Any]:
    import torch

    from ..data.case import Source
    from ..data.image import read_scan
    from ..networks.count import multiply_accumulates, parameters
    from ..views import Views, load_segmenter

    if threads:
        torch.set_num_threads(threads)
    start = time.perf_counter()
    predictor = load_segmenter(open_run(folder), device=device, trust=trust)
    load_s = time.perf_counter() - start
    _reset_peak()
    seconds, voxels = [], []
    for case, images in cases.items():
        scans = {modality: read_scan(Source.of_plain(*plain)) for modality, plain in images.items()}
        start = time.perf_counter()
        labels = predictor.segment(scans, case=case)
        seconds.append(time.perf_counter() - start)
        voxels.append(labels.size)
        if len(seconds) > WARM_CASES and sum(seconds) > ENOUGH_S:
            break
    parts = predictor.predictors if isinstance(predictor, Views) else (predictor,)
    shapes = [(1, len(part.plan.modalities), *part.plan.network_patch) for part in parts]
    return {
        "parameters": sum(parameters(part.network) for part in parts),
        "multiply_accumulates": sum(
            multiply_accumulates(part.network, shape) for part, shape in zip(parts, shapes, strict=True)
        ),
        "counted_on": list(shapes[0]),
        "seconds_per_case": statistics.median(seconds[1:] or seconds),
        "first_case_s": seconds[0],
        "load_s": load_s,
        "cases_timed": len(seconds),
        "voxels_per_case": statistics.median(voxels),
        "peak_memory_bytes": _peak(),
        "device": str(parts[0].device),
        "threads": torch.get_num_threads(),
        "processor": processor_name(),
        "torch": torch.__version__,
    }


def _reset_peak() -> None:
    """Forgets the peak so far, where the system allows it (Linux)."""
    import contextlib

    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int | None:
    """The most memory this process held, in bytes: on the GPU if it ran there, else resident."""
    import torch

    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return int(torch.cuda.max_memory_allocated())
    status = Path("/proc/self/status")
    if status.is_file():
        line = next((line for line in status.read_text().splitlines() if line.startswith("VmHWM")), "")
        return int(line.split()[1]) * 1024 if line else None
    try:
        import resource
    except ImportError:
        return None
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # bytes on macOS


def _main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measures a run's cost on the cases given as JSON on stdin.")
    parser.add_argument("run", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--trust")
    given = parser.parse_args(arguments)
    measured = _measure(given.run, json.load(sys.stdin), given.device, given.threads, given.trust)
    print(json.dumps(measured))


if __name__ == "__main__":
    _main()
