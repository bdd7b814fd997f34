"""MISSU's objective against NumPy, and who learns from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from distilseg.distillation import MISSU
from distilseg.distillation.missu import channel_divergence
from distilseg.errors import UserError
from distilseg.functional.segmentation import dice_cross_entropy
from distilseg.networks import NetworkSpec, build, feature_shapes
from distilseg.networks.features import Tapped
from distilseg.testing import check_method
from distilseg.types import Batch, Outputs

Array = NDArray[np.float64]
# Channels and axes all differ, so that the wrong divisor shows.
SHAPES = {"encoder.0": (2, 5, 8, 6, 4), "encoder.1": (2, 7, 4, 3, 2), "bottleneck": (2, 9, 2, 1, 1)}
SHAPES |= {"decoder.1": SHAPES["encoder.1"], "decoder.0": SHAPES["encoder.0"]}
SMALL: dict[str, Any] = {"filters": [4, 8, 8, 8], "hidden": 16, "mlp": 24, "layers": 1, "heads": 4}


def inputs(*, double: bool = True) -> tuple[dict[str, Outputs], Batch]:
    rng = np.random.default_rng(0)
    dtype = torch.float64 if double else torch.float32

    def draw(*shape: int) -> torch.Tensor:
        return torch.tensor(2 * rng.normal(size=shape), dtype=dtype, requires_grad=True)

    features = {name: draw(*shape) for name, shape in SHAPES.items()}
    label = torch.tensor(rng.integers(0, 3, (2, 1, 8, 6, 4)))
    return {"student": Outputs(draw(2, 3, 8, 6, 4), features)}, Batch(draw(2, 1, 8, 6, 4), label)


def log_softmax(values: Array) -> Array:
    shifted = values - values.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def in_numpy(decoder: Array, encoder: Array) -> float:
    """Sum of the pointwise divergence, over cases x channels x the last two axes of space."""
    log_teacher, log_student = log_softmax(encoder), log_softmax(decoder)
    pointwise = np.exp(log_teacher) * (log_teacher - log_student)
    return float(pointwise.sum() / np.prod([*decoder.shape[:2], *decoder.shape[-2:]]))


@pytest.mark.parametrize("double", [True, False])
def test_the_terms_in_numpy(double: bool) -> None:
    outputs, batch = inputs(double=double)
    losses = MISSU(SHAPES)(outputs, batch)
    arrays = {name: value.detach().double().numpy() for name, value in outputs["student"].features.items()}
    expected = sum(in_numpy(arrays[f"decoder.{i}"], arrays[f"encoder.{i}"]) for i in range(2))
    assert losses.terms["self_distillation"].item() == pytest.approx(expected, rel=1e-12 if double else 1e-5)
    assert losses.terms["seg"] == dice_cross_entropy(outputs["student"].logits, batch.label)
    torch.testing.assert_close(losses.total, losses.terms["seg"] + losses.terms["self_distillation"])


def test_the_divisor_in_2d_counts_both_axes() -> None:
    rng = np.random.default_rng(1)
    decoder, encoder = rng.normal(size=(2, 3, 5, 4)), rng.normal(size=(2, 3, 5, 4))
    term = channel_divergence(torch.tensor(decoder), torch.tensor(encoder)).item()
    assert term == pytest.approx(in_numpy(decoder, encoder), rel=1e-12)
    volume = [torch.tensor(np.repeat(map_BCS[:, :, None], 6, 2)) for map_BCS in (decoder, encoder)]
    assert channel_divergence(*volume).item() == pytest.approx(6 * term, rel=1e-12)


def test_the_divisor_may_count_the_first_axes() -> None:
    outputs, _ = inputs()
    features = outputs["student"].features
    decoder, encoder = features["decoder.0"].detach(), features["encoder.0"].detach()
    pointwise = in_numpy(decoder.numpy(), encoder.numpy()) * 6 * 4  # of 8 x 6 x 4 voxels
    found = channel_divergence(decoder, encoder, "first").item()
    assert found == pytest.approx(pointwise / (8 * 6), rel=1e-12)
    with pytest.raises(UserError, match=r"unknown choice of counted axes 'middle'"):
        MISSU(SHAPES, counted_axes="middle")  # type: ignore[arg-type]


def test_a_decoder_that_equals_the_skip_has_nothing_to_learn() -> None:
    skip = torch.randn(2, 3, 4, 4, 4)
    assert channel_divergence(skip + 5, skip).item() == pytest.approx(0, abs=1e-6)


def test_the_decoder_learns_and_the_skip_does_not() -> None:
    outputs, batch = inputs()
    losses = MISSU(SHAPES, weights={"seg": 0})(outputs, batch)
    losses.total.backward()
    for name, feature in outputs["student"].features.items():
        assert (feature.grad is not None) == name.startswith("decoder"), name


def test_the_contract_of_methods() -> None:
    check_method(MISSU)
    check_method(MISSU, patch=(32, 32))


@pytest.mark.parametrize("off", ["seg", "self_distillation"])
def test_on_its_network_either_term_trains_the_fusion(off: str) -> None:
    """By way of the decoder, which is given the fused skips."""
    torch.manual_seed(0)
    network = build(NetworkSpec("missu", 1, 3, (16, 16), SMALL)).train()
    batch = Batch(torch.randn(2, 1, 16, 16), torch.randint(0, 3, (2, 1, 16, 16)))
    method = MISSU(feature_shapes(network, (2, 1, 16, 16)), weights={off: 0.0})
    with Tapped(network, method.roles["student"].taps) as tapped:
        method({"student": tapped(batch.image)}, batch).total.backward()
    gradients = [p.grad for p in network.get_submodule("fusion").parameters()]
    assert all(g is not None and g.abs().max() > 0 for g in gradients)


def test_terms_that_are_off_are_not_tapped() -> None:
    assert MISSU(SHAPES, weights={"self_distillation": 0}).roles["student"].taps == ()
    taps = {"encoder.0", "encoder.1", "decoder.0", "decoder.1"}
    assert set(MISSU(SHAPES).roles["student"].taps) == taps
    assert MISSU({}, weights={"self_distillation": 0}).pairs == ()


def test_networks_that_do_not_fit() -> None:
    with pytest.raises(UserError, match=r"needs a level with an encoder and a decoder feature, found \['enc"):
        MISSU({"encoder.0": (1, 4, 8, 8)})
    with pytest.raises(UserError, match=r"decoder.0 is \[6, 8, 8\] and its teacher encoder.0 \[4, 8, 8\]"):
        MISSU({"encoder.0": (1, 4, 8, 8), "decoder.0": (1, 6, 8, 8)})
