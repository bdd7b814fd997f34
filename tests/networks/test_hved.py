"""U-HVED: the counts of its publication, and Gaussians that are clipped, multiplied, sampled and decoded."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from distilseg.networks import NetworkSpec, build, multiply_accumulates
from distilseg.networks.features import Tapped, feature_shapes
from distilseg.networks.hved import UHVED, GaussianSample, ProductOfGaussians

SMALL = {"filters": [4, 6, 8]}


def weights(part: nn.Module) -> int:
    """Of convolutions, without their biases and without norms."""
    return sum(m.weight.numel() for m in part.modules() if isinstance(m, nn.Conv2d | nn.Conv3d))


def test_convolution_weights() -> None:
    """`architectures.md`, 2.12: encoders 4 x 221,192, decoders 5 x 72,576 and heads of 4 -> 1 or 4."""
    with torch.device("meta"):
        network = build(NetworkSpec("u_hved", 4, 4, (112,) * 3))
    assert isinstance(network, UHVED)
    assert [weights(one) for one in network.encoders.of_modality] == [221_192] * 4
    decoders = [network.decoder, *network.image_decoders]
    assert [weights(one.blocks) for one in decoders] == [72_576] * 5
    assert [weights(one.head) for one in decoders] == [16, 4, 4, 4, 4]
    assert weights(network) == 4 * 221_192 + 5 * 72_576 + 16 + 4 * 4


@pytest.mark.parametrize("axes", [2, 3])
def test_features(axes: int) -> None:
    patch = (16, 16, 8)[:axes]
    network = build(NetworkSpec("u_hved", 3, 5, patch, SMALL))
    shapes = feature_shapes(network, (2, 3, *patch))
    coarser = [tuple(size >> level for size in patch) for level in range(3)]
    assert shapes["reconstruction"] == (2, 3, *patch)
    assert [shapes[f"posterior.{i}"] for i in range(3)] == [(2, (4, 6, 8)[i], *coarser[i]) for i in range(3)]
    latents = [shapes[name] for name in ("encoder.0", "encoder.1", "bottleneck")]
    assert latents == [(2, (2, 3, 4)[i], *coarser[i]) for i in range(3)]


def test_the_product_is_of_clipped_gaussians_that_are_there() -> None:
    # Two modalities of one voxel: (mean, log σ²) = (3, 0) and (1, −100); the second is clipped to −50.
    gaussians = torch.tensor([[3.0, 0.0], [1.0, -100.0]]).reshape(1, 2, 2, 1, 1)
    both = ProductOfGaussians()(gaussians, torch.tensor([[True, True]])).flatten()
    torch.testing.assert_close(both, torch.tensor([1.0, -50.0]))
    first = ProductOfGaussians()(gaussians, torch.tensor([[True, False]])).flatten()
    torch.testing.assert_close(first, torch.tensor([1.5, -torch.tensor(2.0).log().item()]))


def test_training_samples_and_evaluation_takes_the_mean() -> None:
    mean, log_variance = torch.full((1, 1, 200, 200), 2.0), torch.full((1, 1, 200, 200), 4.0).log()
    gaussian, sample = torch.cat([mean, log_variance], 1), GaussianSample()
    assert torch.equal(sample.eval()(gaussian), mean)
    torch.manual_seed(0)
    drawn = sample.train()(gaussian)
    assert drawn.mean().item() == pytest.approx(2.0, abs=0.05)  # five standard errors of 40,000 draws
    assert drawn.var().item() == pytest.approx(4.0, abs=0.15)
    torch.manual_seed(0)
    assert torch.equal(sample(gaussian), drawn)


def test_latents_in_training_have_noise_beside_the_subset() -> None:
    network = build(NetworkSpec("u_hved", 2, 2, (16, 16), SMALL | {"drop_modalities": False})).train()
    image = torch.randn(1, 2, 16, 16)
    with Tapped(network, ("encoder.*", "posterior.*")) as tapped, torch.no_grad():
        a, b = tapped(image), tapped(image)
    assert torch.equal(a["posterior.0"], b["posterior.0"])
    assert not torch.equal(a["encoder.0"], b["encoder.0"])


def test_missing_modalities_are_reconstructed_too() -> None:
    """From the others, whatever stands in their channels."""
    network = build(NetworkSpec("u_hved", 3, 2, (16, 16), SMALL)).eval()
    image = torch.randn(2, 3, 16, 16)
    image[:, 1] = torch.nan
    with Tapped(network, ("reconstruction",)) as tapped, torch.no_grad():
        images = tapped(image)["reconstruction"]
    assert images.shape == image.shape
    assert images.isfinite().all()


def test_images_are_decoded_only_where_they_are_tapped() -> None:
    network = build(NetworkSpec("u_hved", 3, 2, (16, 16), SMALL)).eval()
    assert isinstance(network, UHVED)
    calls: list[int] = []
    for decoder in network.image_decoders:
        decoder.register_forward_hook(lambda *_: calls.append(1))
    image = torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        logits = network(image)
        assert not calls
        with Tapped(network, ("reconstruction",)) as tapped:
            assert torch.equal(tapped(image).logits, logits)
    assert len(calls) == 3
    cost = multiply_accumulates(network, image.shape)
    del network.image_decoders
    assert multiply_accumulates(network, image.shape) == cost
