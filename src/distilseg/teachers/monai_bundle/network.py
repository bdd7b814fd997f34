"""A bundle's network: a class of MONAI's from a fixed table, or a script's that is known here, with arguments
that are plain values.

The weights decide how large it may get: what a description asks for beyond them is refused before there is
memory for it.
"""

from __future__ import annotations

import inspect
import io
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ...errors import UserError
from ..archive import Files
from ..checkpoint import Stored, is_torchscript, read_pickled, state_in
from .config import WAY_OUT, Entry
from .scripts import script_of

NETWORKS = (
    "AHNet",
    "AttentionUnet",
    "BasicUNet",
    "BasicUNetPlusPlus",
    "DynUNet",
    "FlexibleUNet",
    "HighResNet",
    "MedNeXt",
    "SegResNet",
    "SegResNetDS",
    "SwinUNETR",
    "UNet",
    "UNETR",
    "VNet",
)
LEGACY = {"SwinUNETR": ("img_size",)}  # arguments of former MONAIs that mean nothing now
WEIGHTS = ("models/model.pt", "models/model.pth")
PROGRAMS = ("models/model.ts",)

_LARGEST = 1_000_000  # of any number that a network is described by
_COARSEST_FIRST = ("BasicUNetPlusPlus",)  # of several answers the last is the network's


def build_network(entry: Entry, state: Mapping[str, Stored], where: str) -> tuple[nn.Module, str]:
    """The network that `entry` describes with the weights of `state`, in evaluation mode, and its name.

    `where` is what errors call the weights. Raises `UserError` for a class that is not in the table,
    arguments that it has not, and weights that are not its own, naming the first that differs.
    """
    entry = entry.followed()
    if not entry.is_component:
        raise UserError(f"{entry.where} describes no network", "repair the bundle")
    numbers = sum(math.prod(tensor.shape) for tensor in state.values())
    if script := script_of(entry):
        network = _made(script.name, script.make, entry, numbers, len(state))
        fill(network, script.weights(state), where)
        return network.eval(), _described(script.name, network)
    target = entry.target
    name = next((known for known in NETWORKS if known.lower() == target.lower()), None)
    if name is None:
        raise UserError(
            f"{entry.where} is a {target}, which is not among the networks that are built here",
            f"known: {', '.join(NETWORKS)}; else {WAY_OUT}",
        )
    import monai.networks.nets as nets

    arguments = _arguments(entry, name)
    network = _made(name, lambda: getattr(nets, name)(**arguments), entry, numbers, len(state))
    fill(network, state, where)
    return network.eval(), _described(name, network)


def read_weights(files: Files, chosen: str | None, keys: tuple[str, ...]) -> tuple[str, dict[str, Stored]]:
    """The file of a bundle's weights, and its tensors: the one the configuration names, models/model.pt, or
    those inside models/model.ts. Raises `UserError` where it is not there."""
    candidates = [name for name in (chosen, *WEIGHTS, *PROGRAMS) if name and name in files]
    if not candidates:
        models = [n for n in files.names if n.startswith("models/") and n.endswith((".pt", ".pth", ".ts"))]
        if len(models) != 1:
            raise _no_weights(files, models)
        candidates = models
    name = candidates[0]
    content, where = io.BytesIO(files.read(name)), f"{files.path}: {name}"
    if content.getvalue().startswith(b"version https://git-lfs"):
        raise UserError(
            f"{where} is a pointer of Git LFS, not the weights", "download the weights themselves"
        )
    state = state_in(read_pickled(content, where, program=is_torchscript(content)), where, keys)
    return name, state


def fill(network: nn.Module, state: Mapping[str, Stored], where: str) -> None:
    """Loads weights strictly; raises `UserError` naming the first that is missing, surplus or of another
    shape."""
    expected = network.state_dict()
    for name, tensor in expected.items():
        if name not in state:
            raise UserError(
                f"{where} lacks {name} of {_named(network)}", "are they weights of another network?"
            )
        if tuple(tensor.shape) != state[name].shape:
            raise UserError(
                f"{where}: {name} is {list(state[name].shape)}, {_named(network)} has {list(tensor.shape)}",
                "do its description and its weights belong together?",
            )
    if surplus := [name for name in state if name not in expected]:
        raise UserError(
            f"{where} has {surplus[0]}, which {_named(network)} has not",
            "are they weights of another network?",
        )
    weights = {name: torch.from_numpy(np.array(state[name].read())) for name in expected}
    network.load_state_dict(weights)
    if strange := [name for name, tensor in weights.items() if not tensor.isfinite().all()]:
        raise UserError(f"{where}: {strange[0]} holds NaN or infinite numbers", "download the weights again")


def logits_in(answer: Any, name: str) -> Tensor:
    """The logits in what a network of MONAI's returned: itself, or one of several at full resolution."""
    while not isinstance(answer, Tensor):
        answer = answer[-1 if name in _COARSEST_FIRST else 0]
    return answer


def _arguments(entry: Entry, name: str) -> dict[str, Any]:
    import monai.networks.nets as nets

    if not hasattr(nets, name):
        raise UserError(f"this MONAI has no {name}", "install a newer one: pip install -U monai")
    known = inspect.signature(getattr(nets, name).__init__).parameters
    given: dict[str, Any] = {}
    for key, raw in entry.raw.items():
        if str(key).startswith("_"):
            continue
        if key not in known or key == "self":
            if key in LEGACY.get(name, ()):
                continue
            raise UserError(
                f"{entry.where}: {name} has no argument {str(key)!r}",
                f"known: {', '.join(k for k in known if k != 'self')}",
            )
        given[key] = entry.child(str(key), raw).plain()
        _check_sizes(given[key], f"{entry.where}::{key}")
    # The one would download what the weights replace, the other saves memory of training.
    return given | {switch: False for switch in ("pretrained", "use_checkpoint") if switch in known}


def _check_sizes(value: Any, where: str) -> None:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            _check_sizes(inner, where)
    elif isinstance(value, (int, float)) and not abs(value) <= _LARGEST:
        raise UserError(f"{where} is {value!r}, and no network is that large", "repair the bundle")


def _made(name: str, make: Callable[[], nn.Module], entry: Entry, numbers: int, tensors: int) -> nn.Module:
    try:
        with _Bounded(4 * numbers + 2**22, 50 * tensors + 5000):
            network = make()
    except _TooLarge:
        raise UserError(
            f"{entry.where}: {name} would be far larger than its weights, {numbers:,} numbers",
            "do its description and its weights belong together?",
        ) from None
    except Exception as error:  # whatever a stranger's arguments make of the class
        told = " ".join(str(error).split())[:200]
        raise UserError(
            f"{entry.where}: {name} cannot be made of these arguments ({told})", WAY_OUT
        ) from None
    return network


class _TooLarge(Exception):
    pass


class _Bounded(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses more new tensors, or numbers in them, than it was told."""

    def __init__(self, numbers: int, tensors: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.numbers, self.tensors = numbers, tensors

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kind = func._schema.name.removeprefix("aten::").removesuffix("_like")
        if kind in ("empty", "zeros", "ones", "full", "rand", "randn", "empty_strided", "arange", "linspace"):
            shape = args[0] if args and isinstance(args[0], (list, tuple)) else ()
            self.numbers -= math.prod(shape)
            self.tensors -= 1
            if self.numbers < 0 or self.tensors < 0:
                raise _TooLarge
        return func(*args, **(kwargs or {}))


def _described(name: str, network: nn.Module) -> str:
    return f"{name}, {sum(parameter.numel() for parameter in network.parameters()):,} parameters"


def _named(network: nn.Module) -> str:
    return type(network).__name__


def _no_weights(files: Files, models: list[str]) -> UserError:
    if models:
        return UserError(
            f"{files.path} holds several weights: {', '.join(models)}", "keep one, as models/model.pt"
        )
    listed = next((n for n in files.names if n.rpartition("/")[2].startswith("large_files")), None)
    if listed is None:
        return UserError(f"{files.path} holds no weights (models/model.pt)", "download the whole bundle")
    from .config import read_config

    entries = read_config(files.read(listed), f"{files.path}: {listed}").values.get("large_files")
    first = next(iter(entries), None) if isinstance(entries, list) else None
    url = first.get("url") if isinstance(first, dict) else None
    return UserError(
        f"{files.path} holds no weights (models/model.pt), {listed} says where they are",
        f"download them: {str(url)[:200]}" if url else "download them",
    )
