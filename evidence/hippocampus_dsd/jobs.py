"""Control, deep supervision and dual self-distillation: two DynUNets and a UNETR; two hours of a core.

In sizes and for steps with which they converge on a processor. The paper's third, V-Net, is left out: a step
of it takes over two seconds here, and after 240 of 400 it had come to a validation Dice of 0.195.
"""

from __future__ import annotations

from typing import Any

from ..jobs import Job

DATA = "Task04_Hippocampus"
WAYS = {"plain": "supervised", "ds": "dsd_ds", "dsd": "dual_self_distillation"}
SMALL_UNETR = {"feature_size": 8, "hidden": 192, "mlp": 768, "heads": 6}
# Key -> network, its options, steps, seeds.
NETWORKS: dict[str, tuple[str, dict[str, Any], int, int]] = {
    "dynunet-16": ("dynunet", {"filters": [16, 32, 64, 128, 256]}, 750, 1),
    "dynunet-8": ("dynunet", {"filters": [8, 16, 32, 64, 128]}, 1500, 1),
    "unetr": ("unetr", SMALL_UNETR, 2000, 1),
}
# Is it the weight of the divergences, where DSD did not help?
TENTH = {"alpha": 0.1, "beta": 0.1}


def jobs() -> list[list[Job]]:
    orders: list[tuple[str, str, int, dict[str, Any]]]
    orders = [(n, r, s, {}) for n in NETWORKS for s in range(NETWORKS[n][3]) for r in WAYS.values()]
    orders.append(("dynunet-8", WAYS["dsd"], 0, TENTH))
    return [[_job(*order) for order in orders]]


def _job(name: str, recipe: str, seed: int, options: dict[str, Any]) -> Job:
    network, own, steps, _ = NETWORKS[name]
    told = {"network": network, **({"network_options": own} if own else {}), **options}
    return Job(recipe, told, {"steps": steps, "seed": seed})
