"""Run folders with known numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilseg.files import write_json
from distilseg.runs import Run, write_rows

MakeRun = Callable[..., Run]
CASES = tuple(f"case_{i}" for i in range(1, 13))


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Writes a run folder; `values` is {(structure, metric): one value per case}."""
    return maker(tmp_path)


def maker(folder: Path) -> MakeRun:
    """What writes runs into `folder`."""

    def make(
        name: str,
        values: Mapping[tuple[str, str], Sequence[float]],
        *,
        recipe: str | None = None,
        cases: Sequence[str] = CASES,
        finished: bool = True,
        status: Mapping[str, Any] | None = None,
        plan: Mapping[str, Any] | None = None,
        split: Mapping[str, Any] | None = None,
        cost: Mapping[str, Any] | None = None,
        evaluation: Mapping[str, Any] | None = None,
        overlays: bool = False,
        curves: bool = False,
        **experiment: Any,
    ) -> Run:
        run = Run(folder / "runs" / name)
        dataset = {
            "name": "Phantom",
            "folder": "/home/somebody/data/Phantom",
            "licence": "CC0",
            "reference": "A. Nobody",
        }
        write_json(
            run.experiment,
            {
                "recipe": recipe or name,
                "options": {},
                "dataset": dataset,
                "seed": 0,
                "control": None,
                "versions": {},
            }
            | experiment,
        )
        rows = [
            {"case": case, "label": structure, "metric": metric, "value": repr(float(value))}
            for (structure, metric), column in values.items()
            for case, value in zip(cases, column, strict=True)
        ]
        if rows:
            write_rows(run.metrics, rows)
        if finished:
            write_json(run.status, dict(status or {"steps": 1000, "seconds": 600.0}))
        write_json(
            run.plan,
            dict(plan or {"spacing_mm": [1.0, 1.0, 1.0], "patch": [32, 32, 32], "modalities": ["MR"]}),
        )
        write_json(
            run.split, dict(split or {"train": ["t_1", "t_2"], "validation": ["v_1"], "test": list(cases)})
        )
        write_json(run.cost, dict(cost or {"parameters": 2_500_000, "multiply_accumulates": 12_340_000_000}))
        if evaluation:
            write_json(run.folder / "evaluation.json", dict(evaluation))
        if curves:
            write_rows(
                run.losses,
                [{"step": i, "learning_rate": 1e-3, "total": 2 / i, "seg": 1 / i} for i in range(1, 40)],
            )
            write_rows(run.validation, [{"step": i, "mean": 1 - 1 / i, "liver": 0.5} for i in (10, 20, 40)])
        if overlays:
            _write_overlays(run, cases[:3])
        return run

    return make


def _write_overlays(run: Run, cases: Sequence[str]) -> None:
    rows, columns = np.ogrid[:24, :32]
    disc = ((rows - 12) ** 2 + (columns - 15) ** 2 < 49).astype(np.uint8)
    arrays: dict[str, Any] = {}
    for n, case in enumerate(cases):
        arrays |= {
            f"image_{n}": disc * 50.0 + columns,
            f"reference_{n}": disc,
            f"prediction_{n}": np.roll(disc, n + 1, axis=1),
            f"title_{n}": np.array(case),
        }
    np.savez(run.overlays, **arrays)
