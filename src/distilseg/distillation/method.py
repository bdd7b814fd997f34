"""What a distillation method is: who takes part, and which terms are summed.

    L = sum_k weights[k] * terms[k]

The base class weighs and sums; a paper implements `terms` and overrides nothing. An ablation is a weight
of 0, a composition is `Combined`. Being a module, a method may own what it learns (heads, regressors) or
remembers (prototypes): the loop trains those parameters, the exported model never holds them.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from ..errors import UserError
from ..types import Batch, Losses, Outputs

Weight = float | Callable[[float], float]  # a number, or a function of progress in [0, 1]


def whole_image(batch: Batch) -> Tensor:
    """Every modality: the default of what a network is shown."""
    return batch.image


@dataclass(frozen=True)
class Modalities:
    """Some of the modalities, by their index in the batch's image: what a network with fewer is shown."""

    indices: tuple[int, ...]

    def __call__(self, batch: Batch) -> Tensor:
        every = self.indices == tuple(range(batch.image.shape[1]))
        return batch.image if every else batch.image[:, list(self.indices)]


@dataclass(frozen=True)
class Role:
    """One network's part in a method."""

    taps: tuple[str, ...] = ()  # which features the terms need
    input: Callable[[Batch], Tensor] = whole_image  # what this network is shown
    trained: bool = False  # the student always is; set it for mutual learning


class Method(nn.Module, abc.ABC):
    """The objective of one paper: `terms` over the outputs of the networks in `roles`."""

    roles: Mapping[str, Role]
    paper_weights: Mapping[str, Weight]  # one per term, as published

    def __init__(self, weights: Mapping[str, Weight] | None = None) -> None:
        """`weights` replaces published weights by name; an unknown name raises ValueError, a weight that is
        below 0 or no number UserError."""
        super().__init__()
        weights = weights or {}
        if wrong := sorted(weights.keys() - self.paper_weights.keys()):
            raise ValueError(
                f"{type(self).__name__} has no term {wrong}; its terms are {sorted(self.paper_weights)}"
            )
        for name, weight in weights.items():
            if not callable(weight) and not 0 <= weight < math.inf:
                raise UserError(
                    f"the weight of the term {name!r} is {weight}", "give a number from 0 upwards"
                )
        self.weights: dict[str, Weight] = {**self.paper_weights, **weights}

    @abc.abstractmethod
    def terms(self, outputs: Mapping[str, Outputs], batch: Batch) -> dict[str, Tensor]:
        """Every term of the objective, unweighted, a scalar. A term of constant weight 0 may be left out."""

    def uses(self, term: str) -> bool:
        """Whether `term` can contribute: false only for a constant weight of 0."""
        return self.weights[term] != 0

    def forward(self, outputs: Mapping[str, Outputs], batch: Batch, progress: float = 0.0) -> Losses:
        """Weighs and sums. `progress` in [0, 1] is how much of the training is done."""
        terms = self.terms(outputs, batch)
        needed = {name for name in self.weights if self.uses(name)}
        if terms.keys() - self.weights.keys() or needed - terms.keys():
            raise ValueError(
                f"{type(self).__name__} computed the terms {sorted(terms)} but weighs {sorted(self.weights)}"
            )
        total = sum(
            (_at(self.weights[name], progress) * terms[name] for name in terms if self.uses(name)), start=0.0
        )
        if not isinstance(total, Tensor):
            raise ValueError(f"{type(self).__name__}: every term has weight 0, nothing would be learned")
        return Losses(total, terms)


def _at(weight: Weight, progress: float) -> float:
    return weight(progress) if callable(weight) else weight


class Combined(Method):
    """The sum of several methods over the same student; each term's name gains its method's name."""

    def __init__(self, **methods: Method) -> None:
        self.paper_weights = {f"{n}/{k}": w for n, m in methods.items() for k, w in m.weights.items()}
        super().__init__()
        self.methods = nn.ModuleDict(methods)
        self.roles = _merged_roles(methods)

    def terms(self, outputs: Mapping[str, Outputs], batch: Batch) -> dict[str, Tensor]:
        return {f"{n}/{k}": v for n, m in self._parts() for k, v in m.terms(outputs, batch).items()}

    def _parts(self) -> list[tuple[str, Method]]:
        return [(name, part) for name, part in self.methods.items() if isinstance(part, Method)]


def _merged_roles(methods: Mapping[str, Method]) -> dict[str, Role]:
    """One role per network: taps united, trained if any method trains it, and one agreed input.

    The whole image is what a method shows that does not care; another method's choice stands.
    """
    roles: dict[str, Role] = {}
    for name, role in ((n, r) for method in methods.values() for n, r in method.roles.items()):
        old = roles.get(name, Role())
        chosen = [one.input for one in (old, role) if one.input is not whole_image]
        if len(chosen) == 2 and chosen[0] != chosen[1]:
            raise ValueError(f"two methods show {name!r} different inputs; give both the same `input`")
        taps = tuple(dict.fromkeys(old.taps + role.taps))
        roles[name] = Role(taps, chosen[0] if chosen else whole_image, old.trained or role.trained)
    return roles
