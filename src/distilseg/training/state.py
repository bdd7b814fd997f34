"""What a resumed run needs, saved as tensors and plain values only, so that loading never executes code.

A digest lies beside it, but for files of earlier versions: a run goes on from what was saved, or not at all.
Random numbers need no saving: patches, augmentation and dropout are functions of (seed, step).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..files import written_whole
from ..networks.digest import digest_of
from .objective import Objective


@dataclass
class State:
    """Where a run stands."""

    step: int = 0
    elapsed_s: float = 0.0  # training and validation, without pauses between resumptions
    validations: int = 0
    best: float = -1.0  # mean Dice of the best validation
    best_step: int = 0
    since_best: int = 0
    since_lowered: int = 0  # validations without a new best since the rate was lowered last
    lowered: int = 0  # how often a plateau lowered the learning rate
    stopped: str = ""  # steps, minutes or patience
    signed: bool = False  # whether its weights carry digests: a run of an earlier version ends as it began


class Average:
    """Exponential moving average of a network's weights: a <- decay a + (1 - decay) w; buffers are copied."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in network.state_dict().items()}

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Takes saved averages back, to where the network's weights are."""
        self.weights = {name: value.to(self.weights[name].device) for name, value in weights.items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.weights[name].lerp_(value, 1 - self.decay)
            else:
                self.weights[name].copy_(value)


def save_state(
    path: Path,
    state: State,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    average: Average | None,
    precision: Mapping[str, Any],
) -> None:
    """Writes everything whole; frozen teachers are left out, their runs hold them."""
    content: dict[str, Any] = {
        "state": asdict(state),
        "objective": _learned(objective),
        "optimizer": optimizer.state_dict(),
        "average": average.weights if average else {},
        "precision": dict(precision),
    }
    content["digest"] = digest_of(content)
    # To a file of Python's: it tells why it cannot be written, torch's own does not.
    with written_whole(path) as aside, aside.open("wb") as file:
        torch.save(content, file)


def load_state(
    path: Path, objective: Objective, optimizer: torch.optim.Optimizer, average: Average | None
) -> tuple[State, dict[str, Any]]:
    """Puts saved weights and optimizer state back; returns where the run stands and the precision's state."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        state = State(**content["state"])
        missing = {"objective", "optimizer", "average", "precision"} - content.keys()
        if missing:
            raise ValueError(f"it lacks {min(missing)}")
        digest = content.pop("digest", None)
        if digest not in (None, digest_of(content)):
            raise ValueError("it is damaged: its SHA-256 differs from what was written")
    except Exception as error:  # whatever a damaged file makes of the unpickler
        told = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{path} cannot be read as a checkpoint of distilseg ({told})",
            f"delete {path.parent} to start this run afresh",
        ) from None
    expected = _learned(objective).keys()
    if content["objective"].keys() != expected:
        odd = sorted(content["objective"].keys() ^ expected)[:3]
        raise UserError(
            f"{path} belongs to another network or method (differs in {odd})", f"delete {path.parent}"
        )
    try:
        objective.load_state_dict(content["objective"], strict=False)
        optimizer.load_state_dict(content["optimizer"])
        if average:
            average.restore(content["average"])
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        told = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{path} does not fit this run ({told})", f"delete {path.parent} to start this run afresh"
        ) from None
    return state, content["precision"]


def _learned(objective: Objective) -> dict[str, Tensor]:
    frozen = tuple(f"networks.{name}." for name in objective.networks if name not in objective.trained_roles)
    return {name: value for name, value in objective.state_dict().items() if not name.startswith(frozen)}
