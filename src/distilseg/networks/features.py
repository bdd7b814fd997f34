"""One vocabulary for the inside of any U-shaped network.

    encoder.0 ... encoder.n,  bottleneck,  decoder.n ... decoder.0

The number is the resolution level, 0 the finest, so `encoder.i` and `decoder.i` have the same spatial size.
Names are declared, numbers are measured: a table, one `feature_modules` function per network class, says
which module computes each feature, and a pass on the meta device says how large it is (`feature_shapes`).
`Tapped` wraps a network and never changes it.

Limits, which `distilseg.testing.check_network` looks for: a module called twice in one pass keeps its last
output; an operation that is no module cannot be tapped (give it an `nn.Identity`); an operation that works in
place on a tapped tensor would change the feature. Tap first and compile second: `torch.compile(Tapped(...))`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from functools import partial, singledispatch
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..types import Outputs


def as_is(output: Any, image: Tensor) -> Tensor:
    """The module's output is the feature map already."""
    feature: Tensor = output
    return feature


class FeaturePoint(NamedTuple):
    """Where a feature is computed, and how the module's output becomes a map [B C *s]."""

    module: str  # dotted path inside the network
    to_map: Callable[[Any, Tensor], Tensor] = as_is  # (output, image [B M *S]) -> [B C *s]


def u_shaped(
    levels: int,
    *,
    encoder: str = "encoder",
    bottleneck: str = "bottleneck",
    decoder: str = "decoder",
    finest: int = 0,
) -> dict[str, FeaturePoint]:
    """The table of a network whose `encoder` and `decoder` are lists of modules, from level `finest` on."""
    numbered = [(finest + i, i) for i in range(levels)]
    return {
        **{f"encoder.{level}": FeaturePoint(f"{encoder}.{i}") for level, i in numbered},
        "bottleneck": FeaturePoint(bottleneck),
        **{f"decoder.{level}": FeaturePoint(f"{decoder}.{i}") for level, i in reversed(numbered)},
    }


@singledispatch
def feature_modules(network: nn.Module) -> dict[str, FeaturePoint]:
    """Where `network` computes each named feature.

    One function per class, `@feature_modules.register(Class)`; a network without a table raises UserError.
    """
    # Imported here: the table registers itself above, and loads a library that few networks need.
    from .tables import monai as _  # noqa: F401

    table = feature_modules.dispatch(type(network))
    if table is not _no_table:
        return table(network)
    name = type(network).__name__
    raise UserError(
        f"{name} has no table of its features, so nothing in it can be tapped",
        f"declare one: `@feature_modules.register({name})` above a function that returns"
        ' {"encoder.0": FeaturePoint("path.of.module"), ...}',
    )


_no_table = feature_modules.dispatch(object)


def select(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """The names that match any of the shell-style patterns; a pattern without a match raises UserError."""
    offered = list(names)
    chosen: dict[str, None] = {}
    for pattern in patterns:
        hits = [name for name in offered if fnmatchcase(name, pattern)]
        if not hits:
            raise UserError(f"no feature matches {pattern!r}", f"this network offers {', '.join(offered)}")
        chosen.update(dict.fromkeys(hits))
    return list(chosen)


class Tapped(nn.Module):
    """Wraps `network` so that a call returns its logits together with the tapped features.

    `taps` are names or patterns ("encoder.*"). The logits are those of the bare network, bit for bit. Used as
    a context manager, the hooks are gone when the block ends; `close` removes them too.
    """

    def __init__(self, network: nn.Module, taps: Iterable[str] = ()) -> None:
        super().__init__()
        self.network = network
        taps = tuple(taps)
        table = feature_modules(network) if taps else {}
        self.points = {name: table[name] for name in select(table, taps)}
        self._seen: dict[str, Any] = {}
        # A partial over the dictionary, no closure: a deep copy of this module then fills its own dictionary.
        self._handles = [
            network.get_submodule(point.module).register_forward_hook(partial(_keep, self._seen, name))
            for name, point in self.points.items()
        ]

    def forward(self, image: Tensor) -> Outputs:
        """Image [B M *S] -> logits [B K *S] and features [B C *s]."""
        self._seen.clear()
        logits = self.network(image)
        features = {name: point.to_map(self._seen[name], image) for name, point in self.points.items()}
        self._seen.clear()
        return Outputs(logits, features)

    def close(self) -> None:
        """Removes the hooks; the network is as it was before it was wrapped."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _keep(seen: dict[str, Any], name: str, module: nn.Module, args: Any, output: Any) -> None:
    seen[name] = output


def meta_twin(network: nn.Module) -> nn.Module:
    """A copy of `network` on the meta device: same modules, shapes only, no memory for weights."""
    tensors = [*network.parameters(), *network.buffers()]
    return copy.deepcopy(network, {id(tensor): _meta(tensor) for tensor in tensors})


def _meta(tensor: Tensor) -> Tensor:
    shape = tensor.detach().to("meta")
    return nn.Parameter(shape, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else shape


def feature_shapes(
    network: nn.Module, image_shape: Sequence[int], taps: Iterable[str] = ("*",)
) -> dict[str, tuple[int, ...]]:
    """`[B C *s]` of every matching feature for an image `[B M *S]`, measured by a pass on the meta device."""
    with torch.no_grad(), Tapped(meta_twin(network), taps).eval() as twin:
        outputs = twin(torch.empty(tuple(image_shape), device="meta"))
    return {name: tuple(feature.shape) for name, feature in outputs.features.items()}
