"""In which number format a step is computed: on a GPU measured, not assumed; on a processor float32.

One short probe of the very step that will be trained decides, and its answer is kept for this machine,
network and patch. Processors are not asked: in bfloat16 their 3x3x3 convolutions of the smallest maps
(2 x 3 x 2 voxels; PyTorch 2.13, AVX-512) give weights' gradients that are infinite or wrong, now and then,
and a step that is fast and wrong is no candidate. `--precision bf16-mixed` still asks for it.
"""

from __future__ import annotations

import copy
import hashlib
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from ..data.sampling.augmentation import Augmentation
from ..data.sampling.batches import Maps, batches
from ..data.sampling.patches import PatchSampler
from ..errors import UserError
from ..files import write_json
from ..hardware import processor_name
from ..json_files import read_object
from ..runs import Run
from ..user_cache import kept_if_possible, user_cache
from .experiment import Experiment
from .machine import Machine, make_fabric
from .objective import Objective, arguments

WORTH_IT = 0.9  # of the time in float32


def choose_precision(
    experiment: Experiment,
    machine: Machine,
    run: Run,
    objective: Objective,
    sampler: PatchSampler,
    maps: Maps | None = None,
) -> tuple[str, dict[str, float]]:
    """As asked for; as the run began, if it resumes; else by measurement of this very step."""
    if run.experiment.is_file():
        began = run.read(run.experiment).get("machine", {})
        if machine.precision in ("auto", began.get("precision")):
            return began["precision"], began.get("probed_s", {})
    if machine.precision != "auto":
        return machine.precision, {}

    def measure() -> tuple[str, dict[str, float]]:
        share = experiment.sampling.batch_size // (machine.devices * machine.nodes)
        feed = batches(sampler, Augmentation(), batch_size=max(1, share), first_step=0, steps=1, maps=maps)
        device = torch.device(machine.kind)
        probe = copy.deepcopy(objective).to(device)
        given = arguments(next(feed).to(device))

        def step() -> None:
            total, _ = probe(**given, progress=0.0)
            total.backward()

        # Without the recipe: a control and its student, which are compared, get the same number format.
        about = repr([{r: s.to_dict() for r, s in experiment.networks.items()}, share])
        return fastest_precision(step, machine.kind, about=about)

    if machine.devices * machine.nodes == 1:
        return measure()
    scout = make_fabric(machine, "32-true")  # all processes must agree: the first one measures
    found: tuple[str, dict[str, float]] = scout.broadcast(measure() if scout.is_global_zero else ("", {}))
    return found


def candidates(kind: str) -> tuple[str, ...]:
    """Number formats that `kind` of device computes fully and rightly."""
    if kind == "cuda":
        return (
            ("bf16-mixed", "16-mixed", "32-true")
            if torch.cuda.is_bf16_supported()
            else ("16-mixed", "32-true")
        )
    return ("32-true",)


def fastest_precision(
    step: Callable[[], object], kind: str, *, about: str, cache: Path | None = None, repeats: int = 5
) -> tuple[str, dict[str, float]]:
    """The number format in which `step` (forward and backward, float32 weights) is fastest.

    Fewer bits must be worth it: a candidate replaces float32 only if it saves a tenth of the time. Returns
    the format with the median seconds of each candidate. `about` describes network, patch and batch: the
    answer is kept under it in `cache` (default: the user's cache), so that a machine is probed once.
    """
    formats = candidates(kind)
    if len(formats) == 1:
        return formats[0], {}
    name = (
        torch.cuda.get_device_name() if kind == "cuda" else f"{processor_name()} x{torch.get_num_threads()}"
    )
    key = hashlib.blake2b(
        json.dumps([about, kind, name, torch.__version__]).encode(), digest_size=8
    ).hexdigest()
    kept = (cache or user_cache()) / "precision" / f"{key}.json"
    seconds = _kept(kept, formats)
    if seconds is None:
        seconds = _median_seconds(step, kind, formats, repeats)
        found = {"about": about, "machine": name, "torch": torch.__version__, "seconds": seconds}
        with kept_if_possible("which number format is fastest", kept.parent):
            write_json(kept, found)
    weighed = {precision: s if precision == "32-true" else s / WORTH_IT for precision, s in seconds.items()}
    return min(weighed, key=weighed.__getitem__), seconds


def _kept(path: Path, formats: Sequence[str]) -> dict[str, float] | None:
    """What was measured before; None where nothing was, or is damaged: it is then measured again."""
    try:
        seconds = read_object(path)["seconds"]
        return {precision: float(seconds[precision]) for precision in formats}
    except (UserError, LookupError, TypeError, ValueError):
        return None


def _median_seconds(
    step: Callable[[], object], kind: str, formats: Sequence[str], repeats: int
) -> dict[str, float]:
    """In turns, so that a machine that slows down meanwhile slows every format."""
    dtypes = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
    times: dict[str, list[float]] = {precision: [] for precision in formats}
    for _ in range(repeats + 1):  # the first warms up
        for precision in formats:
            dtype = dtypes.get(precision)
            start = time.perf_counter()
            with torch.autocast(kind, dtype=dtype, enabled=dtype is not None):
                step()
            if kind == "cuda":
                torch.cuda.synchronize()
            times[precision].append(time.perf_counter() - start)
    return {precision: statistics.median(values[1:]) for precision, values in times.items()}
