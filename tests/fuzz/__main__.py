"""python -m tests.fuzz    what became of every kind of input, as JSON: results/fuzz.json keeps it."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnxruntime
import SimpleITK as sitk
import torch

from ..conftest import measured_here
from . import descriptions, models, runs, scans

ENDS = ("read", "refused")


def rows(folder: Path) -> Iterator[dict[str, Any]]:
    """How many were tried, read and refused, by what was changed of what."""
    for kind in scans.KINDS:
        found = scans.sweep(_made(folder / "scans" / kind), kind)
        yield _row("scan", kind, (ENDS[one is not None] for _, refusals, _ in found for one in refusals))
    for kind in descriptions.KINDS:
        found_ends = descriptions.sweep(folder / "descriptions" / kind, kind)
        yield _row("description", kind, (end for _, end in found_ends))
    made = models.make(folder / "models")
    for kind, files in models.FILES.items():
        ends = list(models.sweep(made, kind))
        for name in files:
            yield _row(f"model, {kind}", name, (end for file, _, end in ends if file == name))
    world = runs.World(_made(folder / "runs"))
    for command, files in runs.FILES.items():
        ends = list(runs.sweep(world, command))
        for name in files:
            yield _row(f"run, {command}", name, (end for file, _, end in ends if file == name))


def _row(kind: str, changed: str, ends: Iterable[str]) -> dict[str, Any]:
    all_ends = list(ends)
    counted = {end: all_ends.count(end) for end in ENDS}
    return {"kind": kind, "changed": changed, "tried": len(all_ends), **counted}


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def main() -> None:
    """Writes the table to stdout."""
    torch.set_num_threads(1)
    libraries = {"torch": torch, "onnxruntime": onnxruntime, "numpy": np, "SimpleITK": sitk}
    versions = {name: str(library.__version__) for name, library in libraries.items()}
    here = mock.patch("distilseg.judge.measure_costs", measured_here)
    # What readers print of damaged files is no part of the table.
    with tempfile.TemporaryDirectory() as folder, here, redirect_stdout(sys.stderr):
        table = list(rows(Path(folder)))
    told = {"command": "python -m tests.fuzz", "seed": runs.SEED, "versions": versions, "rows": table}
    json.dump(told, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
