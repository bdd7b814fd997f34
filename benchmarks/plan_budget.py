"""Plans for a budget (`distilseg plan --max-seconds`), predicted and measured.

For every budget a plan is chosen by the cost model and its network, untrained, predicts the case of median
and the largest one end to end. A row says by what factor prediction and measurement differ, whichever is
larger, <= 1.5: seconds of either case, and the peak of the process. Hippocampi, as volumes and as slices,
and sarcomas in CT and PET; phantoms where these are not at hand. Budgets that nothing fits have no row.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distilseg.commands._plan import within_budget
from distilseg.data.fetch import find_data
from distilseg.data.phantom import write_phantom
from distilseg.errors import UserError
from distilseg.export.within_budget import WithinBudget, told

from .common import Row, row

AIM = "<= 1.5"
BUDGETS_S = (0.02, 0.05, 0.2, 1.0)
SARCOMA = "Dataset090_SoftTissueSarcoma"


def main(quick: bool = False) -> list[Row]:
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, data, options, budgets in _tasks(Path(folder) / "phantoms", quick):
            rows += _task(name, data, options, budgets, Path(folder) / "measured")
    return rows


def _tasks(phantoms: Path, quick: bool) -> list[tuple[str, Path, dict[str, Any], Sequence[float]]]:
    hippocampi = None if quick else find_data("hippocampus")
    if hippocampi is None:
        write_phantom(phantoms, cases=2, shape=(32, 32, 32), spacing_mm=(1.0, 1.0, 1.0), modalities=("MR",))
        only: dict[str, Any] = {"patch": (16, 16, 16), "levels": 3} if quick else {}
        return [("phantoms", phantoms, only, (1.0,) if quick else BUDGETS_S)]
    tasks: list[tuple[str, Path, dict[str, Any], Sequence[float]]] = [
        ("hippocampi", hippocampi, {}, BUDGETS_S),
        ("slices of hippocampi", hippocampi, {"slices": True}, BUDGETS_S),
    ]
    if (sarcomas := hippocampi.parent / SARCOMA).is_dir():
        tasks.append(("sarcomas", sarcomas, {"modalities": ["CT", "PET"]}, BUDGETS_S))
    return tasks


def _task(name: str, data: Path, options: dict[str, Any], budgets: Sequence[float], cache: Path) -> list[Row]:
    found: dict[str, WithinBudget] = {}
    for budget_s in budgets:
        try:
            one = within_budget(data, max_seconds=budget_s, cache=cache, **options)
        except UserError as refused:
            print(f"{name}, {budget_s:g} s: {refused}")
            continue
        found.setdefault(told(one.plan), one)  # a larger budget may buy the same plan
    return [one for within in found.values() for one in _rows(name, within)]


def _rows(name: str, within: WithinBudget) -> list[Row]:
    chosen, (median, largest) = within.chosen, within.measured
    pairs = {
        "seconds of the median case": (chosen.median_s, median.seconds, "s"),
        "seconds of the largest case": (chosen.largest_s, largest.seconds, "s"),
        "memory of the largest case": (chosen.peak_bytes / 2**20, largest.peak_bytes / 2**20, "MiB"),
    }
    return [
        row(
            "plan for a budget",
            f"{name}, {within.limits.seconds:g} s: {what}",
            ours=predicted,
            peer=measured,
            unit=unit,
            ratio=max(predicted / measured, measured / predicted),
            aim=AIM,
            peer_name="measured",
            repeats=1,
            note=f"{told(within.plan)}; predicted {predicted:.3g} {unit}, measured {measured:.3g} {unit}",
        )
        for what, (predicted, measured, unit) in pairs.items()
    ]
