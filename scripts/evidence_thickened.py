"""Evidence for thickened 2D networks on hippocampus MR: how thick, which parts, which view, which stride,
against 3D.

    python scripts/evidence_thickened.py train --data D     # an hour and a half of four cores; resumes
    python scripts/evidence_thickened.py collect            # views fused; runs -> results/hippocampus-thickened
    python scripts/evidence_thickened_page.py               # results -> docs/evidence, README

Two seeds of every row, seed by seed, but one of the other wiring of attention, on the split of the other hippocampus evidence. A 3D DynUNet is the
rival at equal cost (multiply-accumulates of a case, not of a patch: windows overlap) and at equal training
time. `collect` times all runs one after another: leave the machine alone for its ten minutes.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evidence_arguments import carry_out, training
from evidence_jobs import ROOT, Job, collect, run_one

if TYPE_CHECKING:
    from distilseg.runs import Run

RESULTS = ROOT / "results" / "hippocampus-thickened"
SEEDS = (0, 1)
STEPS = 3000
THICKNESSES = (1, 3, 6, 9, 12, 15)
THICKNESS = 12  # of all rows that do not vary it, as in the paper's ablations
STRIDES = (3, 6, 12)  # slices from one window to the next, beside 1 of all other rows
VIEWS = ("axial", "coronal", "sagittal")
ABLATIONS = ("thickened_plain", "thickened_esm", "thickened_concat", "thickened_dot")

# DynUNets: filters, and what part of the steps. A step holds as many voxels as one of the thickened networks.
# An axial test case costs 3.8 GMAC at thickness 12, all views 13.3; DynUNets of these widths 3.8 and 13.0.
# Seconds of a step, one thread: axial 0.046, all views 0.160; these DynUNets 0.156 and 0.284.
NARROW, WIDE = [7, 14, 28, 56, 112], [13, 26, 52, 104, 208]
RIVALS: Mapping[str, tuple[list[int], float]] = {
    "dynunet_steps": (NARROW, 1.0),
    "dynunet_time": (NARROW, 0.30),
    "dynunet_fused": (WIDE, 0.56),
}
ALSO = ("slice_similarity",)


def jobs(steps: int) -> list[Job]:
    """Seed by seed; within one the longest first."""

    def job(recipe: str, options: Mapping[str, Any], share: float, seed: int) -> Job:
        return Job(recipe, dict(options), {"steps": round(share * steps), "seed": seed, "evaluate": False})

    orders: list[tuple[str, dict[str, Any], float]] = [
        *(
            ("supervised", {"network": "dynunet", "network_options": {"filters": filters}}, share)
            for filters, share in RIVALS.values()
        ),
        *(("thickened", {"view": "axial", "thickness": thickness}, 1.0) for thickness in THICKNESSES),
        *(("thickened", {"view": view, "thickness": THICKNESS}, 1.0) for view in VIEWS[1:]),
        *((recipe, {"view": "axial", "thickness": THICKNESS}, 1.0) for recipe in ABLATIONS),
    ]
    slabs = [("axial", thickness) for thickness in THICKNESSES[1:]] + [
        (view, THICKNESS) for view in VIEWS[1:]
    ]
    group = [{"view": view, "thickness": thickness, "query": "group"} for view, thickness in slabs]
    return [
        *(job(*order, seed) for seed in SEEDS for order in orders),
        *(job("thickened", options, 1.0, SEEDS[0]) for options in group),
    ]


def row_of(about: Mapping[str, Any], steps: int) -> str:
    """The row of the tables that a run belongs to, by its experiment.json; `steps`: those of most rows."""
    recipe, options = str(about["recipe"]), about["options"]
    if "fusion" in about:
        return "fused"
    if recipe == "supervised":
        if options["network_options"]["filters"] == WIDE:
            return "dynunet_fused"
        return "dynunet_steps" if about["budget"]["steps"] == steps else "dynunet_time"
    if recipe != "thickened":
        return recipe.removeprefix("thickened_")
    if (stride := about["inferer"]["stride"]) > 1:
        return f"stride{stride}"
    who = about["networks"]["student"]["options"].get("query", "group")
    asks = (
        "group" if who == "group" and options["thickness"] > 1 else ""
    )  # single slices: nothing to tell apart
    return asks + (f"k{options['thickness']}" if options["view"] == "axial" else str(options["view"]))


def train_one(job: Job, data: str, runs: str) -> None:
    """Trains a run and judges it, inter-slice similarity too."""
    from distilseg.judge import judge

    for run in run_one(job, data, runs):
        judge(run, also=ALSO, device="cpu")


def collect_all(runs: str, results: Path) -> None:
    """Fuses each seed's views, copies what is data, and measures what a case costs, run by run."""
    from distilseg.judge import judge
    from distilseg.runs import find_runs
    from distilseg.views import fused, is_fused

    view_rows = {f"k{THICKNESS}", *VIEWS[1:]}
    finished = [run for run in find_runs(runs) if run.finished and run.metrics.is_file()]
    own = [run for run in finished if not is_fused(run)]
    steps = max(run.read(run.experiment)["budget"]["steps"] for run in own)
    for seed in SEEDS:
        about = {run: run.read(run.experiment) for run in own}
        views = [run for run in own if about[run]["seed"] == seed and row_of(about[run], steps) in view_rows]
        views.sort(
            key=lambda run: VIEWS.index(about[run]["options"]["view"])
        )  # the first one's settings are told
        if len(views) == len(VIEWS):
            judge(fused([run.folder for run in views], "vote"), also=ALSO, device="cpu")
    for run in own:
        if row_of(run.read(run.experiment), steps) == f"k{THICKNESS}":
            for stride in STRIDES:
                judge(_strided(run, stride), also=ALSO, device="cpu")
    collect(runs, results)
    _measure_costs(runs, results)


def _strided(run: Run, stride: int) -> Run:
    """The run with the same weights, whose windows step by `stride` slices."""
    from distilseg.files import folder_written_whole, write_json
    from distilseg.runs import Run

    strided = Run(run.folder.with_name(f"{run.name}-stride{stride}"))
    if not strided.experiment.is_file():
        about = run.read(run.experiment)
        about["options"]["stride"] = about["inferer"]["stride"] = stride
        with folder_written_whole(strided.folder) as aside:
            for path in (run.plan, run.split, run.status, run.validation, run.best):
                shutil.copyfile(path, aside / path.name)
            write_json(Run(aside).experiment, about)
    return strided


def _measure_costs(runs: str, results: Path) -> None:
    """cost.json of the results anew, as runs were judged beside others; and the work of a whole case."""
    import torch

    from distilseg.data.formats import read_dataset
    from distilseg.data.scans.reading import read_scan
    from distilseg.export.cost import measure_cost
    from distilseg.files import write_json
    from distilseg.runs import find_runs
    from distilseg.views import load_segmenter

    torch.set_num_threads(1)
    shapes: list[tuple[int, ...]] = []
    for run in find_runs(runs):
        if not (results / run.name / "cost.json").is_file():
            continue
        told = run.read(run.experiment)["dataset"]
        dataset = read_dataset(told["folder"], told["layout"])
        cases = {id: dataset.case(id).images for id in run.read(run.split)["test"]}
        segmenter = load_segmenter(run, device="cpu")
        if not shapes:  # one plan prepares the cases of all runs
            for id, images in cases.items():
                scans = {modality: read_scan(source) for modality, source in images.items()}
                shapes.append(segmenter.prepare(scans, case=id).image.shape)
        timed = {id: {name: source.plain() for name, source in of.items()} for id, of in cases.items()}
        cost = measure_cost(run, timed, device="cpu", threads=1)
        cost["multiply_accumulates_per_case"] = _work(segmenter, shapes)
        write_json(results / run.name / "cost.json", cost)
        print(f"{run.name}: {cost['seconds_per_case']:.3g} s a case", flush=True)


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


def main() -> None:
    parser = training(__doc__, "runs/evidence-thickened")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--steps", type=int, default=STEPS)
    given = parser.parse_args()
    script = [__file__, "--steps", str(given.steps)]
    carry_out(given, script, jobs(given.steps), train_one, lambda: collect_all(given.runs, given.results))


if __name__ == "__main__":
    main()
