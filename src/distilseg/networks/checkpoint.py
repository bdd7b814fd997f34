"""Weights with the description that rebuilds their network, in one safetensors file.

The file's header holds JSON: the `NetworkSpec`, whatever else the caller wants to keep (`extra`), and digests
of that and of the tensors, which are checked where they are there (files of earlier versions have none).
Reading never executes anything: tensors and text only. A pickle is refused, unless it holds nothing but
tensors in plain containers; a network from somebody's Python file is built only for a caller who names that
file.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import UserError
from ..files import written_whole
from ..json_files import object_in
from ..names import pasted
from .build import NetworkSpec, build, names
from .digest import digest_of

HEADER = "distilseg"
DIGESTS = "sha256"  # of what the header tells beside them, and of the tensors
START = "imagenet"  # the option that names a file of weights to begin with
_AGAIN = "copy it again; or, of a run, delete the run's folder and repeat its command"
PICKLES = (".pt", ".pth", ".ckpt", ".bin", ".pkl")


def save_weights(
    path: Path | str,
    network: nn.Module,
    spec: NetworkSpec,
    extra: Mapping[str, Any] | None = None,
    *,
    signed: bool = True,
) -> None:
    """Writes the weights of `network`, whole or not at all; `extra` must fit into JSON.

    Without `signed` there are no digests, as earlier versions wrote it.
    """
    # As it is read again: JSON has neither tuples nor keys other than text.
    told = json.loads(json.dumps({"network": spec.to_dict(), "extra": dict(extra or {})}))
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in _weights(network).items()}
    digests = {DIGESTS: {"told": digest_of(told), "tensors": _digest_of_tensors(tensors)}}
    header = {**told, **digests} if signed else told
    with written_whole(Path(path)) as aside:
        # One entry: those of several would be written in any order, and equal weights be other files.
        save_file(tensors, aside, metadata={HEADER: json.dumps(header, ensure_ascii=False)})


def load_network(
    path: Path | str, *, trust: str | None = None, mapped: bool = False
) -> tuple[nn.Module, NetworkSpec, dict[str, Any]]:
    """The network in evaluation mode, its description, and what was kept with it.

    A description that names a builder in a Python file would run that file: it is refused unless `trust` is
    that very name (`my_file.py:function`). With `mapped` the weights stay in the file and are read where they
    are used: several processes share them, and the system may take their memory back at any time.
    """
    tensors, header = _read(Path(path))
    if header is None:
        raise UserError(
            f"{path} holds weights but no description of their network",
            "load it into a network you build yourself with `load_weights(network, path)`",
        )
    spec = NetworkSpec.from_dict(header["network"])
    if spec.name not in names() and spec.name != trust:
        raise UserError(
            f"{path} names the network {spec.name!r}, not one of this package; loading would run that file",
            f"if you trust it, say so: {pasted('--trust', spec.name)} (in Python trust={spec.name!r})",
        )
    network = build(_without_start(spec))
    _fill(network, tensors, header, path, in_place=not mapped)
    return network.eval(), spec, dict(header["extra"])


def load_weights(network: nn.Module, path: Path | str) -> None:
    """Fills `network` from a safetensors file, or from a pickle that holds nothing but tensors."""
    tensors, header = _read(Path(path))
    _fill(network, tensors, header, path)


def _without_start(spec: NetworkSpec) -> NetworkSpec:
    """The description less the file its weights began with, which need not be here any more."""
    options = {name: value for name, value in spec.options.items() if name != START}
    return replace(spec, options=options)


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of a pickle that holds nothing else, by name."""
    tensors, header = _read(Path(path))
    _check_tensors(tensors, header, path)
    return tensors


def _weights(network: nn.Module) -> dict[str, Tensor]:
    """The state by name; a tensor that several names share (as in DynUNet) goes under the first of them."""
    seen: dict[int, str] = {}
    state: dict[str, Tensor] = network.state_dict(keep_vars=True)
    return {name: tensor for name, tensor in state.items() if seen.setdefault(id(tensor), name) == name}


def _fill(
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    header: Mapping[str, Any] | None,
    path: Path | str,
    *,
    in_place: bool = True,
) -> None:
    expected = _weights(network)
    aliases = network.state_dict().keys() - expected.keys()
    missing = [name for name in expected if name not in tensors]
    surplus = [name for name in tensors if name not in expected and name not in aliases]
    if missing or surplus:
        raise UserError(
            f"{path} does not fit {type(network).__name__}: it lacks {_some(missing)}; it has beside"
            f" {_some(surplus)}",
            "load it into the network it was trained as, with the same options",
        )
    wrong = [
        f"{name} {list(tensors[name].shape)} instead of {list(expected[name].shape)}"
        for name in expected
        if tensors[name].shape != expected[name].shape
    ]
    if wrong:
        raise UserError(
            f"{path} does not fit {type(network).__name__}: {_some(wrong)}",
            "load it into a network with the same options, modalities and classes",
        )
    _check_tensors(tensors, header, path)
    network.load_state_dict({name: tensors[name] for name in expected}, strict=False, assign=not in_place)


def _some(names: Sequence[str], most: int = 6) -> str:
    if not names:
        return "nothing"
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """The tensors, and our header where the file has one."""
    if not path.is_file():
        raise UserError(f"there is no weights file {path}", "give the path of a .safetensors file")
    if path.suffix in PICKLES:
        return _read_pickle(path), None
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a mapping
            text = (file.metadata() or {}).get(HEADER)
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path} is not a whole safetensors file ({error})", "it may be truncated: copy or train it again"
        ) from None
    return tensors, None if text is None else _header(text, path)


def _header(text: str, path: Path) -> dict[str, Any]:
    """Description, extras and digests, once it is known that the first two are what was written."""
    try:
        header = object_in(text.encode("utf-8", "surrogatepass"), path)
        told = {"network": dict(header["network"]), "extra": dict(header["extra"])}
        digests = dict(header.get(DIGESTS, {}))
    except (ValueError, KeyError, TypeError):
        raise UserError(f"the header of {path} is damaged", "copy or train it again") from None
    if digests.get("told") not in (None, digest_of(told)):
        raise UserError(f"the header of {path} is damaged (its SHA-256 differs)", _AGAIN)
    return {**told, DIGESTS: digests}


def _check_tensors(tensors: Mapping[str, Tensor], header: Mapping[str, Any] | None, path: Path | str) -> None:
    """Raises UserError where a weight is not the one that was written."""
    if header and header[DIGESTS].get("tensors") not in (None, _digest_of_tensors(tensors)):
        raise UserError(
            f"{path} is damaged: its weights are not those that were written (their SHA-256 differs)",
            _AGAIN,
        )


def _digest_of_tensors(tensors: Mapping[str, Tensor]) -> str:
    return digest_of({name: tensors[name] for name in sorted(tensors)})


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings(action="ignore"):  # torch asks to report pickles it does not know
            value = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a stranger's bytes make of the unpickler
        raise UserError(
            f"{path} is a pickle that is damaged or holds more than tensors, and loading such a file could"
            f" run code ({_first_line(error)})",
            "ask its author for safetensors, or for a state dictionary alone",
        ) from None
    if isinstance(value, dict) and isinstance(value.get("state_dict"), dict):
        value = value["state_dict"]
    if not isinstance(value, dict) or not all(isinstance(tensor, Tensor) for tensor in value.values()):
        raise UserError(f"{path} holds no state dictionary", "save `network.state_dict()` alone")
    return value


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
