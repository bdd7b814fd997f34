"""The atrous pyramid, branch by branch, in plain numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from distilseg.errors import UserError
from distilseg.networks.atrous_pyramid import Pyramid


@pytest.mark.parametrize("separable", [False, True])
def test_the_pyramid_in_plain_numbers(separable: bool) -> None:
    """Each branch by itself on a map whose border the widest rate reaches; norms as fresh ones compute."""
    torch.manual_seed(0)
    pyramid: Any = Pyramid(5, 4, (1, 2, 3), separable=separable).double().eval()
    map_BCs = torch.randn(2, 5, 7, 6, dtype=torch.float64)

    def normed(x: Tensor) -> Tensor:
        scaled: Tensor = x / (1 + 1e-5) ** 0.5
        return scaled.clamp(min=0)

    expected = [normed(torch.einsum("bchw,dc->bdhw", map_BCs, pyramid.branches[0][0].weight[..., 0, 0]))]
    for branch, rate in zip(pyramid.branches[1:], (1, 2, 3), strict=True):
        kernel_DC33 = branch[0].weight
        if separable:  # its two parts as one dense kernel
            kernel_DC33 = torch.einsum("cij,dc->dcij", branch[0].weight[:, 0], branch[1].weight[..., 0, 0])
        padded = nn.functional.pad(map_BCs, (rate,) * 4)
        summed = torch.zeros(2, 4, 7, 6, dtype=torch.float64)
        for i in range(3):
            for j in range(3):
                shifted = padded[..., i * rate : i * rate + 7, j * rate : j * rate + 6]
                summed += torch.einsum("bchw,dc->bdhw", shifted, kernel_DC33[..., i, j])
        expected.append(normed(summed))
    mean_BC = map_BCs.sum((2, 3)) / 42
    of_image = normed(mean_BC @ pyramid.of_image.weight[..., 0, 0].T)
    expected.append(of_image[..., None, None].expand(2, 4, 7, 6))
    projected = torch.einsum("bchw,dc->bdhw", torch.cat(expected, 1), pyramid.project[0][0].weight[..., 0, 0])
    torch.testing.assert_close(pyramid(map_BCs), normed(projected))


def test_a_batch_of_one_cannot_be_learned_from() -> None:
    with pytest.raises(UserError, match="a batch of one image"):
        Pyramid(2, 2, (1,))(torch.zeros(1, 2, 4, 4))
