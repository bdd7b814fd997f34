"""Networks and ways of training; each is compared with the same network trained plainly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..rows import Evidence, status_of
from ..rows import read as read_rows
from .jobs import WAYS, WHY

NETWORKS = {"dynunet-8": "DynUNet 8…128", "dynunet-16": "DynUNet 16…256", "unetr": "UNETR", "vnet": "V-Net"}
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
DSD = {f"{network} dsd": label for network, label in NETWORKS.items()}


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
    """How runs ended; and of the light DynUNet what each seed and each term gained in mean Dice."""
    plain, dsd = (found.by_seed(f"dynunet-8 {way}") for way in ("plain", "dsd"))
    terms = {said: found.by_seed(f"dynunet-8 {way}")[0] - plain[0] for way, said in SAID.items()}
    return {
        "ends": {row: [status_of(run) for run in contender.runs] for row, contender in found.rows.items()},
        "by_seed_less": [dsd[seed] - plain[seed] for seed in plain],
        "spread": max(plain.values()) - min(plain.values()),
        "above": [said for said, gain in terms.items() if gain > 0],
        "below": [said for said, gain in terms.items() if gain < 0],
    }
