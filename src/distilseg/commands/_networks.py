"""`distilseg networks`: what can be trained, and what each network costs."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import UserError
from ..networks.build import NetworkSpec
from ..networks.overview import NetworkRow, network_row, network_table


def networks(
    name: str | None = None, *, patch: Sequence[int] = (64, 64, 64), modalities: int = 1, classes: int = 2
) -> list[NetworkRow]:
    """All networks, or the one called `name`, with their default options at one patch size (voxels)."""
    if len(patch) not in (2, 3) or min(patch) < 1:
        raise UserError(f"patch {list(patch)}", "give 2 or 3 sizes in voxels, all above 0")
    if name is None:
        return network_table(patch, modalities, classes)
    return [network_row(NetworkSpec(name, modalities, classes, tuple(patch)))]
