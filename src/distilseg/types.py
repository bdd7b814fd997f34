"""The three values that travel through a training step.

Axes, here and everywhere: B cases, M modalities (image channels), K classes (background included),
C feature channels, S space (I J K voxels in 3D, I J pixels in 2D; lower-case *s: a coarser grid).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

UNKNOWN = 255  # the class index of a voxel without a label


@dataclass(frozen=True)
class Batch:
    """Patches of B cases, with what a term may need to know about them."""

    image: Tensor  # [B M *S] float
    label: Tensor  # [B 1 *S] integer class indices, or UNKNOWN
    spacing_mm: tuple[float, ...] = ()
    case_ids: tuple[str, ...] = ()
    others: Mapping[str, Batch] = field(default_factory=dict)  # further, unpaired batches by name
    maps: Mapping[str, Tensor] = field(default_factory=dict)  # [B C *s] that moved with the image, by name

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on `device`."""
        return replace(
            self,
            image=self.image.to(device, non_blocking=True),
            label=self.label.to(device, non_blocking=True),
            others={name: batch.to(device) for name, batch in self.others.items()},
            maps={name: value.to(device, non_blocking=True) for name, value in self.maps.items()},
        )


@dataclass(frozen=True)
class Outputs:
    """What one network gave: its logits and the features its role tapped."""

    logits: Tensor  # [B K *S]
    features: Mapping[str, Tensor] = field(default_factory=dict)  # name -> [B C *s]

    def __getitem__(self, name: str) -> Tensor:
        try:
            return self.features[name]
        except KeyError:
            raise KeyError(
                f"feature {name!r} was not tapped; this forward pass tapped {sorted(self.features)}."
                " Add it to the role's `taps`."
            ) from None


@dataclass(frozen=True)
class Losses:
    """The scalar to minimise and its terms, unweighted, for the log."""

    total: Tensor  # []
    terms: Mapping[str, Tensor]  # name -> []
