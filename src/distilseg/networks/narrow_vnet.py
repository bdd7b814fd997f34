"""V-Net of other widths than that of MONAI, whose steps take seconds on a processor."""

from __future__ import annotations

from monai.networks.nets import VNet
from monai.networks.nets.vnet import DownTransition, InputTransition, OutputTransition, UpTransition
from torch import nn

ACTIVATION = ("elu", {"inplace": True})


class NarrowVNet(VNet):  # type: ignore[misc]
    """MONAI's V-Net in all but its channels: `width` at full resolution, twice as many at each coarser one.

    Its stages, their names, their dropout and `forward` are MONAI's; a `width` of 16 has its parameters.
    """

    def __init__(self, dims: int, in_channels: int, classes: int, *, width: int, dropout: float) -> None:
        nn.Module.__init__(self)  # MONAI's own builds the wide stages
        both = (dropout, dropout)
        self.in_tr = InputTransition(dims, in_channels, width, ACTIVATION)
        self.down_tr32 = DownTransition(dims, width, 1, ACTIVATION)
        self.down_tr64 = DownTransition(dims, 2 * width, 2, ACTIVATION)
        self.down_tr128 = DownTransition(dims, 4 * width, 3, ACTIVATION, dropout_prob=dropout)
        self.down_tr256 = DownTransition(dims, 8 * width, 2, ACTIVATION, dropout_prob=dropout)
        self.up_tr256 = UpTransition(dims, 16 * width, 16 * width, 2, ACTIVATION, dropout_prob=both)
        self.up_tr128 = UpTransition(dims, 16 * width, 8 * width, 2, ACTIVATION, dropout_prob=both)
        self.up_tr64 = UpTransition(dims, 8 * width, 4 * width, 1, ACTIVATION)
        self.up_tr32 = UpTransition(dims, 4 * width, 2 * width, 1, ACTIVATION)
        self.out_tr = OutputTransition(dims, 2 * width, classes, ACTIVATION)
