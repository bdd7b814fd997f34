"""Studies of thickened networks: slabs, their parts and views, beside 3D networks that train as long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from distilseg.runs import find_runs

from . import collecting
from .figures import gains
from .jobs import Job, train_and_judge
from .rows import Evidence
from .rows import read as read_rows

THICKNESS = 12  # as in the paper's ablations
FUSED_BY = "vote"
DYNUNET = {"network": "dynunet", "network_options": {"filters": [8, 16, 32, 64, 128]}}
SSA = "axial"  # slice-sensitive attention, the full method
VIEW_ROWS = (SSA, "coronal", "sagittal")
LABELS = {
    "single": "single axial slices",
    "plain": "axial slabs, slices as channels",
    "esm": "axial slabs, multiplexing alone",
    SSA: "axial slabs, the full method",
    "coronal": "coronal slabs, the full method",
    "sagittal": "sagittal slabs, the full method",
    "fused": "three views, by vote",
    "volume": "3D DynUNet, time of a view",
    "volumes": "3D DynUNet, time of three views",
}
QUESTIONS = {
    "slabs": [(SSA, "single"), ("esm", "plain"), (SSA, "esm"), ("fused", SSA)],
    "3D": [(SSA, "volume"), ("esm", "volume"), ("fused", "volumes")],
}


@dataclass(frozen=True)
class SlabStudy:
    """How long slabs train, and 3D networks beside them."""

    steps: int
    learning_rate: float  # of slabs
    time_of_a_view: float  # steps of the 3D network for one of the slabs, by seconds of a step
    time_of_three: float
    seeds: Sequence[int]

    def jobs(self, steps: int | None = None, seeds: Sequence[int] | None = None) -> list[list[Job]]:
        """Seed by seed; within one the longest first."""
        budget = steps or self.steps

        def slab(recipe: str, view: str, thickness: int, seed: int) -> Job:
            told: dict[str, Any] = {"view": view, "thickness": thickness}
            return Job(recipe, told, {"steps": budget, "seed": seed, "learning_rate": self.learning_rate})

        def volume(share: float, seed: int) -> Job:
            return Job("supervised", DYNUNET, {"steps": round(share * budget), "seed": seed})

        return [
            [
                one
                for seed in (self.seeds if seeds is None else seeds)
                for one in (
                    volume(self.time_of_three, seed),
                    volume(self.time_of_a_view, seed),
                    *(slab("thickened", view, THICKNESS, seed) for view in VIEW_ROWS),
                    slab("thickened_esm", "axial", THICKNESS, seed),
                    slab("thickened_plain", "axial", THICKNESS, seed),
                    slab("thickened", "axial", 1, seed),
                )
            ]
        ]

    def row_of(self, about: Mapping[str, Any]) -> str:
        """The row of a run."""
        recipe, options = str(about["recipe"]), about["options"]
        if "fusion" in about:
            return "fused"
        if recipe == "supervised":
            between = self.steps * (self.time_of_a_view + self.time_of_three) / 2
            return "volume" if about["budget"]["steps"] < between else "volumes"
        if recipe != "thickened":
            return recipe.removeprefix("thickened_")
        return "single" if options["thickness"] == 1 else str(options["view"])

    def read(self, results: Path) -> Evidence:
        """All rows."""
        return read_rows(results, self.row_of, LABELS, QUESTIONS)

    def collect(self, runs: str, results: Path) -> None:
        """Fuses the three views of each seed, and judges what they vote for."""
        from distilseg.judge import judge
        from distilseg.views import fused, is_fused

        finished = [run for run in find_runs(runs) if run.finished and not is_fused(run)]
        about = {run: run.read(run.experiment) for run in finished}
        for seed in sorted({told["seed"] for told in about.values()}):
            of_row = {self.row_of(told): run for run, told in about.items() if told["seed"] == seed}
            views = [of_row[row].folder for row in VIEW_ROWS if row in of_row]
            if len(views) == len(VIEW_ROWS):
                judge(fused(views, FUSED_BY), device="cpu", timed=False)
        collecting.collect(runs, results)


train_one = partial(train_and_judge, timed=False)


def draw(found: Evidence) -> dict[str, str]:
    """What slabs and their vote gain over 3D networks that train as long."""
    return {"-3d": gains(found, "3D", "that of 3D in equal time")}
