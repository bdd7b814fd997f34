"""The table behind `distilseg networks`: what each network is and costs at one patch size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ..errors import UserError, unknown
from .build import NetworkSpec, build, describe, divisor, names
from .count import multiply_accumulates, parameters
from .count_thop import ThopCount, count_as_thop
from .features import meta_twin
from .patch import times


@dataclass(frozen=True)
class NetworkRow:
    """One network: with its default options, or those of the description it was made from."""

    name: str
    parameters: int | None  # None where the network cannot take the patch
    gmacs: float | None  # 10^9 multiply–accumulates of one patch; papers call them GFLOPs
    dims: str  # "2D", "3D" or "2D, 3D"
    constraint: str  # which patches work, or why this one does not
    summary: str
    thop: ThopCount | None = None  # both numbers again by thop's rules, where they were asked for


def network_table(
    patch: Sequence[int], in_channels: int = 1, classes: int = 2, *, count: str | None = None
) -> list[NetworkRow]:
    """A row for every network of the package; nothing is computed but shapes."""
    return [
        network_row(NetworkSpec(name, in_channels, classes, tuple(patch)), count=count) for name in names()
    ]


def network_row(spec: NetworkSpec, *, count: str | None = None) -> NetworkRow:
    """One network; an unknown name raises UserError, a patch or option it cannot take is in the row.

    `count="thop"` counts a second time as that tool does.
    """
    if count not in (None, "thop"):
        raise unknown("way to count", count, ("thop",))
    summary = describe(spec.name).summary
    dims = ", ".join(f"{d}D" for d in (2, 3) if _takes(spec.name, d))
    try:
        by = divisor(spec)
        network = _shapes_only(spec)
    except UserError as refusal:
        return NetworkRow(spec.name, None, None, dims, str(refusal), summary)
    image_shape = (1, spec.in_channels, *spec.patch)
    try:
        macs = multiply_accumulates(network, image_shape)
        of_thop = count_as_thop(network, image_shape) if count else None
    except Exception as error:
        if ":" not in spec.name:
            raise
        told = f"{type(error).__name__}: {' '.join(str(error).split())}"  # whatever the user's file raises
        raise UserError(f"{spec.name} fails on a patch of {times(spec.patch)}: {told}", "mend it") from error
    rule = f"patch a multiple of {times(by)}" if max(by) > 1 else "any patch"
    return NetworkRow(spec.name, parameters(network), macs / 1e9, dims, rule, summary, of_thop)


def _takes(name: str, dims: int) -> bool:
    try:
        divisor(NetworkSpec(name, 1, 2, (128,) * dims))
    except UserError:
        return False
    return True


def _shapes_only(spec: NetworkSpec) -> nn.Module:
    """The network on the meta device, where even the largest costs no memory."""
    try:
        with torch.device("meta"):
            return build(spec)
    except UserError as refusal:  # MONAI's Swin transformer reads numbers from tensors while it is built
        if not isinstance(refusal.__cause__, RuntimeError):
            raise
        return meta_twin(build(spec))
