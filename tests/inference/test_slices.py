"""Slice by slice: each slice is what a 2D window makes of it alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from distilseg.errors import UserError
from distilseg.inference.build import make_inferer
from distilseg.inference.slices import Slices
from distilseg.inference.sliding_window import SlidingWindow


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_each_slice_by_itself(axis: int) -> None:
    image = torch.randn(2, 3, 9, 11, 10)

    def network(plane: Tensor) -> Tensor:
        return torch.stack([plane[:, 0].cumsum(1), plane[:, 1] * plane[:, 2]], 1)  # depends on the window

    window = SlidingWindow((4, 6))
    whole = Slices((4, 6), axis)(image, network)
    for place in range(image.shape[2 + axis]):
        alone = window(image.select(2 + axis, place), network)
        torch.testing.assert_close(whole.select(2 + axis, place), alone)


def test_a_pass_holds_as_many_slices_as_asked() -> None:
    seen: list[tuple[int, ...]] = []

    def network(planes: Tensor) -> Tensor:
        seen.append(tuple(planes.shape))
        return planes

    Slices((8, 8), batch=4)(torch.zeros(1, 1, 8, 8, 10), network)
    assert seen == [(4, 1, 8, 8), (4, 1, 8, 8), (2, 1, 8, 8)]


def test_from_its_description() -> None:
    assert make_inferer({"kind": "slices", "axis": 1, "patch": [8, 6]}) == Slices((8, 6), 1)
    for wrong in ({"patch": [8, 8, 8]}, {"patch": [8, 8], "axis": 3}):
        with pytest.raises(UserError, match="give an axis from 0 to 2 and two sizes"):
            make_inferer({"kind": "slices", **wrong})
