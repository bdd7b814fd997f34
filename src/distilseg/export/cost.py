"""What a student costs: parameters, multiply-accumulates, seconds a case, peak memory, energy.

Time and memory are measured in a process of its own, which loads the run or the artefact and predicts whole
cases as `distilseg predict` does (reading and writing files aside): a process that has just trained would
show its own memory. The first case warms up and is told apart. An artefact is measured without torch.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..hardware import Waiting, processor_name
from ..runs import Run, open_run
from ..runtime.artefact import Artefact, is_artefact, open_artefact
from ..runtime.inferers import window_shape
from ..runtime.times import STAGES, StageTimes
from .energy import counters, read_uj, used_j
from .graph import counts

WARM_CASES = 3  # at least, for the median
MOST_CASES = 100  # that are timed
LONGEST_S = 4 * 3600  # that the process is waited for
ENOUGH_S = 6.0  # of timing: a median over many cases shrugs off what else the machine does

Scans = Mapping[str, tuple[Any, ...]]  # modality -> file, channel, ...: a `Source` in plain values


def measure_cost(
    model: Run | Path,
    cases: Mapping[str, Scans],
    *,
    device: str = "auto",
    threads: int | None = None,
    trust: str | None = None,
    again: bool = False,
) -> dict[str, Any]:
    """Measures a run or an artefact on `cases` in a fresh process, for a few seconds; what cost.json holds.

    `again`: the cases are repeated until the time is over, so that few of them give quartiles too. `trust` is
    that of `networks.checkpoint.load_network`.

        parameters, multiply_accumulates    of one patch (`counted_on`); None where they cannot be counted
        bytes_on_disk                       the weights of a run; all files of an artefact
        first_s                             until the first label map: process, imports, loading, first case
        load_s, first_case_s                two parts of it
        seconds_per_case, quartiles_s       median, and lower and upper quartile, of the other cases
        stages_s                            their median seconds by stage, and of reading the scans before
        waited                              part of its time spent waiting for a processor that others had
        peak_memory_bytes                   of the process, once it is loaded
        energy_j_per_case                   median by the processor's counters, or None and `energy` says why
    """
    folder = model.folder if isinstance(model, Run) else Path(model)
    order = [sys.executable, "-m", "distilseg.export.cost", str(folder), "--device", device]
    order += ["--began", repr(time.time())]
    order += ["--threads", str(threads)] if threads else []
    order += ["--trust", trust] if trust else []
    order += ["--again"] if again else []
    try:
        done = subprocess.run(
            order, input=json.dumps(cases), capture_output=True, text=True, check=False, timeout=LONGEST_S
        )
    except subprocess.TimeoutExpired:
        raise UserError(
            f"measuring the cost of {folder.name} took more than {LONGEST_S / 3600:.0f} hours and was ended",
            "measure on smaller cases, or on another --device",
        ) from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        last = last.removeprefix("distilseg.errors.UserError: ")
        raise UserError(f"measuring the cost of {folder.name} failed: {last}", "mend that, and measure again")
    cost: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return cost


def _measure(
    path: Path,
    cases: Mapping[str, Scans],
    device: str,
    threads: int | None,
    trust: str | None,
    again: bool,
    began: float,
) -> dict[str, Any]:
    artefact = open_artefact(path) if is_artefact(path) else None
    torch_free = artefact is not None and artefact.about.engine != "torch"
    if not torch_free:
        import torch

        if threads:
            torch.set_num_threads(threads)
    from ..data.case import Source
    from ..data.scans.reading import read_scan

    start = time.perf_counter()
    predictor = loaded(path, artefact, device, threads, trust)
    load_s, until_loaded_s = time.perf_counter() - start, time.time() - began
    reset_peak()
    counted, why = counters()
    waiting = Waiting()
    seconds, joules, voxels, stages = [], [], [], []
    for n, (case, images) in enumerate(itertools.cycle(cases.items()) if again else cases.items()):
        times = StageTimes()
        with times.of("reading"):
            scans = {modality: read_scan(Source.of_plain(*plain)) for modality, plain in images.items()}
        before, start = read_uj(counted), time.perf_counter()
        with times.of("preparing"):
            prepared = predictor.prepare(scans, case=case)
        with times.of("network"):
            logits = predictor.logits(prepared.image, case=case)
        with times.of("label export"):
            labels = predictor.labels(logits, prepared.grid)
        seconds.append(time.perf_counter() - start)
        stages.append(times.seconds)
        joules.append(used_j(counted, before, read_uj(counted)))
        voxels.append(labels.size)
        if (n + 1 > WARM_CASES and sum(seconds) > ENOUGH_S) or n + 1 == MOST_CASES:
            break
    waited = waiting.share()
    peak = peak_bytes()  # before the graph is read once more to be counted
    warm = seconds[1:] or seconds
    return {
        **(_of_artefact(artefact) if artefact is not None else {}),
        **({} if torch_free else _of_torch(predictor)),
        "bytes_on_disk": _bytes(path, artefact),
        "seconds_per_case": statistics.median(warm),
        "quartiles_s": [float(value) for value in np.percentile(warm, [25, 75])],
        "stages_s": {s: statistics.median(one[s] for one in stages[1:] or stages) for s in STAGES[:-1]},
        "first_case_s": seconds[0],
        "load_s": load_s,
        "first_s": until_loaded_s + seconds[0],
        "waited": waited,
        "cases_timed": len(seconds),
        "voxels_per_case": statistics.median(voxels),
        "peak_memory_bytes": peak,
        "energy_j_per_case": statistics.median(joules[1:] or joules) if counted else None,
        "energy": why or "of the whole processor, by RAPL",
        **({"threads": threads or processors()} if torch_free else {}),
        "processor": processor_name(),
    }


def loaded(path: Path, artefact: Artefact | None, device: str, threads: int | None, trust: str | None) -> Any:
    """What segments: a predictor, or several as one."""
    if artefact is None:
        from ..views import load_segmenter

        return load_segmenter(open_run(path), device=device, trust=trust)
    if artefact.about.engine == "torch":
        from ..predict import load_torch_artefact

        return load_torch_artefact(artefact, device=device, trust=trust)
    from ..runtime.views import load_shipped

    return load_shipped(artefact, threads=threads or 0, device=device)


def _of_artefact(artefact: Artefact) -> dict[str, Any]:
    about = artefact.about
    told: dict[str, Any] = {"target": about.target, "engine": about.engine}
    if about.engine == "torch":
        return told
    modalities = len(artefact.plan.modalities)
    shapes = [(1, modalities, *window_shape(view.inferer)[0]) for view in artefact.views]
    counted = [
        counts(artefact.read, view.network, shape) for view, shape in zip(artefact.views, shapes, strict=True)
    ]
    parameters, operations = (None if None in found else sum(found) for found in zip(*counted, strict=True))
    return {
        **told,
        "parameters": parameters,
        "multiply_accumulates": operations,
        "counted_on": list(shapes[0]),
        "device": "cpu",
    }


def _of_torch(predictor: Any) -> dict[str, Any]:
    import torch

    from ..networks.count import multiply_accumulates, parameters
    from ..views import Views

    parts = predictor.predictors if isinstance(predictor, Views) else (predictor,)
    shapes = [(1, len(part.plan.modalities), *part.plan.network_patch) for part in parts]
    return {
        "parameters": sum(parameters(part.network) for part in parts),
        "multiply_accumulates": sum(
            multiply_accumulates(part.network, shape) for part, shape in zip(parts, shapes, strict=True)
        ),
        "counted_on": list(shapes[0]),
        "device": str(parts[0].device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def _bytes(path: Path, artefact: Artefact | None) -> int | None:
    """Of a run its weights, which is what must be kept; of an artefact everything, packed if it is."""
    if artefact is None:
        best = Run(path).best
        return best.stat().st_size if best.is_file() else None
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.iterdir() if file.is_file())


def processors() -> int:
    """That this process may use."""
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def reset_peak() -> None:
    """Forgets the peak so far, where the system allows it (Linux)."""
    import contextlib

    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int | None:
    """The most memory this process held, in bytes: on the GPU if it ran there, else resident."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.max_memory_allocated():
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
    parser = argparse.ArgumentParser(
        description="Measures a run or an artefact on the cases given as JSON on stdin."
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--trust")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--began", type=float, default=time.time(), help="When the process was started.")
    given = parser.parse_args(arguments)
    cases = json.load(sys.stdin)
    measured = _measure(
        given.model, cases, given.device, given.threads, given.trust, given.again, given.began
    )
    print(json.dumps(measured))


if __name__ == "__main__":
    _main()
