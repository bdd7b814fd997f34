"""One training step's mathematics as one module: every network of a method, tapped, and the method itself.

Being one module, it is what a distributed strategy wraps: gradients of the student, of the method's own
parameters and of nothing else are synchronised.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..distillation.method import Method
from ..networks.features import Tapped
from ..types import Batch, Outputs


class Objective(nn.Module):
    """Networks by role and the method over them; `forward` returns the total and the unweighted terms.

    A role in `recorded` has no network here: its outputs travel with the batch (`batch.maps`).
    """

    def __init__(
        self, method: Method, networks: Mapping[str, nn.Module], recorded: Collection[str] = ()
    ) -> None:
        super().__init__()
        if missing := sorted(method.roles.keys() - networks.keys() - set(recorded)):
            raise ValueError(f"{type(method).__name__} needs a network for {missing}; got {sorted(networks)}")
        self.method = method
        self.trained_roles = {
            name for name, role in method.roles.items() if name == "student" or role.trained
        }
        self.recorded = frozenset(recorded)
        self.tapped = {
            name: Tapped(networks[name], role.taps)
            for name, role in method.roles.items()
            if name not in self.recorded
        }
        self.networks = nn.ModuleDict(self.tapped)
        for name in self.tapped:
            networks[name].requires_grad_(name in self.trained_roles)
        self.train()

    def train(self, mode: bool = True) -> Objective:
        """Teachers stay in evaluation mode whatever the student does."""
        super().train(mode)
        for name, network in self.networks.items():
            network.train(mode and name in self.trained_roles)
        return self

    def forward(
        self,
        image: Tensor,
        label: Tensor,
        progress: float,
        about: Mapping[str, Any],
        others: Mapping[str, Any],
        maps: Mapping[str, Tensor],
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """`about`: a batch's spacing and case ids; `others`: its unpaired batches, as the same arguments."""
        batch = _batch(image, label, about, others, maps)
        outputs = {}
        # Frozen networks first, one by one: what each needs is free again when the student keeps its own.
        for name in sorted(self.method.roles, key=self.trained_roles.__contains__):
            role = self.method.roles[name]
            if name in self.recorded:
                outputs[name] = _recorded(name, batch.maps)
                continue
            shown, learns = role.input(batch), name in self.trained_roles
            outputs[name] = self.tapped[name](shown) if learns else self._asked(name, shown)
        losses = self.method(outputs, batch, progress)
        return losses.total, dict(losses.terms)

    @torch.no_grad()
    def _asked(self, name: str, image: Tensor) -> Outputs:
        """A frozen network's answer. One of several answers case by case on a processor, where that costs no
        time and takes the memory of one case."""
        network = self.tapped[name]
        if len(self.tapped.keys() - self.trained_roles) < 2 or image.device.type != "cpu":
            asked: Outputs = network(image)
            return asked
        each: list[Outputs] = [network(case) for case in torch.split(image, 1)]
        features = {tap: torch.cat([one.features[tap] for one in each]) for tap in each[0].features}
        return Outputs(torch.cat([one.logits for one in each]), features)

    def learned(self) -> list[nn.Parameter]:
        """What the optimizer steps: trained networks' and the method's parameters, in a fixed order."""
        return [p for p in self.parameters() if p.requires_grad]

    def release(self) -> None:
        """Removes the taps."""
        for network in self.tapped.values():
            network.close()


def arguments(batch: Batch) -> dict[str, Any]:
    """A batch as the plain arguments of `Objective.forward`, which a strategy may move and cast."""
    return {
        "image": batch.image,
        "label": batch.label,
        "about": {"spacing_mm": batch.spacing_mm, "case_ids": batch.case_ids},
        "others": {name: arguments(other) for name, other in batch.others.items()},
        "maps": dict(batch.maps),
    }


def map_name(role: str, output: str) -> str:
    """What a batch calls a recorded output ("logits" or a feature's name) of a role."""
    return f"{role}/{output}"


def _recorded(role: str, maps: Mapping[str, Tensor]) -> Outputs:
    own = {name.partition("/")[2]: value for name, value in maps.items() if name.partition("/")[0] == role}
    return Outputs(own.pop("logits"), own)


def _batch(
    image: Tensor,
    label: Tensor,
    about: Mapping[str, Any],
    others: Mapping[str, Any],
    maps: Mapping[str, Tensor],
) -> Batch:
    unpaired = {name: _batch(**other) for name, other in others.items()}
    return Batch(image, label, **about, others=unpaired, maps=maps)
