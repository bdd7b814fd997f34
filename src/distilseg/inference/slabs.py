"""Slab by slab: a network of k slices at once slides across them, and every slice is the mean of its windows.

    p(x) = 1 / n(z) · Σ_d p_d(x)           d over the windows that cover the slice z of x, n(z) of them

Windows of k slices start at every `stride` slices, the last one ends with the volume: with stride 1 a slice
is in 1, 2, …, k, …, k, …, 2, 1 of them (Thickened 2D Networks; Yu et al., section "testing"). In their plane
slices are seen whole, whatever the patch was: padded behind both axes to multiples of `divisor` by repeating
their edges, and cut back. A volume of fewer than k slices has its last one repeated.

Averaged are probabilities, as in the paper, and what comes back are the logits of the mean (`averaging`).
`average="logits"` takes the mean of the logits instead. A running sum is kept, of one volume of K maps; what
the network answers is added to it and let go.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ..functional.window_options import SlabsOptions
from ..functional.windows import covering, step_starts
from .averaging import logits_of_mean, to_average
from .inferer import Network, logits_of


class Slabs(SlabsOptions):
    """(image [B M I J K], network of [B M *slab]) -> logits [B K I J K], float32.

    The network is shown slabs of k = patch[axis] voxels along `axis`, their axes those of the volume, and
    answers with logits of the same size. With k = 1 it is a 2D network and is shown images.
    """

    def __call__(self, image: Tensor, network: Network) -> Tensor:
        if image.ndim != 5:
            raise ValueError(f"slabs are cut from an image [B M I J K], this one is {list(image.shape)}")
        across, slices = 2 + self.axis, image.shape[2 + self.axis]
        starts = step_starts(slices, self.thickness, self.stride)
        places = [(case, start) for case in range(len(image)) for start in starts]
        total: Tensor | None = None
        for first in range(0, len(places), self.batch):
            here = places[first : first + self.batch]
            answers = self._answers(image, here, network)
            if total is None:
                size = (len(image), *answers.shape[1:across], slices, *answers.shape[across + 1 :])
                total = torch.zeros(size, dtype=torch.float32, device=answers.device)
            for (case, start), answer in zip(here, answers, strict=True):
                total[case].narrow(self.axis + 1, start, answer.shape[self.axis + 1]).add_(answer)
        assert total is not None
        counts = torch.from_numpy(covering(slices, self.thickness, self.stride)).to(total)
        total /= counts.view([-1 if axis == across else 1 for axis in range(total.ndim)])
        return logits_of_mean(total, self.average, self.activation)

    def _answers(self, image: Tensor, places: list[tuple[int, int]], network: Network) -> Tensor:
        """What is averaged, of the windows at these (case, start): [N K *slab], the padding undone."""
        thickness = min(self.thickness, image.shape[2 + self.axis])
        slabs = torch.stack([image[case].narrow(1 + self.axis, start, thickness) for case, start in places])
        padded = self._padded(slabs)
        logits = self._asked(padded, network)
        if logits.shape[2:] != padded.shape[2:] or len(logits) != len(places):
            raise ValueError(
                f"the network answered slabs {list(padded.shape)} with logits {list(logits.shape)};"
                " the sizes in space must agree"
            )
        i, j, k = slabs.shape[2:]
        return to_average(logits[:, :, :i, :j, :k], self.average, self.activation)

    def _asked(self, slabs: Tensor, network: Network) -> Tensor:
        """A slab of one slice is an image to the network: it is a 2D one."""
        if self.thickness > 1:
            return logits_of(network(slabs))
        return logits_of(network(slabs.squeeze(2 + self.axis))).unsqueeze(2 + self.axis)

    def _padded(self, slabs: Tensor) -> Tensor:
        """Slabs [N M *slab] grown behind their ends to k slices and to multiples of the divisor in plane."""
        wanted = [math.ceil(size / self.divisor) * self.divisor for size in slabs.shape[2:]]
        wanted[self.axis] = self.thickness
        lacking = [whole - size for whole, size in zip(wanted, slabs.shape[2:], strict=True)]
        if not any(lacking):
            return slabs
        ends = [end for more in reversed(lacking) for end in (0, more)]
        return F.pad(slabs, ends, mode="replicate") if self.pad == "edge" else F.pad(slabs, ends)
