"""The process that measures one model for `cost.py`: `python -m distilseg.export.cost_of_model MODEL`.

It reads from stdin a line of JSON, the cases; predicts one of them, says so, and then measures once for each
line that follows, and says so again. When there is nothing more to read it writes what it found. An artefact
is measured without torch.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..hardware import Waiting, processor_name
from ..runs import Run, open_run
from ..runtime.artefact import Artefact, is_artefact, open_artefact
from ..runtime.inferers import window_shape
from ..runtime.times import STAGES, StageTimes
from .energy import counters, read_uj, used_j
from .graph import counts

TURNS = 4  # in which a model is measured
ENOUGH_S = 6.0  # of timing: a median over many cases shrugs off what else the machine does
MOST_CASES = 100  # that are timed

Scans = Mapping[str, tuple[Any, ...]]  # modality -> file, channel, ...: a `Source` in plain values


class _Timed:
    """Cases predicted one after another, and how long each took."""

    def __init__(self, predictor: Any, cases: Mapping[str, Scans], again: bool) -> None:
        self.predictor = predictor
        self.left: Iterator[tuple[str, Scans]] = (
            itertools.cycle(cases.items()) if again else iter(cases.items())
        )
        self.counted, self.why = counters()
        self.seconds: list[float] = []
        self.joules: list[float] = []
        self.voxels: list[int] = []
        self.stages: list[dict[str, float]] = []

    def turn(self) -> None:
        """A part of the time that is enough, one case at least; nothing where there are no more cases."""
        begun = len(self.seconds)
        while self.one() and sum(self.seconds[begun:]) < ENOUGH_S / TURNS:
            pass

    def one(self) -> bool:
        """The next case; False where there is none."""
        from ..data.case import Source
        from ..data.scans.reading import read_scan

        case, images = next(self.left, ("", {}))
        if not images or len(self.seconds) == MOST_CASES:
            return False
        times = StageTimes()
        with times.of("reading"):
            scans = {modality: read_scan(Source.of_plain(*plain)) for modality, plain in images.items()}
        before, start = read_uj(self.counted), time.perf_counter()
        with times.of("preparing"):
            prepared = self.predictor.prepare(scans, case=case)
        labels = self.predictor.ask(prepared, case=case, times=times)()
        self.seconds.append(time.perf_counter() - start)
        self.stages.append(times.seconds)
        self.joules.append(used_j(self.counted, before, read_uj(self.counted)))
        self.voxels.append(labels.size)
        return True


def _measure(given: argparse.Namespace, turns: Iterator[str]) -> dict[str, Any]:
    path: Path = given.model
    artefact = open_artefact(path) if is_artefact(path) else None
    torch_free = artefact is not None and artefact.about.engine != "torch"
    if not torch_free:
        import torch

        if given.threads:
            torch.set_num_threads(given.threads)

    cases = json.loads(next(turns))
    start = time.perf_counter()
    predictor = loaded(path, artefact, given.device, given.threads, given.trust)
    load_s, until_loaded_s = time.perf_counter() - start, time.time() - given.began
    reset_peak()
    waiting, timed = Waiting(), _Timed(predictor, cases, given.again)
    timed.one()
    print("loaded", flush=True)
    for _ in turns:
        timed.turn()
        print("measured", flush=True)
    waited = waiting.share()
    peak = peak_bytes()  # before the graph is read once more to be counted
    warm = slice(1, None) if len(timed.seconds) > 1 else slice(None)
    seconds, stages, joules = timed.seconds[warm], timed.stages[warm], timed.joules[warm]
    return {
        **(_of_artefact(artefact) if artefact is not None else {}),
        **({} if torch_free else _of_torch(predictor)),
        "bytes_on_disk": _bytes(path, artefact),
        "seconds_per_case": statistics.median(seconds),
        "quartiles_s": [float(value) for value in np.percentile(seconds, [25, 75])],
        "stages_s": {s: statistics.median(one[s] for one in stages) for s in STAGES[:-1]},
        "first_case_s": timed.seconds[0],
        "load_s": load_s,
        "first_s": until_loaded_s + timed.seconds[0],
        "waited": waited,
        "cases_timed": len(timed.seconds),
        "voxels_per_case": statistics.median(timed.voxels),
        "peak_memory_bytes": peak,
        "energy_j_per_case": statistics.median(joules) if timed.counted else None,
        "energy": timed.why or "of the whole processor, by RAPL",
        **({"threads": given.threads or processors()} if torch_free else {}),
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
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--trust")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--began", type=float, default=time.time(), help="When the process was started.")
    print(json.dumps(_measure(parser.parse_args(arguments), iter(sys.stdin))))


if __name__ == "__main__":
    _main()
