"""configs/metadata.json: what a bundle's images are, what its network's channels are, where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import UserError
from ..teacher import Activation, Head
from .config import Entry

METADATA = "configs/metadata.json"


def modalities_of(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of its images, in the network's order; raises `UserError` where they are not clear."""
    described = _channels(metadata, "inputs")
    names = _channel_names(described, "inputs")
    modality = str(described.get("modality") or "")
    if len(names) == 1 and modality.lower() not in ("", "n/a", "none", "unknown"):
        return (modality,)
    if len(set(names)) < len(names):
        raise UserError(f"{METADATA} names its images {names}", "name each differently")
    return tuple(names)


def heads_of(metadata: Mapping[str, Any], activation: Activation) -> tuple[Head, ...]:
    """Its classes (softmax) or regions (sigmoid); raises `UserError` where they are not clear."""
    names = _channel_names(_channels(metadata, "outputs"), "outputs")
    if activation == "softmax":
        if len(names) < 2:
            raise UserError(f"{METADATA} names a single class under a softmax", "repair it")
        return tuple(Head(name, (k,)) for k, name in enumerate(names))
    if len(names) > 1 and names[0].lower() == "background":
        return tuple(Head(name, (k,)) for k, name in enumerate(names))
    return tuple(Head(name, (k + 1,)) for k, name in enumerate(names))


def check_channels(network: Entry, modalities: tuple[str, ...], heads: tuple[Head, ...]) -> None:
    """Raises `UserError` for a network that has not as many channels as the metadata names."""
    if not network.is_component:
        return
    for argument, names in (("in_channels", modalities), ("out_channels", [head.name for head in heads])):
        count = network.argument(argument)
        if count is not None and count != len(names):
            raise UserError(
                f"{network.where} has {count!r} {argument}, {METADATA} names {', '.join(names)}",
                "do they belong to one bundle?",
            )


def reference_of(metadata: Mapping[str, Any]) -> str:
    """What to cite, "" where nothing is said."""
    found = metadata.get("references") or metadata.get("reference") or ""
    return "; ".join(map(str, found)) if isinstance(found, list) else str(found)


def _channels(metadata: Mapping[str, Any], way: str) -> Mapping[str, Any]:
    found: Any = metadata.get("network_data_format")
    for key in (way, "image" if way == "inputs" else "pred"):
        inner = found.get(key) if isinstance(found, Mapping) else None
        found = (
            next(iter(found.values()), None)
            if inner is None and isinstance(found, Mapping) and found
            else inner
        )
    if not isinstance(found, Mapping):
        raise UserError(f"{METADATA} does not describe its {way} (network_data_format)", "repair it")
    return found


def _channel_names(described: Mapping[str, Any], way: str) -> list[str]:
    defined = described.get("channel_def")
    count = described.get("num_channels")
    if not isinstance(defined, Mapping) or not defined:
        if not isinstance(count, int) or not 0 < count < 10_000:
            raise UserError(f"{METADATA} names no channels of its {way}", "repair it")
        return [f"{'image' if way == 'inputs' else 'class'}_{n}" for n in range(count)]
    if sorted(map(str, defined)) != sorted(map(str, range(len(defined)))):
        raise UserError(
            f"{METADATA} numbers the channels of its {way} {', '.join(map(str, defined))}",
            "number them 0, 1, 2, ...",
        )
    names = {int(n): str(name) for n, name in defined.items()}
    return [names[n] for n in range(len(names))]
