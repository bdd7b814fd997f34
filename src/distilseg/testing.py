"""Our contracts, importable: what holds for our own networks and methods can be asked of yours.

Each check raises AssertionError with the broken promise in words, and returns nothing.
"""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from .networks.build import NetworkSpec, build
from .networks.checkpoint import load_network, save_weights
from .networks.features import Tapped, feature_modules, feature_shapes


def check_network(spec: NetworkSpec, *, batch: int = 1) -> None:
    """A network keeps the contract of `networks.features` and can be rebuilt from its description.

    Builds it on the CPU and runs it a few times, so give a small configuration.
    """
    torch.manual_seed(0)
    network = build(spec).eval()
    image = torch.randn(batch, spec.in_channels, *spec.patch)
    with torch.no_grad():
        logits = network(image)
    assert logits.shape == (batch, spec.classes, *spec.patch), (
        f"logits have the shape {list(logits.shape)}, expected [B K *S]"
    )
    _check_taps(network, image, logits)
    _check_gradients(network, image)
    _check_rebuilding(network, spec, image, logits)


def _check_taps(network: nn.Module, image: Tensor, logits: Tensor) -> None:
    fresh: dict[str, Tensor] = {}
    table = feature_modules(network)
    with Tapped(network, ("*",)) as tapped, torch.no_grad():
        watchers = [
            network.get_submodule(point.module).register_forward_hook(
                lambda module, args, output, name=name, point=point: fresh.__setitem__(
                    name, point.to_map(output, image).clone()
                )
            )
            for name, point in table.items()
        ]
        outputs = tapped(image)
        for watcher in watchers:
            watcher.remove()
        twin = copy.deepcopy(tapped)
        for weight in twin.parameters():
            weight.zero_()
        again, of_twin = tapped(image), twin(image)

    assert torch.equal(outputs.logits, logits), "tapping changes the logits"
    for name, feature in outputs.features.items():
        assert torch.equal(feature, fresh[name]), f"{name} is changed in place after its module returned it"
        assert torch.equal(feature, again[name]), f"{name} is not the same in two passes"
        assert feature.shape == of_twin[name].shape, f"a deep copy does not keep {name}"
    assert not any(module._forward_hooks for module in network.modules()), "hooks stay behind"

    real = {name: tuple(feature.shape) for name, feature in outputs.features.items()}
    measured = feature_shapes(network, image.shape)
    assert real == measured, f"feature_shapes measures {measured}, the features are {real}"
    for name, shape in real.items():
        other = real.get(name.replace("encoder", "decoder"), shape)
        assert other[2:] == shape[2:], f"{name} has the size {shape[2:]}, its decoder level {other[2:]}"


def _check_gradients(network: nn.Module, image: Tensor) -> None:
    """A term over a feature must reach all that computed it, back to the image."""
    image = image.clone().requires_grad_()
    with Tapped(network, ("*",)) as tapped:
        outputs = tapped(image)
    for name, feature in outputs.features.items():
        # A random projection: the plain sum of a normalised map has no gradient.
        scalar = (feature * torch.randn_like(feature)).sum()
        (gradient,) = torch.autograd.grad(scalar, image, retain_graph=True, allow_unused=True)
        assert gradient is not None, f"{name} does not depend on the image"
        assert gradient.abs().max() > 0, f"no gradient flows from {name} to the image"


def _check_rebuilding(network: nn.Module, spec: NetworkSpec, image: Tensor, logits: Tensor) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        save_weights(path, network, spec, {"note": "kept"})
        rebuilt, spec_again, extra = load_network(path, trust=spec.name)
    assert spec_again.to_dict() == spec.to_dict(), "the description changed"
    assert extra == {"note": "kept"}, "what was kept beside the weights changed"
    with torch.no_grad():
        assert torch.equal(rebuilt(image), logits), "loaded again, the network computes another function"
