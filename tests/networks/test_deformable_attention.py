"""Deformable attention against a loop over tokens, heads, maps, points and voxels."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from distilseg.networks.deformable_attention import (
    DeformableAttention,
    Sampling,
    by_look_up,
    interpolated,
    looked_up,
)

Array = NDArray[np.float64]
SIZES = ((2, 4, 3), (1, 2, 2))
HEADS, CHANNELS, POINTS = 3, 2, 2  # channels of a head


def attention(sampling: Sampling, spread: float) -> DeformableAttention:
    torch.manual_seed(0)
    module = DeformableAttention(HEADS * CHANNELS, HEADS, len(SIZES), POINTS, sampling).double()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=spread)
    return module


def between(volume_Cs: Array, place: tuple[float, float, float]) -> Array:
    """Trilinear, voxel i of n centred at (i + 1/2) / n, 0 beyond."""
    total = np.zeros(len(volume_Cs))
    for voxel in itertools.product(*(range(n) for n in volume_Cs.shape[1:])):
        distances = [
            abs(where * n - 0.5 - i) for where, n, i in zip(place, volume_Cs.shape[1:], voxel, strict=True)
        ]
        total += volume_Cs[(slice(None), *voxel)] * math.prod(max(0.0, 1 - d) for d in distances)
    return total


def by_loop(module: DeformableAttention, tokens_Nc: Array, position_Nc: Array, sampling: str) -> Array:
    layers: dict[str, Any] = {
        name: (layer.weight.detach().numpy(), layer.bias.detach().numpy())
        for name, layer in module.named_children()
        if isinstance(layer, nn.Linear)
    }

    def linear(name: str, x: Array) -> Array:
        weight, bias = layers[name]
        result: Array = weight @ x + bias
        return result

    values, start = [], 0
    for size in SIZES:
        voxels = math.prod(size)
        value = np.stack([linear("value", token) for token in tokens_Nc[start : start + voxels]])
        values.append(value.T.reshape(HEADS, CHANNELS, *size))
        start += voxels

    owns = [(size, voxel) for size in SIZES for voxel in itertools.product(*(range(n) for n in size))]
    out = []
    for n, (own, voxel) in enumerate(owns):
        asking = tokens_Nc[n] + position_Nc[n]
        offsets = linear("offsets", asking).reshape(HEADS, len(SIZES), POINTS, 3)
        scores = linear("weights", asking).reshape(HEADS, len(SIZES) * POINTS)
        d, h, w = ((i + 0.5) / size for i, size in zip(voxel, own, strict=True))
        answer = []
        for head in range(HEADS):
            shares = np.exp(scores[head]) / np.exp(scores[head]).sum()
            total = np.zeros(CHANNELS)
            for level, point in itertools.product(range(len(SIZES)), range(POINTS)):
                depth, height, width = SIZES[level]
                by_d, by_w, by_h = offsets[head, level, point]
                at_d, at_w, at_h = d + by_d / depth, w + by_w / width, h + by_h / height
                # The authors hand (d, w, h) to what reads (width, height, depth).
                place = (at_d, at_h, at_w) if sampling == "paper" else (at_h, at_w, at_d)
                total += shares[level * POINTS + point] * between(values[level][head], place)
            answer.append(total)
        out.append(linear("project", np.concatenate(answer)))
    return np.stack(out)


@pytest.mark.parametrize("sampling", ["code", "paper"])
@pytest.mark.parametrize("spread", [0.1, 1.0])  # with the second, many places are outside
def test_equals_a_loop(sampling: Sampling, spread: float) -> None:
    module = attention(sampling, spread)
    random = np.random.default_rng(0)
    tokens = random.normal(size=(2, sum(map(math.prod, SIZES)), HEADS * CHANNELS))
    position = random.normal(size=tokens.shape[1:])
    with torch.no_grad():
        found = module(torch.tensor(tokens), torch.tensor(position)[None], SIZES).numpy()
    expected = np.stack([by_loop(module, case, position, sampling) for case in tokens])
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_at_first_a_head_looks_one_two_voxels_into_its_direction() -> None:
    """Head 0 along depth, and others around the circle; the largest step of point p is p voxels."""
    module = DeformableAttention(12, 6, 2, 4, "paper")
    offsets = module.offsets.bias.detach().reshape(6, 2, 4, 3)
    assert not module.offsets.weight.any()
    torch.testing.assert_close(offsets[0, 1], torch.tensor([[p, 0.0, 0.0] for p in (1, 2, 3, 4)]))
    torch.testing.assert_close(offsets.abs().amax(3), torch.arange(1.0, 5).expand(6, 2, 4))
    tokens = torch.randn(1, 5 * 4 * 3 + 8, 12)
    unlike = torch.randn_like(tokens)
    sizes = ((5, 4, 3), (2, 2, 2))
    assert torch.equal(module(tokens, tokens[:1], sizes), module(tokens, unlike, sizes))


def test_around_its_own_voxel_or_another() -> None:
    """Without an offset a token sees itself with "paper"; with "code" that of the axes' other order."""
    size, found = (3, 3, 3), {}
    tokens = torch.randn(1, 27, 6)
    for sampling in ("code", "paper"):
        module = DeformableAttention(6, 1, 1, 1, sampling)  # type: ignore[arg-type]
        nn.init.zeros_(module.offsets.bias)
        for layer in (module.value, module.project):
            nn.init.eye_(layer.weight)
        with torch.no_grad():
            found[sampling] = module(tokens, torch.zeros(1, 27, 6), (size,)).reshape(3, 3, 3, 6)
    volume = tokens.reshape(3, 3, 3, 6)
    torch.testing.assert_close(found["paper"], volume)
    torch.testing.assert_close(found["code"], volume.permute(2, 0, 1, 3))  # [d, h, w] is volume[h, w, d]


def test_written_out_it_is_the_same_interpolation() -> None:
    """Inside, between the last voxel and the border, and far away; and so are its gradients."""
    torch.manual_seed(0)
    volume = torch.randn(4, 3, 5, 1, 2, dtype=torch.float64, requires_grad=True)
    places = (torch.rand(4, 200, 3, dtype=torch.float64) * 1.8 - 0.4).requires_grad_()
    pull = torch.randn(4, 3, 200, dtype=torch.float64)
    one, other = interpolated(volume, places), by_look_up(volume, places)
    torch.testing.assert_close(one, other)
    for a, b in zip(
        torch.autograd.grad((one * pull).sum(), (volume, places)),
        torch.autograd.grad((other * pull).sum(), (volume, places)),
        strict=True,
    ):
        torch.testing.assert_close(a, b)
    assert (one == 0).all(1).any()  # some are outside


def test_gradients_reach_places_weights_and_maps() -> None:
    torch.manual_seed(0)
    values = [torch.randn(1, 2, 2, *size, dtype=torch.float64, requires_grad=True) for size in SIZES]
    places = torch.rand(1, 3, 2, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(1, 3, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b, p, w: looked_up([a, b], p, w), (*values, places, weights))
