"""One contract over all inferers."""

from __future__ import annotations

import pytest

from distilseg.inference.inferer import Inferer
from distilseg.inference.slabs import Slabs
from distilseg.inference.slices import Slices
from distilseg.inference.sliding_window import SlidingWindow
from distilseg.testing import check_inferer

INFERERS: dict[str, tuple[Inferer, int]] = {
    f"{dims}D overlap {overlap} {blend} mirror {mirror}": (
        SlidingWindow((8, 10, 6)[:dims], overlap, blend, mirror=mirror),  # type: ignore[arg-type]
        dims,
    )
    for dims in (2, 3)
    for overlap in (0, 0.25, 0.6)
    for blend in ("gaussian", "constant")
    for mirror in (False, True)
}
INFERERS |= {
    f"slices across axis {axis} mirror {mirror}": (Slices((8, 10), axis, batch=3, mirror=mirror), 3)
    for axis in range(3)
    for mirror in (False, True)
}
# A mean of softmaxes gives logits back without what all classes share: the contract is asked of the others.
INFERERS |= {
    f"slabs across axis {axis} stride {stride} average {average}": (
        Slabs((8, 8, 8), axis, stride, average, "sigmoid", batch=3, divisor=4),  # type: ignore[arg-type]
        3,
    )
    for axis in range(3)
    for stride in (1, 3, 8)
    for average in ("logits", "probabilities")
}


@pytest.mark.parametrize("name", INFERERS)
def test_inferer_keeps_the_contract(name: str) -> None:
    inferer, dims = INFERERS[name]
    check_inferer(inferer, dims=dims)
