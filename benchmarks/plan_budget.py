"""Plans for a budget (`distilseg plan --max-seconds`), predicted and measured.

For every budget a plan is chosen by the cost model and its network, untrained, predicts the case of median
and the largest one end to end. A row says by what factor prediction and measurement differ, whichever is
larger, <= 1.5: seconds of either case, and the peak of the process; it is the median over rounds, in each of
which everything is measured anew. Hippocampi, as volumes and as slices, and sarcomas in CT and PET; phantoms
where these are not at hand. Budgets that nothing fits, or that buy what a smaller one does, have no row.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distilseg.commands._plan import within_budget
from distilseg.data.fetch import find_data
from distilseg.data.phantom.volumes import write_phantom
from distilseg.errors import UserError
from distilseg.export.within_budget import WithinBudget, told

from .common import Row, row

AIM, ROUNDS = "<= 1.5", 3
BUDGETS_S = (0.02, 0.05, 0.2, 1.0)
Task = tuple[str, Path, dict[str, Any], Sequence[float]]
Found = tuple[float, list[WithinBudget]]
SARCOMA = "Dataset090_SoftTissueSarcoma"


def main(quick: bool = False) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        tasks = _tasks(Path(folder) / "phantoms", quick)
        rounds = [_round(tasks, Path(folder) / f"round-{n}") for n in range(1 if quick else ROUNDS)]
    found: dict[tuple[str, str], Found] = {}
    for name, _, _, budgets in tasks:
        for budget_s in budgets:
            same = [one[name, budget_s] for one in rounds if (name, budget_s) in one]
            if same:
                found.setdefault((name, told(same[-1].plan)), (budget_s, same))
    return [one for (name, _), (budget_s, same) in found.items() for one in _rows(name, budget_s, same)]


def _round(tasks: Sequence[Task], cache: Path) -> dict[tuple[str, float], WithinBudget]:
    """Every budget once, all that it needs measured anew."""
    found = {}
    for name, data, options, budgets in tasks:
        for budget_s in budgets:
            try:
                found[name, budget_s] = within_budget(data, max_seconds=budget_s, cache=cache, **options)
            except UserError as refused:
                print(f"{name}, {budget_s:g} s: {refused}")
    return found


def _tasks(phantoms: Path, quick: bool) -> list[Task]:
    hippocampi = None if quick else find_data("hippocampus")
    if hippocampi is None:
        write_phantom(phantoms, cases=2, shape=(32, 32, 32), spacing_mm=(1.0, 1.0, 1.0), modalities=("MR",))
        only: dict[str, Any] = {"patch": (16, 16, 16), "levels": 3} if quick else {}
        return [("phantoms", phantoms, only, (1.0,) if quick else BUDGETS_S)]
    tasks: list[Task] = [
        ("hippocampi", hippocampi, {}, BUDGETS_S),
        ("slices of hippocampi", hippocampi, {"slices": True}, BUDGETS_S),
    ]
    if (sarcomas := hippocampi.parent / SARCOMA).is_dir():
        tasks.append(("sarcomas", sarcomas, {"modalities": ["CT", "PET"]}, BUDGETS_S))
    return tasks


def _rows(name: str, budget_s: float, rounds: Sequence[WithinBudget]) -> list[Row]:
    pairs: dict[str, tuple[str, list[tuple[float, float]]]] = {
        "seconds of the median case": (
            "s",
            [(one.chosen.median_s, one.measured[0].seconds) for one in rounds],
        ),
        "seconds of the largest case": (
            "s",
            [(one.chosen.largest_s, one.measured[1].seconds) for one in rounds],
        ),
        "memory of the largest case": (
            "MiB",
            [(one.chosen.peak_bytes / 2**20, one.measured[1].peak_bytes / 2**20) for one in rounds],
        ),
    }
    return [
        row(
            "plan for a budget",
            f"{name}, {budget_s:g} s: {what}",
            ours=statistics.median(predicted for predicted, _ in values),
            peer=statistics.median(measured for _, measured in values),
            unit=unit,
            ratio=max(
                error := statistics.median(predicted / measured for predicted, measured in values), 1 / error
            ),
            aim=AIM,
            peer_name="measured",
            repeats=len(values),
            note=f"{told(rounds[-1].plan)}; "
            + ", ".join(
                f"{one.plan.network} predicted {p:.3g}, measured {m:.3g} {unit}"
                for one, (p, m) in zip(rounds, values, strict=True)
            ),
        )
        for what, (unit, values) in pairs.items()
    ]
