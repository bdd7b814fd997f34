"""Collecting: what finished runs left behind, as data that can be shared, without this machine's paths."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from distilseg.files import folder_written_whole, write_json
from distilseg.runs import Run, find_runs, read_rows, write_rows

KEPT = ("plan", "split", "status", "validation", "metrics", "evaluation", "cost")
Experiment = dict[str, Any]


def collect(
    runs: str,
    results: Path,
    *,
    judged: bool = True,
    metrics: Sequence[str] | None = None,
    tidy: Callable[[Experiment], None] = lambda about: None,
    measure: Callable[[Run], Mapping[str, Any] | None] = lambda run: None,
) -> None:
    """Copies each finished run's data to a folder of the same name in `results`.

    judged: keeps runs that were judged alone. metrics: the only ones that are kept, where there are too many.
    tidy: changes experiment.json in place. measure: a run's cost measured anew on an idle machine, one run
    after another; None keeps what judging wrote.
    """
    for run in find_runs(runs):
        if not run.finished or (judged and not run.metrics.is_file()):
            print(f"left out, not finished: {run.name}")
            continue
        kept = Run(results / run.name)
        kept.folder.mkdir(parents=True, exist_ok=True)
        for path in run.folder.iterdir():
            if path.stem in KEPT and path.suffix in (".json", ".csv"):
                shutil.copyfile(path, kept.folder / path.name)
        about = without_folders(run.read(run.experiment))
        about["dataset"]["folder"] = Path(about["dataset"]["folder"]).name
        about.pop("command", None)
        tidy(about)
        write_json(kept.experiment, about)
        if metrics:
            write_rows(kept.metrics, [row for row in read_rows(kept.metrics) if row["metric"] in metrics])
        if cost := measure(run):
            write_json(kept.cost, cost)
            print(f"measured: {run.name}", flush=True)


def derived(
    run: Run,
    suffix: str,
    change: Callable[[Experiment], None],
    files: Sequence[Path],
    fill: Callable[[Run], None] = lambda made: None,
) -> Run:
    """A run made of another, in a folder beside it that appears whole or not at all; made once.

    It has these files of the other, its experiment.json with a `change`, and what `fill` puts there.
    """
    made = Run(run.folder.with_name(f"{run.name}-{suffix}"))
    if not made.folder.is_dir():
        with folder_written_whole(made.folder) as folder:
            for path in files:
                shutil.copyfile(path, folder / path.name)
            about = run.read(run.experiment)
            change(about)
            write_json(Run(folder).experiment, about)
            fill(Run(folder))
    return made


def without_folders(value: Any) -> Any:
    """`value`, at any depth, with absolute paths cut down to their last part."""
    if isinstance(value, Mapping):
        return {name: without_folders(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [without_folders(inner) for inner in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
