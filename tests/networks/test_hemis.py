"""U-HeMIS: mean and variance over modalities by hand, and the counts of its definition."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from distilseg.networks import NetworkSpec, build
from distilseg.networks.hemis import MeanAndVariance, UHeMIS


def test_mean_and_variance_by_hand() -> None:
    maps = torch.tensor([[1.0, 3.0, 8.0], [1.0, 3.0, 8.0], [1.0, 3.0, torch.nan]]).reshape(3, 3, 1, 1)
    present = torch.tensor([[True, True, True], [False, True, False], [True, True, False]])
    fused = MeanAndVariance()(maps, present)
    # population variance: (9 + 1 + 16) / 3; none of one; (1 + 1) / 2
    expected = [[4.0, 26 / 3], [3.0, 0.0], [2.0, 1.0]]
    torch.testing.assert_close(fused.reshape(3, 2), torch.tensor(expected))


def test_mean_and_variance_equal_torch_where_nothing_is_missing() -> None:
    maps = torch.randn(2, 4, 5, 3, 4, 2, dtype=torch.float64)
    fused = MeanAndVariance()(maps, torch.ones(2, 4, dtype=torch.bool))
    torch.testing.assert_close(fused, torch.cat([maps.mean(1), maps.var(1, correction=0)], 1))


@pytest.mark.parametrize("patch", [(32,) * 3, (32,) * 2])
def test_convolution_weights(patch: tuple[int, ...]) -> None:
    """Per level two convolutions, w -> w -> w/2 from the level above; in the decoder 2w -> w -> w/2."""
    network = build(NetworkSpec("u_hemis", 4, 3, patch))
    k = 3 ** len(patch)
    encoder = 8 + k * sum(before * w + w * w // 2 for before, w in ((8, 8), (4, 16), (8, 32), (16, 64)))
    decoder = k * sum(a * w + w * w // 2 for a, w in ((64 + 32, 32), (16 + 16, 16), (8 + 8, 8))) + 4 * 3

    def weights(part: nn.Module) -> int:
        return sum(m.weight.numel() for m in part.modules() if isinstance(m, nn.Conv2d | nn.Conv3d))

    assert isinstance(network, UHeMIS)
    assert [weights(one) for one in network.encoders.of_modality] == [encoder] * 4
    assert weights(network.decoder) == decoder
    if len(patch) == 3:
        assert (encoder, decoder) == (111_464, 118_368 + 12)
