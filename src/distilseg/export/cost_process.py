"""The process that measures for `cost_probe.py`: `python -m distilseg.export.cost_process ARTEFACT`.

It loads the artefact and reads from stdin, as JSON, either shapes of images, shown to the network as windows
of the artefact or of an inferer that is described, or cases, predicted one after the other with the network
or beside it. It writes what it found to stdout. Beside the network logits are blobs of every class, about as
smooth as those of a network. Memory is 0 where the system does not tell it.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data.case import Source
from ..data.formats.inputs import label_ending
from ..data.planning.plan import plan_of
from ..data.scans.reading import read_scans, write_label_map
from ..runtime.artefact import open_artefact
from ..runtime.inferers import make_inferer
from ..runtime.times import StageTimes
from .cost_of_model import loaded, peak_bytes, reset_peak

FEWEST, MOST = 5, 50  # repeats that count
ENOUGH_S, LONG_S = 1.0, 10.0  # of them: more are not needed; even fewer will do
BLOB = 8  # voxels along an edge


def _main(path: Path) -> None:
    order = json.load(sys.stdin)
    artefact = open_artefact(path)
    predictor = loaded(path, artefact, "cpu", None, None)
    reset_peak()
    found: dict[str, Any] = {"loaded": peak_bytes() or 0}
    if "inferer" in order:
        classes = len(predictor.plan.logits_of(predictor.answers))
        predictor = replace(predictor, inferer=make_inferer(order["inferer"], classes=classes))
    if "images" in order:
        found["images"] = [_windows(predictor, shape) for shape in order["images"]]
    else:
        in_torch = artefact.about.engine == "torch"
        found["cases"] = [_case(predictor, order["network"], in_torch, **one) for one in order["cases"]]
    print(json.dumps(found))


def _windows(predictor: Any, shape: Sequence[int]) -> dict[str, Any]:
    """Seconds of the network's stage for an image of this shape, and the peak."""
    modalities = len(predictor.plan.modalities)
    image = np.random.default_rng(0).standard_normal((modalities, *shape), np.float32)

    def once() -> dict[str, float]:
        times = StageTimes()
        with times.of("network"):
            predictor.logits(image)
        return times.seconds

    reset_peak()
    return {"seconds": _seconds(once)["network"], "peak": peak_bytes() or 0}


def _case(
    predictor: Any, network: bool, in_torch: bool, case: str, images: Mapping[str, Sequence[Any]], plan: str
) -> dict[str, Any]:
    """Seconds of every stage of a case, the peak, and the case's sizes."""
    predictor = replace(predictor, plan=plan_of(plan.encode(), Path("plan.json")))
    sources = {name: Source.of_plain(*plain) for name, plain in images.items()}
    sizes: dict[str, Any] = {}

    def once() -> dict[str, float]:
        times = StageTimes()
        with times.of("reading"):
            scans = read_scans(sources)
        with times.of("preparing"):
            prepared = predictor.prepare(scans, case=case)
        if network:
            with times.of("network"):
                logits = predictor.logits(prepared.image, case=case)
        else:
            logits = _blobs(len(predictor.plan.classes), prepared.grid.working_shape, in_torch)
        with times.of("label export"):
            labels = predictor.labels(logits, prepared.grid)
        with times.of("writing"):
            write_label_map(out, labels, next(iter(scans.values())))
        sizes["working_shape"] = prepared.grid.working_shape
        sizes["stored"] = sum(scan.array.nbytes for scan in scans.values())
        return times.seconds

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / f"labels{label_ending(next(iter(sources.values())).path)}"
        reset_peak()
        stages_s = _seconds(once)
    return {**sizes, "stages_s": stages_s, "peak": peak_bytes() or 0}


def _seconds(once: Callable[[], dict[str, float]]) -> dict[str, float]:
    """The lower quartile of repeats, by stage: what else a machine does adds, and differs from hour to hour.

    The first warms up and does not count.
    """
    repeats: list[dict[str, float]] = []
    once()
    while len(repeats) < FEWEST or (len(repeats) < MOST and _total_s(repeats) < ENOUGH_S):
        repeats.append(once())
        if _total_s(repeats) > LONG_S:
            break
    return {stage: float(np.percentile([one[stage] for one in repeats], 25)) for stage in repeats[0]}


def _total_s(repeats: Sequence[Mapping[str, float]]) -> float:
    return sum(sum(one.values()) for one in repeats)


def _blobs(classes: int, shape: Sequence[int], in_torch: bool) -> Any:
    """Logits [K *S] whose classes change every few voxels."""
    logits, chance = np.empty((classes, *shape), np.float32), np.random.default_rng(0)
    for logits_S in logits:  # one by one: the peak is looked at
        blobs = chance.standard_normal([math.ceil(size / BLOB) for size in shape], np.float32)
        for axis, size in enumerate(shape):
            blobs = blobs.repeat(BLOB, axis).take(range(size), axis)
        logits_S[...] = blobs
    if not in_torch:
        return logits
    import torch

    return torch.from_numpy(logits)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
