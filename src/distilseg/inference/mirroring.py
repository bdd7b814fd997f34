"""A network's answer averaged over mirrored images: flipped, shown, and flipped back.

mean over all subsets A of the axes, the empty one included, of flip_A(network(flip_A(x)))

Of many classes only the sum is held while the network looks again, and one class of it is mirrored at a time.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import Tensor

from .inferer import Network, logits_of


def mean_over_flips(patches: Tensor, network: Network, axes: Sequence[int]) -> Tensor:
    """Patches [N M *P] -> logits [N K *P]; `axes` are axes of space, from 0."""
    flips = [
        [2 + axis for axis in chosen]
        for n in range(len(axes) + 1)
        for chosen in itertools.combinations(axes, n)
    ]
    total: Tensor | None = None
    for flip in flips:
        logits = logits_of(network(patches.flip(flip) if flip else patches))
        if logits.shape[2:] != patches.shape[2:] or len(logits) != len(patches):
            raise ValueError(
                f"the network answered patches {list(patches.shape)} with logits {list(logits.shape)};"
                " the sizes in space must agree"
            )
        if len(flips) == 1:
            return logits
        if total is None:
            total = logits.clone()
        else:
            for k in range(logits.shape[1]):
                total[:, k] += logits[:, k].flip([axis - 1 for axis in flip])
        del logits
    assert total is not None
    return total.div_(len(flips))
