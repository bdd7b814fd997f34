"""Our contracts, importable: what holds for our own networks and methods can be asked of yours.

Each check raises AssertionError with the broken promise in words, and returns nothing.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import runpy
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from .distillation.method import Method
from .errors import UserError, unknown
from .inference.inferer import Inferer
from .networks.build import NetworkSpec, build
from .networks.checkpoint import load_network, save_weights
from .networks.features import Tapped, feature_modules, feature_shapes
from .types import Batch, Outputs


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
        mapped, _, _ = load_network(path, trust=spec.name, mapped=True)
    assert spec_again.to_dict() == spec.to_dict(), "the description changed"
    assert extra == {"note": "kept"}, "what was kept beside the weights changed"
    with torch.no_grad():
        assert torch.equal(rebuilt(image), logits), "loaded again, the network computes another function"
        assert torch.equal(mapped(image), logits), (
            "mapped from its file, the network computes another function"
        )


def check_inferer(inferer: Inferer, *, dims: int = 3) -> None:
    """An inferer puts back together what it cut: identity in, the volume out; constant in, constant out.

    `dims`: axes of space that it takes. Volumes of many shapes, smaller than any patch included.
    """
    generator = torch.Generator().manual_seed(0)
    for shape in ((1, 1, 1), (5, 3, 4), (8, 10, 6), (9, 10, 7), (23, 16, 30), (40, 17, 12)):
        for cases, modalities in ((1, 1), (2, 3)):
            image = torch.randn(cases, modalities, *shape[:dims], generator=generator)
            before = image.clone()
            same = inferer(image, lambda patch: patch)
            assert same.shape == image.shape, f"{list(image.shape)} became {list(same.shape)}"
            assert same.dtype == torch.float32, f"logits are {same.dtype}, expected float32"
            assert torch.allclose(same, image, atol=1e-5), f"the identity changes {list(image.shape)}"
            assert torch.equal(image, before), "the image is changed in place"
            flat = inferer(image, lambda patch: torch.full((len(patch), 4, *patch.shape[2:]), 3.0))
            assert flat.shape == (cases, 4, *shape[:dims]), f"4 classes became {list(flat.shape)}"
            assert torch.allclose(flat, torch.tensor(3.0)), f"a constant is not kept on {list(image.shape)}"


def check_method(
    make: Callable[..., Method] | str | Path, *, classes: int = 3, patch: tuple[int, ...] = (16, 16, 16)
) -> None:
    """A method keeps the contract of `distillation.method`: finite scalar terms, honest weights, it learns.

    `make` is a Method class or a function that returns a method, or names one in a file:
    "my_method.py:MyMethod", or "my_method.py" where the file defines one class. It is called with those of
    `feature_shapes` (the student's, [B C *s] by name), `classes`, `patch` and `weights` that it has as
    parameters. Trains tiny networks on the CPU for a few steps; every role gets one.
    """
    make = _method_in_file(make) if isinstance(make, str | Path) else make
    torch.manual_seed(0)
    image = torch.randn(2, 2, *patch)
    batch = Batch(
        image, (image[:, :1] > 0.5).to(torch.uint8) + (image[:, :1] > 1).to(torch.uint8) * (classes > 2)
    )
    made = partial(_made, make, feature_shapes=_tiny_shapes(classes, patch), classes=classes, patch=patch)
    method = made()
    assert "student" in method.roles, f"a method has the role 'student', this one has {sorted(method.roles)}"
    networks = {
        name: _tiny(role.input(batch).shape[1], classes, patch) for name, role in method.roles.items()
    }
    outputs = _outputs(method, networks, batch)

    _check_terms(method, outputs, batch)
    if "weights" in inspect.signature(make).parameters:
        _check_weights(method, made, outputs, batch)
    _check_learning(method, networks, batch)
    _check_broken_input(method, networks, batch)


def _method_in_file(source: str | Path) -> Callable[..., Method]:
    path, _, name = str(source).partition(":")
    if not Path(path).is_file():
        raise UserError(f"there is no file {path}", "give my_method.py or my_method.py:MyMethod")
    content = runpy.run_path(path, run_name="checked_method")
    found: dict[str, Callable[..., Method]] = {
        key: value
        for key, value in content.items()
        if isinstance(value, type) and issubclass(value, Method) and value.__module__ == "checked_method"
    }
    if name and not callable(content.get(name)):
        raise unknown(f"method in {path}", name, found)
    if not name and len(found) != 1:
        raise UserError(f"{path} defines {len(found)} methods {sorted(found)}", f"name one: {path}:NAME")
    return content[name] if name else next(iter(found.values()))


def _made(make: Callable[..., Method], **offered: object) -> Method:
    parameters = inspect.signature(make).parameters
    return make(**{name: value for name, value in offered.items() if name in parameters})


def _tiny(modalities: int, classes: int, patch: tuple[int, ...]) -> nn.Module:
    return build(NetworkSpec("dynunet", modalities, classes, patch, {"filters": [4, 6, 8, 10, 12]}))


def _tiny_shapes(classes: int, patch: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return feature_shapes(_tiny(1, classes, patch), (2, 1, *patch))


def _outputs(method: Method, networks: Mapping[str, nn.Module], batch: Batch) -> dict[str, Outputs]:
    outputs = {}
    for name, role in method.roles.items():
        learns = role.trained or name == "student"
        with Tapped(networks[name], role.taps) as tapped, torch.set_grad_enabled(learns):
            outputs[name] = tapped(role.input(batch))
    return outputs


def _check_terms(method: Method, outputs: Mapping[str, Outputs], batch: Batch) -> None:
    losses = method(outputs, batch)
    for name, term in losses.terms.items():
        assert term.shape == (), f"the term {name!r} has the shape {list(term.shape)}, a term is a scalar"
        assert term.isfinite(), f"the term {name!r} is {term.item()} on ordinary input"
        assert term.dtype == torch.float32, f"the term {name!r} is {term.dtype}, expected float32"
    assert torch.equal(losses.total, method(outputs, batch).total), "the same outputs give another loss"


def _check_weights(
    method: Method, made: Callable[..., Method], outputs: Mapping[str, Outputs], batch: Batch
) -> None:
    """Any term can be switched off, and an unknown name is refused."""
    used = [name for name in method.weights if method.uses(name)]
    for name in used if len(used) > 1 else []:
        without = made(weights={name: 0.0})
        without.load_state_dict(method.state_dict(), strict=False)
        losses = without(outputs, batch)
        assert losses.total.isfinite(), f"without {name!r} the loss is {losses.total.item()}"
        for kept in losses.terms.keys() - {name}:
            torch.testing.assert_close(losses.terms[kept], method(outputs, batch).terms[kept])
    refused = ""
    try:
        made(weights={"no such term": 1.0})
    except ValueError as error:
        refused = str(error)
    assert refused, "a weight for a term that does not exist is accepted"
    assert "no such term" in refused, f"the error does not name the unknown term: {refused}"


def _check_learning(method: Method, networks: Mapping[str, nn.Module], batch: Batch) -> None:
    """A few steps make the loss smaller, reach every parameter, and leave frozen teachers as they were."""
    learning = [name for name, role in method.roles.items() if role.trained or name == "student"]
    learned = [p for p in method.parameters() if p.requires_grad]
    parameters = [*learned, *(p for name in learning for p in networks[name].parameters())]
    before = {name: copy.deepcopy(network.state_dict()) for name, network in networks.items()}
    optimizer = torch.optim.Adam(parameters, lr=3e-3)
    totals = []
    for _ in range(8):
        optimizer.zero_grad()
        total = method(_outputs(method, networks, batch), batch).total
        total.backward()
        waiting = [name for name, p in method.named_parameters() if p.requires_grad and p.grad is None]
        assert not waiting, f"no gradient reaches the method's parameters {waiting}; freeze or drop them"
        assert all(p.grad is None or p.grad.isfinite().all() for p in parameters), "a gradient is not finite"
        optimizer.step()
        totals.append(total.item())
    assert totals[-1] < totals[0], f"the loss did not fall in {len(totals)} steps: {totals}"
    for name, network in networks.items():
        now = network.state_dict()
        changed = any(not torch.equal(value, before[name][key]) for key, value in now.items())
        assert changed or name not in learning, f"the network {name!r} did not learn"
        assert not changed or name in learning, f"the network {name!r} is frozen, yet it changed"


def _check_broken_input(method: Method, networks: Mapping[str, nn.Module], batch: Batch) -> None:
    """A voxel that is no number must show in the loss, not vanish in it."""
    broken = dataclasses.replace(batch, image=torch.full_like(batch.image, torch.nan))
    with torch.no_grad():
        total = method(_outputs(method, networks, broken), broken).total
    assert not total.isfinite(), f"an image of NaN gives the loss {total.item()}"
