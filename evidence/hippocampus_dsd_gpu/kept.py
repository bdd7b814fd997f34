"""What finished runs say, for a machine that is lent for minutes: rows, rates, and the data that is kept.

Standard library only, as what it reads is.
"""

from __future__ import annotations

import contextlib
import csv
import json
import statistics
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .jobs import row_of

METRICS = ("dice", "hd95", "nsd")
STATUS = ("steps", "seconds", "stopped_because", "best_validation_dice")


def rates(runs: Path, seconds: float) -> dict[str, float]:
    """Steps a second of each job ("unetr dsd") that was given so many seconds."""
    return {row: status["steps"] / seconds for _, row, status in _finished(runs)}


def rows(runs: Path) -> list[dict[str, Any]]:
    """A row a judged run: its steps, and means over test cases and structures."""
    return [
        {"row": row, **{name: status[name] for name in STATUS}, **_means(folder / "metrics.csv")}
        for folder, row, status in _finished(runs)
        if (folder / "evaluation.json").is_file()
    ]


def _finished(runs: Path) -> Iterator[tuple[Path, str, Any]]:
    for path in sorted(runs.glob("*/*/status.json")):
        yield path.parent, row_of(_read(path.parent / "experiment.json")), _read(path)


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _means(table: Path) -> dict[str, float]:
    with table.open(newline="", encoding="utf-8") as file:
        known = [one for one in csv.DictReader(file) if one["value"] not in ("", "nan")]
    values = {name: [float(one["value"]) for one in known if one["metric"] == name] for name in METRICS}
    return {name: round(statistics.fmean(of), 4) for name, of in values.items() if of}


def write_rows(found: list[dict[str, Any]], path: Path) -> None:
    """A table, which appears whole."""
    aside = path.with_name(f".{path.name}")
    with aside.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, ["row", *STATUS, *METRICS])
        table.writeheader()
        table.writerows(found)
    aside.replace(path)


def pack(runs: Path, results: Path, path: Path, log: Path) -> None:
    """Collects the finished runs into a folder of `results`' name, in an archive that appears whole."""
    from ..collecting import collect

    with log.open("a", encoding="utf-8") as file, contextlib.redirect_stdout(file):
        collect(str(runs), results)
    aside = path.with_name(f".{path.name}")
    with tarfile.open(aside, "w:gz") as packed:
        packed.add(results, arcname=results.name)
    aside.replace(path)
