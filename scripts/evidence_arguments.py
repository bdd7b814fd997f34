"""The command lines of the evidence scripts: those that train, and those that write a page."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from evidence_jobs import Job, run_all

_HELP = {"formatter_class": argparse.RawDescriptionHelpFormatter}


def training(doc: str | None, runs: str, data: str = "Task04_Hippocampus") -> argparse.ArgumentParser:
    """train, one or collect, with where data and runs lie; scripts add what else they take."""
    parser = argparse.ArgumentParser(description=doc, **_HELP)  # type: ignore[arg-type]
    parser.add_argument("what", choices=["train", "one", "collect"])
    parser.add_argument("--data", default=f"../shared/data/{data}")
    parser.add_argument("--runs", default=runs)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes side by side")
    parser.add_argument("--number", type=int, help="of the job, for one")
    return parser


def carry_out(
    given: argparse.Namespace,
    script: Sequence[str],
    jobs: Sequence[Job],
    one: Callable[[Job, str, str], object],
    collect: Callable[[], object],
) -> None:
    """What was asked for: all `jobs`, each by the `script` again; one of them; or what they left behind."""
    if given.what == "train":
        run_all(script, jobs, given.data, given.runs, given.jobs)
    elif given.what == "one":
        one(jobs[given.number], given.data, given.runs)
    else:
        collect()


def page(doc: str | None, results: Path, page: Path) -> argparse.Namespace:
    """Which results become which page; its folder is there afterwards."""
    parser = argparse.ArgumentParser(description=doc, **_HELP)  # type: ignore[arg-type]
    parser.add_argument("--results", type=Path, default=results)
    parser.add_argument("--page", type=Path, default=page)
    given = parser.parse_args()
    given.page.parent.mkdir(parents=True, exist_ok=True)
    return given
