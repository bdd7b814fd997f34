"""Networks and ways of training; each is compared with the same network trained plainly."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

from ..jobs import ROOT
from ..rows import Evidence, status_of
from ..rows import read as read_rows
from .jobs import WAYS

BEFORE = ROOT / "results" / "before" / "hippocampus-dsd"
NETWORKS = {
    "dynunet-8": "DynUNet 8…128",
    "dynunet-16": "DynUNet 16…256",
    "unetr": "small UNETR",
    "vnet": "V-Net of half the width",
}
SAID = {
    "plain": "plain",
    "ds": "deep supervision",
    "dsd": "DSD",
    "tenth": "DSD, a tenth of the divergences",
}
LABELS = {
    f"{network} {way}": f"{label}, {said}"
    for network, label in NETWORKS.items()
    for way, said in SAID.items()
    if way in WAYS or network == "dynunet-8"
}
QUESTIONS = {"control": [(row, f"{row.split()[0]} plain") for row in LABELS if not row.endswith(" plain")]}
DSD = {f"{network} dsd": label for network, label in NETWORKS.items()}
DEEP = {f"{network} ds": label for network, label in NETWORKS.items()}


def row_of(about: Mapping[str, Any]) -> str:
    network = about["options"]["network"]
    if filters := about["options"].get("network_options", {}).get("filters"):
        network += f"-{filters[0]}"
    if about["asked"].get("alpha"):
        return f"{network} tenth"
    return f"{network} {next((way for way, recipe in WAYS.items() if recipe == about['recipe']), 'other')}"


def read(results: Path) -> Evidence:
    return read_rows(results, row_of, LABELS, QUESTIONS)


def names(found: Evidence) -> dict[str, Any]:
    """How runs ended; and what plain DynUNets came to with the plan of before, in mean Dice over seeds."""
    plain = ["dynunet-8 plain", "dynunet-16 plain"]
    return {
        "ends": {row: [status_of(run) for run in contender.runs] for row, contender in found.rows.items()},
        "before": {row: fmean(_before(row).by_seed(row).values()) for row in plain},
    }


@cache
def _before(row: str) -> Evidence:
    """The row as it was, of a plan that mirrored along all axes."""
    only = {row: LABELS[row]}
    return read_rows(BEFORE, lambda about: row if row_of(about) == row else None, only, {})
