"""The features that a network offers, by name and shape, before it is shown anything."""

from __future__ import annotations

from torch import nn

from ..errors import UserError
from ..networks.build import NetworkSpec
from ..networks.features import feature_shapes


def shapes_of(network: nn.Module, spec: NetworkSpec) -> dict[str, tuple[int, ...]]:
    """[B C *s] by feature for the patch of `spec`; none of a network without a table of features, which
    serves methods that tap nothing. Raises UserError for options that do not fit the patch."""
    try:
        return feature_shapes(network, (1, spec.in_channels, *spec.patch))
    except UserError:
        return {}
    except RuntimeError as error:
        options = f"{dict(spec.options)} on a patch of {list(spec.patch)}"
        told = " ".join(str(error).split())
        raise UserError(f"{spec.name} fails with {options}: {told}", "change its options") from error
