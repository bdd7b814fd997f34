"""The matrix products equal the library's convolutions, and nested order loses no voxel."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from distilseg.functional.upsampling import NestedOrder, doubled, pointwise


@pytest.mark.parametrize(("axes", "layer"), [(1, nn.Conv1d), (2, nn.Conv2d), (3, nn.Conv3d)])
def test_pointwise_is_a_convolution(axes: int, layer: type[nn.Conv3d]) -> None:
    convolution = layer(5, 3, 1).double()
    features = torch.randn(2, 5, *(2, 3, 4)[:axes], dtype=torch.float64)
    torch.testing.assert_close(
        pointwise(features, convolution.weight, convolution.bias), convolution(features)
    )


@pytest.mark.parametrize("doublings", [0, 1, 2, 3])
@pytest.mark.parametrize("space", [(8,), (8, 16), (8, 16, 24)])
def test_doubling_is_a_transposed_convolution_in_nested_order(space: tuple[int, ...], doublings: int) -> None:
    layer = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[len(space) - 1](4, 4, 2, 2).double()
    coarse = torch.randn(2, 4, *(size >> doublings for size in space), dtype=torch.float64)
    fine, listed = coarse, coarse.flatten(2)
    for _ in range(doublings):
        fine, listed = layer(fine), doubled(listed, layer.weight, layer.bias)
    torch.testing.assert_close(listed, NestedOrder(space, doublings)(fine))
    at_once = doubled(coarse.flatten(2), layer.weight, layer.bias, doublings)
    torch.testing.assert_close(at_once, listed)


def test_doubling_by_hand() -> None:
    # one voxel of value 10 becomes two: 10 · (1, 2) + 5
    weight, bias = torch.tensor([[[1.0, 2.0]]]), torch.tensor([5.0])
    assert doubled(torch.tensor([[[10.0]]]), weight, bias).tolist() == [[[15.0, 25.0]]]
    # the offsets come first: all voxels of offset 0, then all of offset 1
    assert doubled(torch.tensor([[[10.0, 20.0]]]), weight, bias).tolist() == [[[15.0, 25.0, 25.0, 45.0]]]


def test_nested_order_by_hand() -> None:
    # index = 4 s0 + 2 a1 + a2, listed by (a2, a1, s0)
    line = torch.arange(8.0).view(1, 1, 8)
    assert NestedOrder((8,), 2)(line).flatten().tolist() == [0, 4, 2, 6, 1, 5, 3, 7]


@pytest.mark.parametrize("space", [(16, 8), (8, 16, 24)])
def test_nested_order_lists_every_voxel_once(space: tuple[int, ...]) -> None:
    label = torch.arange(2 * 16 * 8 * 24)[: 2 * torch.tensor(space).prod()].view(2, 1, *space)
    listed = NestedOrder(space, 3)(label)
    assert listed.shape == (2, 1, label[0].numel())
    assert torch.equal(listed.sort(-1).values, label.flatten(2))


def test_nested_order_is_no_state() -> None:
    assert not NestedOrder((8, 8, 8), 2).state_dict()


def test_gradients() -> None:
    weight, bias = torch.randn(2, 3, 2, 2, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    coarse = torch.randn(2, 2, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(doubled, [t.requires_grad_() for t in (coarse, weight, bias)])
    weight, bias = (torch.randn(2, 2, 2, 2, dtype=torch.float64), torch.randn(2, dtype=torch.float64))
    twice = [t.requires_grad_() for t in (coarse.detach(), weight, bias)]
    assert torch.autograd.gradcheck(lambda x, w, b: doubled(x, w, b, 2), twice)
    order = NestedOrder((4, 4), 2)
    assert torch.autograd.gradcheck(order, torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True))
