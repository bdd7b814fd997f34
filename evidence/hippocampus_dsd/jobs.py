"""Control, deep supervision and dual self-distillation: DynUNets, a UNETR, a V-Net; three hours of a core.

In sizes and for steps that suit a processor: see `protocol.md` for the V-Net.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..jobs import Job

DATA = "Task04_Hippocampus"
WAYS = {"plain": "supervised", "ds": "dsd_ds", "dsd": "dual_self_distillation"}
SMALL_UNETR = {"feature_size": 8, "hidden": 192, "mlp": 768, "heads": 6}


@dataclass(frozen=True)
class Trained:
    """A network in a size, and how long it learns; by the recipe's rate unless it names one."""

    network: str
    options: Mapping[str, Any]
    steps: int
    learning_rate: float | None = None


NETWORKS = {
    "dynunet-16": Trained("dynunet", {"filters": [16, 32, 64, 128, 256]}, 750),
    "dynunet-8": Trained("dynunet", {"filters": [8, 16, 32, 64, 128]}, 1500),
    "unetr": Trained("unetr", SMALL_UNETR, 2000),
    "vnet": Trained("vnet", {"width": 8}, 700, learning_rate=5e-3),
}
# Is it the weight of the divergences, where DSD did not help?
TENTH = {"alpha": 0.1, "beta": 0.1}


def jobs() -> list[list[Job]]:
    """Every way of each network, and a tenth of the divergences for the light DynUNet; one seed."""
    each = [_job(one, recipe) for one in NETWORKS.values() for recipe in WAYS.values()]
    return [[*each, _job(NETWORKS["dynunet-8"], WAYS["dsd"], **TENTH)]]


def _job(one: Trained, recipe: str, **options: Any) -> Job:
    settings: dict[str, Any] = {"steps": one.steps, "seed": 0}
    if one.learning_rate is not None:
        settings["learning_rate"] = one.learning_rate
    return Job(recipe, {"network": one.network, "network_options": dict(one.options), **options}, settings)
