"""Taps: what they return, what they leave behind, what they say when a feature is not there."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from distilseg.errors import UserError
from distilseg.networks import NetworkSpec, build
from distilseg.networks.features import (
    FeaturePoint,
    Tapped,
    feature_modules,
    feature_shapes,
    meta_twin,
    select,
)
from distilseg.networks.scaled_vnet import ScaledVNet


def small(name: str = "dynunet", patch: tuple[int, ...] = (16, 16), **options: object) -> nn.Module:
    torch.manual_seed(0)
    options = {"filters": [4, 8, 8]} | options if name in ("dynunet", "unet", "attention_unet") else options
    return build(NetworkSpec(name, 1, 3, patch, options)).eval()


class TwoConvolutions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.second(self.first(image))
        return logits


def test_a_feature_is_what_its_module_returned() -> None:
    network, image = small(), torch.randn(2, 1, 16, 16)
    expected: list[Tensor] = []
    network.bottleneck.register_forward_hook(lambda module, args, output: expected.append(output))
    with Tapped(network, ["bottleneck"]) as tapped:
        assert torch.equal(tapped(image)["bottleneck"], expected[0])


def test_without_taps_there_are_only_logits_and_no_table_is_needed() -> None:
    network, image = TwoConvolutions(), torch.randn(1, 1, 8, 8)
    outputs = Tapped(network)(image)
    assert torch.equal(outputs.logits, network(image))
    assert not outputs.features


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        (["encoder.*"], ["encoder.0", "encoder.1"]),
        (["decoder.0", "bottleneck"], ["decoder.0", "bottleneck"]),
        (["*.0", "encoder.*"], ["encoder.0", "decoder.0", "encoder.1"]),
        (["*"], ["encoder.0", "encoder.1", "bottleneck", "decoder.1", "decoder.0"]),
    ],
)
def test_patterns(patterns: list[str], chosen: list[str]) -> None:
    assert select(feature_modules(small()), patterns) == chosen


def test_an_unknown_feature_is_answered_with_those_on_offer() -> None:
    with pytest.raises(UserError, match=r"no feature matches 'encoder.9'; this network offers encoder.0, "):
        Tapped(small(), ["encoder.9"])


def test_a_network_without_a_table_says_how_to_declare_one() -> None:
    with pytest.raises(UserError, match=r"Linear has no table .*`@feature_modules.register\(Linear\)"):
        feature_modules(nn.Linear(1, 1))


def test_a_table_is_one_function() -> None:
    class Mine(TwoConvolutions):
        pass

    @feature_modules.register(Mine)
    def _(network: Mine) -> dict[str, FeaturePoint]:
        return {
            "encoder.0": FeaturePoint("first"),
            "norm": FeaturePoint("first", lambda out, image: out - image),
        }

    network, image = Mine(), torch.randn(1, 1, 8, 8)
    with Tapped(network, ["*"]) as tapped:
        outputs = tapped(image)
    assert torch.equal(outputs["norm"], network.first(image) - image)
    assert feature_shapes(network, image.shape) == {"encoder.0": (1, 4, 8, 8), "norm": (1, 4, 8, 8)}


def test_hooks_are_gone_after_the_block_even_when_it_fails() -> None:
    network = small()
    with pytest.raises(RuntimeError), Tapped(network, ["*"]) as tapped:
        tapped(torch.randn(1, 2, 16, 16))
    assert not any(module._forward_hooks for module in network.modules())


def test_two_wrappers_do_not_mix() -> None:
    network, image = small(), torch.randn(1, 1, 16, 16)
    one, two = Tapped(network, ["encoder.*"]), Tapped(network, ["bottleneck"])
    assert set(one(image).features) == {"encoder.0", "encoder.1"}
    assert set(two(image).features) == {"bottleneck"}
    one.close()
    assert set(two(image).features) == {"bottleneck"}
    two.close()


def test_a_deep_copy_taps_itself() -> None:
    original, image = Tapped(small(), ["bottleneck"]), torch.randn(1, 1, 16, 16)
    twin = copy.deepcopy(original)
    with torch.no_grad():
        for weight in twin.parameters():
            weight.zero_()
        before, of_twin, after = original(image), twin(image), original(image)
    assert torch.equal(before["bottleneck"], after["bottleneck"])
    assert before["bottleneck"].abs().max() > 0
    assert of_twin["bottleneck"].abs().max() == 0
    twin.close()
    assert original(image)["bottleneck"].shape == before["bottleneck"].shape
    assert not any(module._forward_hooks for module in twin.modules())


def test_compiled_gives_the_same() -> None:
    tapped, image = Tapped(small(), ["bottleneck", "decoder.0"]), torch.randn(1, 1, 16, 16)
    with torch.no_grad():
        eager = tapped(image)
        compiled = torch.compile(tapped, backend="eager", fullgraph=True)
        for _ in range(2):
            outputs = compiled(image)
            torch.testing.assert_close(outputs.logits, eager.logits)
            for name in ("bottleneck", "decoder.0"):
                torch.testing.assert_close(outputs[name], eager[name])
    torch.compiler.reset()


def test_a_term_over_a_feature_trains_the_compiled_network() -> None:
    tapped = Tapped(small().train(), ["encoder.1"])
    compiled = torch.compile(tapped, backend="eager")
    compiled(torch.randn(1, 1, 16, 16))["encoder.1"].square().sum().backward()
    gradients = {name: weight.grad for name, weight in tapped.network.named_parameters()}
    assert gradients["input_block.conv1.conv.weight"].abs().max() > 0
    assert gradients["bottleneck.conv1.conv.weight"] is None
    torch.compiler.reset()


def test_shapes_need_no_memory_and_leave_the_network_alone() -> None:
    network = small("vnet", (32, 32))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    shapes = feature_shapes(network.train(), (1, 1, 32, 32), ["encoder.*"])
    assert shapes == {f"encoder.{i}": (1, 16 << i, 32 >> i, 32 >> i) for i in range(4)}
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())


def test_a_meta_twin_keeps_what_is_shared() -> None:
    network = small()  # DynUNet holds each block under two names
    twin = meta_twin(network)
    assert all(tensor.is_meta for tensor in twin.state_dict().values())
    assert [name for name, _ in twin.named_parameters()] == [name for name, _ in network.named_parameters()]


LEVELS = {  # name: (coarsest stride, channels of encoder, bottleneck, decoder by level)
    "dynunet": (16, {0: 16, 1: 32, 2: 64, 3: 128}, 256, {3: 128, 2: 64, 1: 32, 0: 16}),
    "vnet": (16, {0: 16, 1: 32, 2: 64, 3: 128}, 256, {3: 256, 2: 128, 1: 64, 0: 32}),
    "unetr": (16, {0: 16, 1: 32, 2: 64, 3: 128}, 768, {3: 128, 2: 64, 1: 32, 0: 16}),
    "swin_unetr": (32, {0: 12, 1: 12, 2: 24, 3: 48}, 192, {4: 96, 3: 48, 2: 24, 1: 12, 0: 12}),
}


def test_a_scaled_vnet_is_monais_of_other_channels() -> None:
    """Of the same width it has the same stages and answers; of half of it half as many channels at each."""
    patch = (32, 48, 32)
    theirs = build(NetworkSpec("vnet", 2, 3, patch)).eval()
    ours = ScaledVNet(3, 2, 3, width=16, dropout=0.5).eval()
    ours.load_state_dict(theirs.state_dict())
    image = torch.randn(1, 2, *patch)
    torch.testing.assert_close(ours(image), theirs(image))
    assert str(ours) == str(theirs).replace("VNet(", "ScaledVNet(", 1)  # dropout too
    flat = ScaledVNet(2, 2, 3, width=8, dropout=0.5)
    assert {type(one) for one in flat.modules() if "Dropout" in type(one).__name__} == {nn.Dropout2d}
    half = feature_shapes(build(NetworkSpec("vnet", 2, 3, patch, {"width": 8})), (1, 2, *patch))
    whole = feature_shapes(theirs, (1, 2, *patch))
    assert {name: (n, 2 * channels, *size) for name, (n, channels, *size) in half.items()} == whole


@pytest.mark.parametrize("name", LEVELS)
def test_channels_and_strides_of_the_papers_networks(name: str) -> None:
    """The table of taps in the specification of dual self-distillation, section 1."""
    coarsest, encoder, bottleneck, decoder = LEVELS[name]
    shapes = feature_shapes(
        small(name, (64, 64), **({"filters": [16, 32, 64, 128, 256]} if name == "dynunet" else {})),
        (1, 1, 64, 64),
    )
    expected = {f"encoder.{i}": (1, c, 64 >> i, 64 >> i) for i, c in encoder.items()}
    expected["bottleneck"] = (1, bottleneck, 64 // coarsest, 64 // coarsest)
    expected |= {f"decoder.{i}": (1, c, 64 >> i, 64 >> i) for i, c in decoder.items()}
    assert shapes == expected


def test_tokens_become_a_map_with_every_token_in_its_place() -> None:
    network = small("unetr", (32, 16, 48), feature_size=4, hidden=8, heads=2, mlp=8)
    image = torch.randn(1, 1, 32, 16, 48)
    with torch.no_grad(), Tapped(network, ["bottleneck"]) as tapped:
        feature = tapped(image)["bottleneck"]
        tokens, _ = network.vit(image)
        assert torch.equal(feature, network.proj_feat(tokens))
    assert feature.shape == (1, 8, 2, 1, 3)


def test_unet_without_residual_units_offers_no_finest_decoder() -> None:
    assert "decoder.0" in feature_modules(small("unet"))
    assert "decoder.0" not in feature_modules(small("unet", residual_units=0))
