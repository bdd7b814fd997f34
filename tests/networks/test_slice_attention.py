"""Slice-sensitive attention and its rivals against their equations, one group and one channel at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from distilseg.networks import slice_attention
from distilseg.networks.slice_attention import Concatenation, Product, SliceAttention
from distilseg.networks.switchable_norm import SwitchableNorm

B, G, C, O = 2, 3, 4, 5  # noqa: E741  O: channels of a group's map


def maps(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    fused, groups = torch.randn(B, C, rows, columns), torch.randn(B, G, O, rows, columns)
    return fused.double(), groups.double()


def conv(layer: nn.Module, map_Cs: np.ndarray) -> np.ndarray:
    assert isinstance(layer, nn.Conv2d)
    out = np.einsum("pq,qhw->phw", layer.weight.detach().numpy()[:, :, 0, 0], map_Cs)
    return out if layer.bias is None else out + layer.bias.detach().numpy()[:, None, None]


def softmax(rows: np.ndarray) -> np.ndarray:
    powers = np.exp(rows - rows.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize("normalize", ["softmax_scaled", "softmax", "dot"])
@pytest.mark.parametrize("query", ["group", "fused"])
def test_attention(query: str, normalize: str) -> None:
    fused, groups = maps(64, 32)  # pooled to 32x32: pairs of rows
    ssa = SliceAttention(C, O, query, normalize).double().eval()
    nn.init.normal_(ssa.norm.weight)
    expected = np.empty((B, C, G, 64, 32))
    for b in range(B):
        for g in range(G):
            u, o = fused[b].numpy(), groups[b, g].numpy()
            asks, answers = (o, u) if query == "group" else (u, o)
            pooled = [x.reshape(len(x), 32, 2, 32).mean(2) for x in (asks, answers)]
            q, k = conv(ssa.query, pooled[0]), conv(ssa.key, pooled[1])
            products = np.array([[(q[i] * k[j]).sum() for j in range(C)] for i in range(C)])
            weights = {
                "softmax_scaled": softmax(products / 32),
                "softmax": softmax(products),
                "dot": products / C,
            }[normalize]
            value = conv(ssa.value, answers)
            mixed = np.stack([sum(weights[p, q] * value[q] for q in range(C)) for p in range(C)])
            expected[b, :, g] = conv(ssa.out, mixed)
    with torch.no_grad():
        normalised = ssa.norm(torch.from_numpy(expected)).transpose(1, 2)
        torch.testing.assert_close(ssa(fused, groups), fused[:, None] + normalised)


def test_small_maps_are_not_enlarged() -> None:
    """16x8 pixels stay 128 numbers: the scale is √128."""
    fused, groups = maps(16, 8)
    ssa = SliceAttention(C, O, "group", "softmax_scaled").double()
    q = conv(ssa.query, groups[1, 2].numpy()).reshape(C, -1)
    k = conv(ssa.key, fused[1].numpy()).reshape(C, -1)
    attention = ssa.attention(groups, fused[:, None])
    np.testing.assert_allclose(attention[1, 2].detach().numpy(), softmax(q @ k.T / 128**0.5), atol=1e-12)


def test_concatenation_and_product() -> None:
    fused, groups = maps(4, 6)
    concatenation, product = Concatenation(C, O).double(), Product(C, O).double()
    u, o = fused[1].numpy(), groups[1, 2].numpy()
    both = conv(concatenation.merge, np.concatenate([u, conv(concatenation.project, o)]))
    np.testing.assert_allclose(concatenation(fused, groups)[1, 2].detach().numpy(), both, atol=1e-12)
    scaled = u * conv(product.project, o)
    np.testing.assert_allclose(product(fused, groups)[1, 2].detach().numpy(), scaled, atol=1e-12)


def test_parameters_by_hand() -> None:
    """φ, θ, g: 256·256 + 256; out: 256·256; SN: a scale and a shift per channel, twice three mixtures."""
    ssa = SliceAttention(256, 256, "group", "softmax_scaled")
    assert isinstance(ssa.norm, SwitchableNorm)
    count = sum(weight.numel() for weight in ssa.parameters())
    assert count == 3 * (256 * 256 + 256) + 256 * 256 + 2 * 256 + 6 == 263_430


@pytest.mark.parametrize("shape", [(5, 31), (32, 33), (48, 100)])
def test_pooling_by_matrices_as_exported_is_adaptive_pooling(shape: tuple[int, int]) -> None:
    several = torch.randn(2, 3, 4, *shape)
    by_matrices = slice_attention._means(shape[0]) @ several @ slice_attention._means(shape[1]).T
    torch.testing.assert_close(by_matrices, slice_attention._pooled(several))
