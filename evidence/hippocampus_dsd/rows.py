"""Networks and ways of training; each is compared with the same network trained plainly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..rows import Evidence
from ..rows import read as read_rows
from .jobs import WAYS, WHY

NETWORKS = {
    "dynunet-8": "DynUNet 8…128",
    "dynunet-16": "DynUNet 16…256",
    "unetr": "UNETR",
    "vnet": "V-Net",
}
SAID = {
    "plain": "plain",
    "ds": "deep supervision",
    "sdd": "decoder's divergence",
    "sde": "encoder's divergence",
    "dsd": "DSD",
    "detached": "DSD, teachers detached",
}
LABELS = {
    f"{network} {way}": f"{label}, {said}"
    for network, label in NETWORKS.items()
    for way, said in SAID.items()
    if way in WAYS or network == "dynunet-8"
}
QUESTIONS = {"control": [(row, f"{row.split()[0]} plain") for row in LABELS if not row.endswith(" plain")]}


def row_of(about: Mapping[str, Any]) -> str:
    network = about["options"]["network"]
    if filters := about["options"].get("network_options", {}).get("filters"):
        network += f"-{filters[0]}"
    recipes = {recipe: way for way, (recipe, _) in WHY.items()} | {r: way for way, r in WAYS.items()}
    detached = about["asked"].get("detach_teacher")
    return f"{network} {'detached' if detached else recipes[about['recipe']]}"


def read(results: Path) -> Evidence:
    return read_rows(results, row_of, LABELS, QUESTIONS)


def names(found: Evidence) -> dict[str, Any]:
    """What the page calls the networks with DSD; runs with their best validation; seed by seed, and by term."""
    runs = [
        (found.label(row), seed, found.by_seed(row)[seed], run.read(run.status))
        for row, contender in found.rows.items()
        for run, seed in zip(contender.runs, contender.seeds, strict=True)
    ]
    plain, dsd = (found.by_seed(f"dynunet-8 {way}") for way in ("plain", "dsd"))
    terms = {SAID[way]: found.by_seed(f"dynunet-8 {way}")[0] - plain[0] for way in SAID if way != "plain"}
    return {
        "scores": {row: found.score(row).mean for row in found.rows},
        "dsd": {f"{network} dsd": label for network, label in NETWORKS.items()},
        "runs": runs,
        "by_seed_less": [dsd[seed] - plain[seed] for seed in plain],
        "spread": max(plain.values()) - min(plain.values()),
        "above": [term for term, gain in terms.items() if gain > 0],
        "below": [term for term, gain in terms.items() if gain < 0],
        "vnet": found.rows["vnet plain"].runs[0].read(found.rows["vnet plain"].runs[0].status),
    }
