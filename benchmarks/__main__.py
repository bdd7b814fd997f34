"""`python -m benchmarks [--quick] [NAME ...]`: runs the claims, prints them, writes them to results/.

Named ones take the place of the rows that they made in earlier runs on this processor; the others' stay.
"""

from __future__ import annotations

import argparse
import importlib
import re
from pathlib import Path

from rich.console import Console
from rich.table import Table

from distilseg.hardware import processor_name
from distilseg.runs import read_rows, write_rows

from .common import Row, machine

CLAIMS = (
    "command_line",
    "cold_start",
    "surface_metrics",
    "label_export",
    "training",
    "teachers",
    "teach_former",
    "answers",
    "latency",
    "student_design",
    "shipping",
    "web_page",
    "nnunet_artefacts",
    "students_and_nnunet",
    "windows",
    "large_scan",
    "many",
    "plan_budget",
)
RESULTS = Path(__file__).resolve().parents[1] / "results"
SHOWN = ("claim", "what", "ours", "peer", "unit", "peer_name", "ratio", "aim", "met", "note")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CLAIMS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, nothing written")
    given = parser.parse_args()
    rows: list[Row] = []
    for name in given.names or CLAIMS:
        made = importlib.import_module(f"benchmarks.{name}").main(given.quick)
        rows += [{**one, "benchmark": name} for one in made]
    table = Table(*SHOWN)
    for one in rows:
        table.add_row(*(str(one[column]) for column in SHOWN))
    Console(width=200).print(table)
    if not given.quick:
        path = RESULTS / f"benchmarks-{re.sub(r'[^a-z0-9]+', '-', processor_name().lower()).strip('-')}.csv"
        old = read_rows(path) if given.names and path.is_file() else []
        kept = [one for one in old if one["benchmark"] not in given.names]
        write_rows(path, [*kept, *({**one, **machine()} for one in rows)])
        print(f"written: {path.relative_to(RESULTS.parent)}")


if __name__ == "__main__":
    main()
