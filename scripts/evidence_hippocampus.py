"""Evidence for dual self-distillation on hippocampus MR: control, DS and DSD for four networks.

    python scripts/evidence_hippocampus.py train --data D   # hours of four cores; resumes
    python scripts/evidence_hippocampus.py collect          # runs -> results/hippocampus-dsd
    python scripts/evidence_page.py                         # results -> docs/evidence, README

`train` runs one process of one thread per job (small 3D networks gain little from more) and can be stopped and
repeated: finished rows are found again. `collect` keeps of each run what judging left behind, without paths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evidence_arguments import carry_out, training
from evidence_jobs import ROOT, Job, collect, run_one

RESULTS = ROOT / "results" / "hippocampus-dsd"
RECIPES = ("supervised", "dsd_ds", "dual_self_distillation")


@dataclass(frozen=True)
class Row:
    """One network under every recipe: its width, for how long, with which seeds."""

    name: str
    network: str
    options: dict[str, Any]
    steps: int
    seeds: tuple[int, ...] = (0,)


ROWS = (
    Row("vnet", "vnet", {}, 600),
    Row("unetr", "unetr", {}, 1000),
    Row("dynunet-16", "dynunet", {"filters": [16, 32, 64, 128, 256]}, 1500),
    Row("dynunet-8", "dynunet", {"filters": [8, 16, 32, 64, 128]}, 1500, (0, 1, 2)),
)

# Which term is at fault where DSD did not help: each alone, and teachers that gradients do not reach.
WHY = (
    ("dynunet-8", "dsd_sdd", 0, {}),
    ("dynunet-8", "dsd_sde", 0, {}),
    ("dynunet-8", "dual_self_distillation", 0, {"detach_teacher": True}),
)


def jobs() -> list[Job]:
    """Every row, the longest first, then the runs that tell why."""
    orders = [(row.name, recipe, seed, {}) for row in ROWS for seed in row.seeds for recipe in RECIPES]
    return [_job(*order) for order in (*orders, *WHY)]


def _job(name: str, recipe: str, seed: int, options: dict[str, Any]) -> Job:
    row = next(row for row in ROWS if row.name == name)
    network = {"network": row.network, **({"network_options": row.options} if row.options else {})}
    return Job(recipe, {**network, **options}, {"steps": row.steps, "seed": seed})


def main() -> None:
    given = training(__doc__, "runs/evidence").parse_args()
    carry_out(given, [__file__], jobs(), run_one, lambda: collect(given.runs, RESULTS))


if __name__ == "__main__":
    main()
