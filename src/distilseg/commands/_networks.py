"""`distilseg networks`: what can be trained, and what each network costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import UserError
from ..networks.build import NetworkSpec, check_options
from ..networks.overview import NetworkRow, network_row, network_table


def networks(
    name: str | None = None,
    *,
    patch: Sequence[int] = (64, 64, 64),
    modalities: int = 1,
    classes: int = 2,
    network_options: Mapping[str, Any] | None = None,
    count: str | None = None,
) -> list[NetworkRow]:
    """All networks with their default options, or the one called `name`, at one patch size (voxels).

    `count="thop"` adds the numbers that this tool gives, which many papers print.
    """
    if len(patch) not in (2, 3) or min(patch) < 1:
        raise UserError(f"patch {list(patch)}", "give 2 or 3 sizes in voxels, all above 0")
    if name is None:
        if network_options:
            raise UserError("network options without a network", "name the network that they are for")
        return network_table(patch, modalities, classes, count=count)
    check_options(name, network_options or {})
    spec = NetworkSpec(name, modalities, classes, tuple(patch), network_options or {})
    return [network_row(spec, count=count)]
