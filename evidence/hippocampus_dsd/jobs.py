"""Control, deep supervision and dual self-distillation for four networks: hours of four cores."""

from __future__ import annotations

from ..jobs import Job

DATA = "Task04_Hippocampus"
WAYS = {"plain": "supervised", "ds": "dsd_ds", "dsd": "dual_self_distillation"}
# Key -> network, its options, steps, seeds. The longest first.
NETWORKS = {
    "vnet": ("vnet", {}, 600, 1),
    "unetr": ("unetr", {}, 1000, 1),
    "dynunet-16": ("dynunet", {"filters": [16, 32, 64, 128, 256]}, 1500, 1),
    "dynunet-8": ("dynunet", {"filters": [8, 16, 32, 64, 128]}, 1500, 3),
}
# Which term is at fault where DSD did not help: each alone, and teachers that gradients do not reach.
WHY = {
    "sdd": ("dsd_sdd", {}),
    "sde": ("dsd_sde", {}),
    "detached": ("dual_self_distillation", {"detach_teacher": True}),
}


def jobs() -> list[list[Job]]:
    orders: list[tuple[str, str, int, dict[str, bool]]]
    orders = [(n, r, s, {}) for n in NETWORKS for s in range(NETWORKS[n][3]) for r in WAYS.values()]
    orders += [("dynunet-8", recipe, 0, options) for recipe, options in WHY.values()]
    return [[_job(*order) for order in orders]]


def _job(name: str, recipe: str, seed: int, options: dict[str, bool]) -> Job:
    network, own, steps, _ = NETWORKS[name]
    told = {"network": network, **({"network_options": own} if own else {}), **options}
    return Job(recipe, told, {"steps": steps, "seed": seed})
