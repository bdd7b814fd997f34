"""Networks and ways at the published settings; each is compared with the same network trained plainly."""

from __future__ import annotations

from pathlib import Path

from ..rows import Evidence
from ..rows import read as read_rows
from .jobs import NETWORKS, WAYS, row_of

CALLED = {"unetr": "UNETR", "vnet": "V-Net", "dynunet": "DynUNet 16…256"}
SAID = {"plain": "plain", "ds": "deep supervision", "dsd": "DSD"}
LABELS = {f"{network} {way}": f"{CALLED[network]}, {SAID[way]}" for network in NETWORKS for way in WAYS}
QUESTIONS = {
    "control": [(row, f"{row.split()[0]} plain") for row in LABELS if not row.endswith(" plain")],
    "divergence": [(f"{network} dsd", f"{network} ds") for network in NETWORKS],
}


def read(results: Path) -> Evidence:
    return read_rows(results, row_of, LABELS, QUESTIONS)
