"""V-Net of other widths than that of MONAI, whose steps take seconds on a processor."""

from __future__ import annotations

from functools import partial

from monai.networks.nets import VNet
from monai.networks.nets.vnet import DownTransition, InputTransition, OutputTransition, UpTransition
from torch import nn

ACTIVATION = ("elu", {"inplace": True})


class ScaledVNet(VNet):  # type: ignore[misc]
    """MONAI's V-Net in all but its channels: `width` at full resolution, twice as many at each coarser one.

    Its stages, their names and `forward` are MONAI's; a `width` of 16 has its parameters. Dropout takes whole
    channels in 2D too, where MONAI's takes whole cases of a batch.
    """

    def __init__(self, dims: int, in_channels: int, classes: int, *, width: int, dropout: float) -> None:
        nn.Module.__init__(self)  # MONAI's own builds the wide stages
        deep = {"dropout_prob": (dropout, dropout)}
        down = partial(DownTransition, dims, act=ACTIVATION, dropout_dim=dims)
        up = partial(UpTransition, dims, act=ACTIVATION, dropout_dim=dims)
        self.in_tr = InputTransition(dims, in_channels, width, ACTIVATION)
        self.down_tr32 = down(width, 1)
        self.down_tr64 = down(2 * width, 2)
        self.down_tr128 = down(4 * width, 3, dropout_prob=dropout)
        self.down_tr256 = down(8 * width, 2, dropout_prob=dropout)
        self.up_tr256 = up(16 * width, 16 * width, 2, **deep)
        self.up_tr128 = up(16 * width, 8 * width, 2, **deep)
        self.up_tr64 = up(8 * width, 4 * width, 1)
        self.up_tr32 = up(4 * width, 2 * width, 1)
        self.out_tr = OutputTransition(dims, 2 * width, classes, ACTIVATION)
