"""What a teacher hands over to become an artefact: networks in torch, and its preparation as values.

The preparation is one that `runtime` knows: what predicts from the artefact needs nothing of the teacher.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from ..data.planning.plan import Plan


@dataclass(frozen=True, eq=False)
class Shipped:
    """One network of a shipment, in evaluation mode on the CPU."""

    network: nn.Module
    inputs: int  # channels
    patch: tuple[int, ...]  # voxels of its windows


@dataclass(frozen=True, eq=False)
class Shipment:
    """All that an artefact needs of a teacher."""

    preparation: str  # one of `runtime.artefact.PREPARATIONS`
    networks: Mapping[str, Shipped]  # by the name of its file without the ending; the last one answers
    way: Callable[[Mapping[str, str]], str]  # stem of a network -> its file; gives the preparation.json
    plan: Plan  # for people: modalities, labels, spacing; what prepares is the way
    answers: Literal["classes", "regions"]
    inferer: Mapping[str, Any]  # nearest description of its windows as one of ours
    told: Mapping[str, Any]  # how it answers, one word a value: folds, mirroring, step
