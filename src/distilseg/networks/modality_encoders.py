"""Networks that accept any subset of modalities, and the parts they share.

**A modality that was not acquired is a channel of NaN** (`functional.missing`), case by case. A network whose
class says `accepts_missing_modalities = True` uses exactly the others: nothing that stands in a missing
channel reaches its logits or its gradients. `any_subset(network)` asks for that promise. A case of which
every modality is missing raises UserError. In training mode each case additionally loses a random part of
what it has, if the network was built with `drop_modalities=True`.

The shared parts are those of U-HVED and U-HeMIS: one encoder for each modality, fused level by level, and
decoders of the fused maps. Dorent, Joutard, Modat, Ourselin, Vercauteren, "Hetero-Modal Variational
Encoder-Decoder for Joint Modality Completion and Segmentation", MICCAI 2019, arXiv 1907.11150.

    encoder  1×1×1 convolution 1 -> 8, LeakyReLU; at each level a block, max-pooling between levels
    block    twice (instance norm, LeakyReLU 0.01, 3×3×3 convolution)
    decoder  up: linear interpolation to the skip's size, concatenation of the skip, a block
    head     1×1×1 convolution

Widths are those of the authors' code (github.com/ReubenDo/U-HVED, NiftyNet): 8, 16, 32, 64; a decoder's block
has those of its level, then half. As there, convolutions have no bias; the last ones have one here, and
instance norms are affine (both decided).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError
from ..functional.missing import present_modalities, random_subset
from .axes import convolution_of, instance_norm_of, linear_mode, max_pool_of

FILTERS = (8, 16, 32, 64)


def any_subset(network: nn.Module) -> bool:
    """Whether the network accepts channels of NaN as modalities that are missing."""
    return bool(getattr(network, "accepts_missing_modalities", False))


class ModalityEncoders(nn.Module):
    """Image [B M *S] -> for each level the modalities' maps [B M C *s], and which of them count [B M]."""

    def __init__(
        self,
        modalities: int,
        filters: Sequence[int],
        outputs: Sequence[int],
        strides: Sequence[Sequence[int]],
        drop_modalities: bool,
    ) -> None:
        """`outputs`: channels of each level's map, where a block ends in others than `filters`."""
        super().__init__()
        self.drop_modalities = drop_modalities
        self.of_modality = nn.ModuleList(_Encoder(filters, outputs, strides) for _ in range(modalities))

    def forward(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        present_BM = present_modalities(image)
        _refuse_nothing(present_BM)
        shape = (*present_BM.shape, *[1] * (image.ndim - 2))
        image = torch.where(present_BM.reshape(shape), image, 0.0)
        if self.training and self.drop_modalities:
            present_BM = random_subset(present_BM)
        maps = [encoder(image[:, m : m + 1]) for m, encoder in enumerate(self.of_modality)]
        return [torch.stack(level, 1) for level in zip(*maps, strict=True)], present_BM


class _Encoder(nn.Module):
    """One modality [B 1 *S] -> a map [B C *s] for each level."""

    def __init__(
        self, filters: Sequence[int], outputs: Sequence[int], strides: Sequence[Sequence[int]]
    ) -> None:
        super().__init__()
        axes = len(strides[0])
        pool = max_pool_of(axes)
        stem = convolution_of(axes)(1, filters[0], 1, bias=False)
        self.stem = nn.Sequential(stem, nn.LeakyReLU(0.01, inplace=True))
        self.blocks = nn.ModuleList(
            block(before, width, after, axes)
            for before, width, after in zip([filters[0], *outputs[:-1]], filters, outputs, strict=True)
        )
        self.down = nn.ModuleList(pool(tuple(stride)) for stride in strides[1:])

    def forward(self, image_B1S: Tensor) -> list[Tensor]:
        maps = [self.blocks[0](self.stem(image_B1S))]
        for down, deeper in zip(self.down, self.blocks[1:], strict=True):
            maps.append(deeper(down(maps[-1])))
        return maps


class Decoder(nn.Module):
    """Fused maps [B C *s], finest first -> [B outputs *S]."""

    def __init__(self, skips: Sequence[int], filters: Sequence[int], outputs: int, axes: int) -> None:
        """`skips`: channels of the fused maps."""
        super().__init__()
        halves = [width // 2 for width in filters]
        below = [*halves[1:-1], skips[-1]]
        self.blocks = nn.ModuleList(
            block(below[level] + skips[level], filters[level], halves[level], axes)
            for level in range(len(filters) - 1)
        )
        self.mode = linear_mode(axes)
        self.head = convolution_of(axes)(halves[0], outputs, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        map_BCs = maps[-1]
        for level in reversed(range(len(self.blocks))):
            size = maps[level].shape[2:]
            map_BCs = F.interpolate(map_BCs, size, mode=self.mode, align_corners=False)
            map_BCs = self.blocks[level](torch.cat([map_BCs, maps[level]], 1))
        result: Tensor = self.head(map_BCs)
        return result


def block(before: int, width: int, after: int, axes: int) -> nn.Sequential:
    """Twice (affine instance norm, LeakyReLU, 3×3×3 convolution): `before` -> `width` -> `after` channels."""
    norm = instance_norm_of(axes)
    layers: list[nn.Module] = []
    for channels, into in ((before, width), (width, after)):
        layers += [norm(channels, affine=True), nn.LeakyReLU(0.01, inplace=True)]
        layers += [convolution_of(axes)(channels, into, 3, padding=1, bias=False)]
    return nn.Sequential(*layers)


def check_even(network: str, filters: Sequence[int]) -> None:
    """Half of a level's channels mean something else than the other half."""
    if odd := [width for width in filters if width % 2]:
        raise UserError(
            f"{network}: {odd[0]} filters cannot be halved", f"give even numbers, such as {list(FILTERS)}"
        )


def _refuse_nothing(present_BM: Tensor) -> None:
    if present_BM.is_meta or torch.compiler.is_compiling():  # shapes only: there is nothing to look at
        return
    empty = (~present_BM.any(1)).nonzero().flatten().tolist()
    if empty:
        raise UserError(
            f"case {empty[0]} of the batch has no modality: NaN in all its {present_BM.shape[1]} channels",
            "give at least one of its scans; if all were given, look for NaN in them with `distilseg check`",
        )
