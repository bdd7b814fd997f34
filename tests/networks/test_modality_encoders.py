"""What any network for any subset of modalities promises, asked of each of them."""

from __future__ import annotations

import copy
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from distilseg.errors import UserError
from distilseg.functional.segmentation import dice_cross_entropy
from distilseg.inference.sliding_window import SlidingWindow
from distilseg.networks import NetworkSpec, build
from distilseg.networks.modality_encoders import any_subset

NAMES = ("u_hemis", "u_hved")
PATCHES = {2: (16, 16), 3: (16, 8, 16)}
M, K = 3, 4
SUBSETS = [kept for kept in product([False, True], repeat=M) if any(kept)]


def small(name: str, axes: int = 3, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    return build(NetworkSpec(name, M, K, PATCHES[axes], {"filters": [4, 6, 8], **options}))


def image(axes: int = 3, cases: int = 2, seed: int = 1) -> Tensor:
    return torch.randn(cases, M, *PATCHES[axes], generator=torch.Generator().manual_seed(seed))


def without(whole: Tensor, kept: tuple[bool, ...]) -> Tensor:
    """Channels that are not kept hold NaN."""
    return torch.where(torch.tensor(kept).reshape(1, M, *[1] * (whole.ndim - 2)), whole, torch.nan)


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_they_say_that_they_accept_any_subset() -> None:
    assert all(any_subset(small(name)) for name in NAMES)
    assert not any_subset(build(NetworkSpec("kd_net", M, K, PATCHES[3], {"filters": [4, 4, 4]})))


@pytest.mark.parametrize("kept", SUBSETS)
@pytest.mark.parametrize("axes", [2, 3])
def test_nothing_in_a_missing_channel_matters(name: str, axes: int, kept: tuple[bool, ...]) -> None:
    network = small(name, axes).eval()
    missing = without(image(axes), kept)
    littered = without(image(axes), kept)
    for channel in range(M):
        if not kept[channel]:  # one NaN is enough; beside it stands anything
            littered[:, channel] = 1e30
            littered[:, channel, 0, 0] = torch.nan
    with torch.no_grad():
        logits = network(missing)
        assert logits.isfinite().all()
        assert logits.shape == (2, K, *PATCHES[axes])
        assert torch.equal(network(littered), logits)


def test_every_modality_that_is_there_matters(name: str) -> None:
    network = small(name).eval()
    with torch.no_grad():
        of_subset = [network(without(image(), kept)) for kept in SUBSETS]
    for i, one in enumerate(of_subset):
        assert all((one - other).abs().max() > 1e-4 for other in of_subset[:i])


def test_each_case_lacks_what_it_lacks(name: str) -> None:
    """A batch of all subsets equals each case alone."""
    network = small(name).eval()
    batch = torch.cat([without(image(cases=1, seed=i), kept) for i, kept in enumerate(SUBSETS)])
    with torch.no_grad():
        torch.testing.assert_close(network(batch), torch.cat([network(case[None]) for case in batch]))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kept", SUBSETS)
def test_gradients_are_finite_and_none_goes_through_what_is_missing(
    name: str, kept: tuple[bool, ...], training: bool
) -> None:
    network = small(name, drop_modalities=False).train(training)
    encoders = network.get_submodule("encoders.of_modality").children()
    given = without(image(), kept).requires_grad_()
    loss = dice_cross_entropy(network(given), torch.randint(K, (2, 1, *PATCHES[3])))
    torch.autograd.backward(loss)
    assert given.grad is not None
    assert given.grad.isfinite().all()
    for channel, encoder in enumerate(encoders):
        gradients = [weight.grad for weight in encoder.parameters()]
        assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
        reached = any(gradient is not None and gradient.abs().max() > 0 for gradient in gradients)
        assert reached == kept[channel]
        assert (given.grad[:, channel].abs().max() > 0) == kept[channel]


def test_modalities_may_come_in_any_order_with_their_encoders(name: str) -> None:
    network, order = small(name).eval(), [2, 0, 1]
    other = copy.deepcopy(network)
    own = list(network.get_submodule("encoders.of_modality").children())
    other.set_submodule("encoders.of_modality", nn.ModuleList(own[m] for m in order))
    with torch.no_grad():
        for kept in SUBSETS:
            given = without(image(), kept)
            torch.testing.assert_close(other(given[:, order]), network(given), rtol=1e-4, atol=1e-5)
        # The encoders differ: with the wrong order the logits are others.
        assert (network(image()[:, order]) - network(image())).abs().max() > 1e-3


def test_a_case_without_any_modality_is_refused(name: str) -> None:
    given = image()
    given[1] = torch.nan
    for training in (False, True):
        with pytest.raises(UserError, match="case 1 of the batch has no modality: NaN in all its 3 channels"):
            small(name).train(training)(given)


def test_training_drops_modalities_by_the_global_seed_and_evaluation_none(name: str) -> None:
    network, given = small(name), image()

    def logits(seed: int) -> Tensor:
        torch.manual_seed(seed)
        with torch.no_grad():
            result: Tensor = network(given)
        return result

    network.train()
    assert torch.equal(logits(3), logits(3))
    assert any(not torch.equal(logits(3), logits(seed)) for seed in range(4, 8))
    network.eval()
    assert torch.equal(logits(3), logits(4))


def test_dropping_equals_missing() -> None:
    """The logits of a training pass are those of some subset; with the option off, of all. (HeMIS samples
    nothing beside the subset.)"""
    network, given = small("u_hemis"), image(cases=1)
    with torch.no_grad():
        of_subset = [network.eval()(without(given, kept)) for kept in SUBSETS]
        seen = set()
        for seed in range(40):
            torch.manual_seed(seed)
            logits = network.train()(given)
            (which,) = (i for i, other in enumerate(of_subset) if torch.allclose(logits, other, atol=1e-5))
            seen.add(which)
        assert len(seen) == len(SUBSETS)
        never = small("u_hemis", drop_modalities=False)
        torch.testing.assert_close(never.train()(given), never.eval()(given))


@pytest.mark.parametrize("size", [(40, 20, 30), (10, 8, 5)])
def test_a_sliding_window_keeps_a_missing_channel_missing(name: str, size: tuple[int, ...]) -> None:
    """Windows, padding of a small volume and mirroring: as if the network had no such modality at all."""
    network = small(name).eval()
    inferer = SlidingWindow(PATCHES[3], mirror=(0,), batch=3)
    volume = torch.randn(1, M, *size)
    missing, littered = volume.clone(), volume.clone()
    missing[:, 1], littered[:, 1] = torch.nan, -7.0

    def blind(patches: Tensor) -> Tensor:
        patches = patches.clone()
        patches[:, 1] = torch.nan
        result: Tensor = network(patches)
        return result

    with torch.no_grad():
        logits = inferer(missing, network)
        assert logits.isfinite().all()
        assert logits.shape == (1, K, *size)
        assert torch.equal(logits, inferer(littered, blind))


@pytest.mark.parametrize("kept", [(True, True, True), (False, True, False)])
def test_bfloat16(name: str, kept: tuple[bool, ...]) -> None:
    """Near the float32 logits, and gradients stay finite: autocast is what a GPU trains in."""
    network, given = small(name).eval(), without(image(), kept)
    whole = network(given)
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(given)
    assert (logits.float() - whole).square().mean().sqrt() < 0.05 * whole.std()
    torch.autograd.backward(logits.float().square().mean())
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


def test_odd_widths_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"{name}: 7 filters cannot be halved"):
        small(name, filters=[4, 7, 8])


def test_a_thin_axis_is_halved_less_often(name: str) -> None:
    strides = [[1, 1, 1], [2, 2, 1], [2, 2, 2]]
    network = build(NetworkSpec(name, 2, 2, (16, 16, 4), {"filters": [4, 4, 4], "strides": strides})).eval()
    assert network(torch.randn(1, 2, 16, 16, 4)).shape == (1, 2, 16, 16, 4)
