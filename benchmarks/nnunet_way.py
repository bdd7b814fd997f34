"""A plan run the way nnU-Net v2 runs it on a processor: the rival of `benchmarks.shipping`, its own process.

What its `predict_from_raw_data` and default plans say, written down with PyTorch and SciPy:

    reading      the whole volume as float32; box of non-zero voxels; normalised
    resampling   the image in float64, order 3 (scikit-image's `resize` is SciPy's `zoom` in grid mode)
    network      eager PyTorch on all cores, a window at a time, half overlapping, Gaussian weights, each the
                 mean over eight mirrorings (or not), the logits summed up in half precision
    export       the logits of every class in float64 to the scan's grid, order 1 as its plans have it, where
                 that is not the network's own; then the argmax, the box undone, NIfTI written

nnU-Net would take five folds; this is one. It would run reading and export in processes beside the network,
which on all cores of one machine gains little; here they follow each other.

Told the first windows and classes to be measured, it leaves out the others, and tells how many there are.
"""

from __future__ import annotations

import itertools
import json
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from distilseg.data.planning.plan import Plan, load_plan
from distilseg.data.preparing.normalise import normalise
from distilseg.data.scans.reading import read_scan, write_label_map
from distilseg.functional.windows import even_starts
from distilseg.networks.build import NetworkSpec, build

Network = Callable[[Tensor], Tensor]
FLIPS = [[2 + axis for axis in axes] for n in range(4) for axes in itertools.combinations(range(3), n)]


def main(order: Mapping[str, Any]) -> dict[str, Any]:
    """Seconds of the start, and of each case: beside the network, of a window plain and mirrored.

    order: started (time.time() before the process), scans, out, plan, network (a spec as a dict), threads, at
    most so many `windows` plain and `mirrored` per case, and `classes` that are resampled.
    """
    torch.set_num_threads(order["threads"])
    plan = load_plan(Path(order["plan"]))
    torch.manual_seed(0)
    network = build(NetworkSpec.from_dict(order["network"])).eval()
    with torch.inference_mode():
        network(torch.zeros(1, 1, *plan.patch))
        start_s = time.time() - order["started"]
        cases = [_case(Path(scan), plan, network, order) for scan in order["scans"]]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"start_s": start_s, "cases": cases, "peak_bytes": peak}


def _case(path: Path, plan: Plan, network: Network, order: Mapping[str, Any]) -> dict[str, float]:
    classes = order["network"]["classes"]
    start = time.perf_counter()
    scan = read_scan(path)
    whole = np.asarray(scan.array, np.float32)
    box = ndimage.find_objects((whole != 0).astype(np.int8))[0]
    image = normalise(whole[box], plan.normalisation[plan.modalities[0]])
    spacings = zip(image.shape, scan.geometry.spacing_mm, plan.spacing_mm, strict=True)
    working = tuple(max(1, round(size * old / new)) for size, old, new in spacings)
    shown = torch.from_numpy(_resized(image, working, order=3))[None, None]
    lacking = [max(0, p - n) for p, n in zip(plan.patch, working, strict=True)]
    ends = [end for more in reversed(lacking) for end in (more // 2, more - more // 2)]
    shown = torch.nn.functional.pad(shown, ends)
    prepared_s = time.perf_counter() - start

    windows = _windows(shown.shape[2:], plan.patch)
    weight = _gaussian(plan.patch)
    logits = torch.zeros(classes, *shown.shape[2:], dtype=torch.half)
    counts = torch.zeros(shown.shape[2:], dtype=torch.half)
    seconds = {}
    for name, flips in (("mirrored", FLIPS), ("windows", FLIPS[:1])):
        here = windows[: order[name]]
        start = time.perf_counter()
        for window in here:
            patch = shown[(..., *window)]
            answer = sum(network(patch.flip(flip)).flip(flip) for flip in flips)
            logits[(slice(None), *window)] += (answer[0] / len(flips) * weight).half()
            counts[window] += weight.half()
        seconds[name] = (time.perf_counter() - start) / len(here)

    start = time.perf_counter()
    logits /= counts.clip(min=1e-3)
    inner = tuple(slice(more // 2, more // 2 + n) for more, n in zip(lacking, working, strict=True))
    measured = min(classes, order["classes"])
    chosen = logits[(slice(measured), *inner)].numpy()
    divided_s = time.perf_counter() - start
    start = time.perf_counter()
    fine = np.empty((measured, *image.shape), np.float32)
    for k, one in enumerate(chosen):
        fine[k] = _resized(one, image.shape, order=1)
    found = fine.argmax(0)
    classes_s = (time.perf_counter() - start) * classes / measured
    start = time.perf_counter()
    labels = np.zeros(whole.shape, np.uint8)
    labels[box] = found
    write_label_map(Path(order["out"]) / path.name, labels, scan)
    written_s = time.perf_counter() - start
    return {
        "beside_s": prepared_s + divided_s + classes_s + written_s,
        "windows": len(windows),
        "plain_s": seconds["windows"],
        "mirrored_s": seconds["mirrored"],
    }


def _resized(volume: Any, shape: Sequence[int], order: int) -> Any:
    if volume.shape == tuple(shape):
        return np.asarray(volume, np.float32)
    zoom = [new / old for new, old in zip(shape, volume.shape, strict=True)]
    resized = ndimage.zoom(volume.astype(np.float64), zoom, order=order, mode="nearest", grid_mode=True)
    return resized.astype(np.float32)


def _windows(shape: Sequence[int], patch: Sequence[int]) -> list[tuple[slice, ...]]:
    starts = (even_starts(size, p, max(1, p // 2)) for size, p in zip(shape, patch, strict=True))
    places = itertools.product(*starts)
    return [tuple(slice(s, s + p) for s, p in zip(place, patch, strict=True)) for place in places]


def _gaussian(patch: Sequence[int]) -> Tensor:
    """Weights [*P] of sigma = patch / 8, 10 at the centre as in nnU-Net, above 0 everywhere."""
    weight = torch.full((), 10.0)
    for size in patch:
        distance = torch.arange(size) - (size - 1) / 2
        weight = weight[..., None] * torch.exp(-0.5 * (distance / (size / 8)) ** 2)
    return weight.clip(min=1e-2)


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
