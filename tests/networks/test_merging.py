"""Patch merging of 2022: same parameters as today's, another function, stacked in the recorded order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.networks.nets.swin_unetr import PatchMerging
from torch import nn

from distilseg.errors import UserError
from distilseg.networks import NetworkSpec, build
from distilseg.networks.merging import PatchMerging2022, stack_octants


def swin(merging: str, patch: tuple[int, ...] = (64, 32, 32)) -> nn.Module:
    torch.manual_seed(0)
    return build(NetworkSpec("swin_unetr", 1, 2, patch, {"merging": merging})).eval()


def test_order_of_concatenation() -> None:
    """Each voxel holds its own offset (i j k) as the number 100 i + 10 j + k; two channels."""
    i, j, k = np.indices((4, 2, 6)) % 2
    offset = 100 * i + 10 * j + k
    tokens = torch.from_numpy(np.stack([offset, offset + 1000], axis=-1)[None].astype(np.float32))
    stacked = stack_octants(tokens).numpy()
    assert stacked.shape == (1, 2, 1, 3, 16)
    order = [0, 100, 10, 1, 101, 10, 1, 111]
    np.testing.assert_array_equal(
        stacked, np.broadcast_to(np.repeat(order, 2) + [0, 1000] * 8, stacked.shape)
    )


def test_voxels_land_in_their_own_block() -> None:
    tokens = torch.arange(4 * 4 * 4, dtype=torch.float32).reshape(1, 4, 4, 4, 1)
    stacked = stack_octants(tokens)
    block = tokens[0, 2:, :2, 2:, 0]
    assert stacked[0, 1, 0, 1].tolist() == [
        block[o].item()
        for o in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 0), (0, 0, 1), (1, 1, 1))
    ]


def test_odd_axes_are_padded_with_zeros_at_the_end() -> None:
    tokens = torch.ones(1, 3, 2, 2, 1)
    stacked = stack_octants(tokens)
    assert stacked.shape == (1, 2, 1, 1, 8)
    assert stacked[0, 1, 0, 0].tolist() == [1, 0, 1, 1, 0, 1, 1, 0]  # i = 3 is padding


def test_the_whole_layer_against_numpy() -> None:
    torch.manual_seed(0)
    layer = PatchMerging2022(dim=2).double()
    tokens = torch.randn(1, 4, 2, 2, 2, dtype=torch.float64)
    x = tokens.numpy()
    parts = [
        x[:, a::2, b::2, c::2]
        for a, b, c in [
            (0, 0, 0),
            (1, 0, 0),
            (0, 1, 0),
            (0, 0, 1),
            (1, 0, 1),
            (0, 1, 0),
            (0, 0, 1),
            (1, 1, 1),
        ]
    ]
    y = np.concatenate(parts, axis=-1)
    y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-5)
    expected = y @ layer.reduction.weight.detach().numpy().T
    np.testing.assert_allclose(layer(tokens).detach().numpy(), expected, rtol=1e-12, atol=1e-12)


def test_parameters_are_identical_and_the_function_is_not() -> None:
    old, new = swin("2022"), swin("merging")
    new.load_state_dict(old.state_dict())
    image = torch.randn(1, 1, 64, 32, 32)
    with torch.no_grad():
        difference = (old(image) - new(image)).abs().max()
    assert difference > 1e-3


@pytest.mark.parametrize("name", ["swin_unetr_truncated", "swin_unetr_light"])
def test_the_truncated_network_takes_it_too(name: str) -> None:
    """The same parameters; of a volume another function, of an image the same."""
    for patch, same in (((32, 48, 32), False), ((32, 48), True)):
        old, new = (
            build(NetworkSpec(name, 1, 2, patch, {"feature_size": 12, "merging": merging})).eval()
            for merging in ("2022", "merging")
        )
        layers = [module for module in old.modules() if isinstance(module, PatchMerging)]
        assert [type(layer) for layer in layers] == [PatchMerging2022] * 4
        new.load_state_dict(old.state_dict())
        image = torch.randn(1, 1, *patch)
        with torch.no_grad():
            assert torch.equal(old(image), new(image)) == same
    with pytest.raises(UserError, match=f"unknown merging of {name} '2021'"):
        build(NetworkSpec(name, 1, 2, (32, 32), {"merging": "2021"}))


def test_in_2d_both_agree() -> None:
    old, new = swin("2022", (64, 32)), swin("merging", (64, 32))
    image = torch.randn(1, 1, 64, 32)
    with torch.no_grad():
        assert torch.equal(old(image), new(image))


@pytest.mark.parametrize("merging", ["2022", "merging"])
def test_every_stage_uses_the_merging_asked_for(merging: str) -> None:
    kind = {"2022": PatchMerging2022, "merging": PatchMerging}[merging]
    layers = [module for module in swin(merging).modules() if isinstance(module, PatchMerging)]
    assert [type(layer) for layer in layers] == [kind] * 4
