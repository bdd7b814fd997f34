"""Thickened 2D networks: how thick, which parts, view and stride, against 3D; six hours of a core.

Two seeds of every row, one of the other wiring of attention, on the split of the other hippocampus evidence.
A 3D DynUNet is the rival at equal cost (multiply-accumulates of a case, not of a patch: windows overlap) and
at equal training time. `collect` times all runs one after another: leave the machine alone for ten minutes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from distilseg.runs import Run, find_runs

from .. import collecting
from ..jobs import Job, train_and_judge
from .rows import RIVALS, STRIDES, THICKNESS, THICKNESSES, VIEW_ROWS, VIEWS, row_of, steps_of

DATA = "Task04_Hippocampus"
SEEDS = (0, 1)
ABLATIONS = ("thickened_plain", "thickened_esm", "thickened_concat", "thickened_dot")


def jobs(steps: int = 3000) -> list[list[Job]]:
    """Seed by seed; within one the longest first."""

    def job(recipe: str, options: Mapping[str, Any], seed: int, share: float = 1.0) -> Job:
        return Job(recipe, dict(options), {"steps": round(share * steps), "seed": seed, "evaluate": False})

    def slab(view: str, thickness: int, **more: str) -> dict[str, Any]:
        return {"view": view, "thickness": thickness, **more}

    def dynunet(filters: Sequence[int]) -> dict[str, Any]:
        return {"network": "dynunet", "network_options": {"filters": filters}}

    slabs = [("axial", k) for k in THICKNESSES] + [(view, THICKNESS) for view in VIEWS[1:]]
    whole = [
        one
        for seed in SEEDS
        for one in (
            *(job("supervised", dynunet(filters), seed, share) for filters, share in RIVALS.values()),
            *(job("thickened", slab(*of), seed) for of in slabs),
            *(job(recipe, slab("axial", THICKNESS), seed) for recipe in ABLATIONS),
        )
    ]
    return [[*whole, *(job("thickened", slab(*of, query="group"), SEEDS[0]) for of in slabs[1:])]]


def train_one(job: Job, data: str, runs: str) -> None:
    for run in train_and_judge(job, data, runs):
        _judged(run)


def _judged(run: Run) -> None:
    """Inter-slice similarity too."""
    from distilseg.judge import judge

    judge(run, also=("slice_similarity",), device="cpu")


def collect(runs: str, results: Path) -> None:
    """Fuses each seed's views, steps further with the same weights, and measures what a case costs."""
    from distilseg.views import fused, is_fused

    finished = [
        run for run in find_runs(runs) if run.finished and run.metrics.is_file() and not is_fused(run)
    ]
    about = {run: run.read(run.experiment) for run in finished}
    rows = {run: row_of(about[run], steps_of(finished)) for run in finished}
    for seed in SEEDS:
        views = {rows[run]: run for run in finished if about[run]["seed"] == seed and rows[run] in VIEW_ROWS}
        if len(views) == len(VIEW_ROWS):
            _judged(
                fused([views[row].folder for row in VIEW_ROWS], "vote")
            )  # the first one's settings are told
    for run in finished:
        if rows[run] == VIEW_ROWS[0]:
            for stride in STRIDES:
                _judged(_strided(run, stride))
    collecting.collect(runs, results, measure=partial(_cost, shapes=[]))


def _strided(run: Run, stride: int) -> Run:
    """The same weights, in windows that step by `stride` slices."""

    def change(about: collecting.Experiment) -> None:
        about["options"]["stride"] = about["inferer"]["stride"] = stride

    files = (run.plan, run.split, run.status, run.validation, run.best)
    return collecting.derived(run, f"stride{stride}", change, files)


def _cost(run: Run, shapes: list[tuple[int, ...]]) -> dict[str, Any]:
    """On one thread of an idle machine, as runs were judged beside others; and the work of a whole case.

    shapes: of the prepared test cases, found with the first run, as one plan prepares them for all.
    """
    from distilseg.data.formats import read_dataset
    from distilseg.data.scans.reading import read_scan
    from distilseg.export.cost import Model, measure_costs
    from distilseg.views import load_segmenter

    told = run.read(run.experiment)["dataset"]
    dataset = read_dataset(told["folder"], told["layout"])
    cases = {id: dataset.case(id).images for id in run.read(run.split)["test"]}
    segmenter = load_segmenter(run, device="cpu")
    for id, images in cases.items() if not shapes else ():
        scans = {modality: read_scan(source) for modality, source in images.items()}
        shapes.append(segmenter.prepare(scans, case=id).image.shape)
    timed = {id: {name: source.plain() for name, source in of.items()} for id, of in cases.items()}
    (cost,) = measure_costs([Model(run.folder, timed)], device="cpu", threads=1)
    return {**cost, "multiply_accumulates_per_case": _work(segmenter, shapes)}


def _work(segmenter: Any, shapes: Sequence[tuple[int, ...]]) -> float:
    """Multiply-accumulates of a case, the mean over cases [M *S] of these shapes: all windows, all views."""
    import torch

    from distilseg.networks.count import multiply_accumulates

    total = 0
    for part in getattr(segmenter, "predictors", (segmenter,)):
        classes, passes = len(part.plan.classes), Counter[tuple[int, ...]]()

        def network(image: Any, classes: int = classes, passes: Any = passes) -> Any:
            passes[tuple(image.shape)] += 1
            return torch.zeros(len(image), classes, *image.shape[2:])

        for shape in shapes:
            part.inferer(torch.zeros(1, *shape), network)
        total += sum(times * multiply_accumulates(part.network, shape) for shape, times in passes.items())
    return total / len(shapes)
