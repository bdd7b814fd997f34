"""UNesT put together as MONAI's model zoo has it, with the names of its weights: what ours is held against.

A transcription of `wholeBrainSeg_Large_UNEST_segmentation/scripts/networks`, in the words of this project:
axes and names are theirs, einsum and movedim are not.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

import torch
from monai.networks.blocks import Convolution, UnetOutBlock, UnetResBlock
from monai.networks.blocks.dynunet_block import get_conv_layer
from torch import Tensor, nn

EDGE, TOKEN = 96, 4


def zoo_unest(
    classes: int, embed_dim: Sequence[int], num_heads: Sequence[int], depths: Sequence[int]
) -> nn.Module:
    """The whole network, of one modality and patches of 96x96x96."""
    return _Whole(classes, embed_dim, num_heads, depths)


class _Whole(nn.Module):
    def __init__(
        self, classes: int, dims: Sequence[int], heads: Sequence[int], depths: Sequence[int]
    ) -> None:
        super().__init__()
        f = dims[0] // 8
        self.nestViT = _Nest(dims, heads, depths)
        self.encoder1 = _named("layer", _residual(1, 2 * f))
        self.encoder2 = nn.Module()
        self.encoder2.transp_conv_init = _transposed(dims[0], 4 * f, 2)
        self.encoder2.blocks = nn.ModuleList([_transposed(4 * f, 4 * f, 1)])
        self.encoder3 = _named("layer", _residual(dims[0], 8 * f))
        self.encoder4 = _named("layer", _residual(dims[1], 16 * f))
        widths = [2 * f, 4 * f, 8 * f, 16 * f, 32 * f, 64 * f]
        for number, (fine, coarse) in enumerate(pairwise(widths), start=1):
            up = nn.Module()
            up.transp_conv, up.conv_block = _transposed(coarse, fine, 2), _residual(2 * fine, fine)
            setattr(self, f"decoder{number}", up)
        self.encoder10 = Convolution(3, 32 * f, 64 * f, strides=2, adn_ordering="ADN", dropout=0.0)
        self.out = UnetOutBlock(3, 2 * f, classes)

    def forward(self, image: Tensor) -> Tensor:
        last, hidden = self.nestViT(image)
        skips = [
            self.encoder1.layer(image),
            self.encoder2.blocks[0](self.encoder2.transp_conv_init(hidden[0])),
            self.encoder3.layer(hidden[1]),
            self.encoder4.layer(hidden[2]),
            hidden[3],
        ]
        x = self.encoder10(last)
        for number in (5, 4, 3, 2, 1):
            up = getattr(self, f"decoder{number}")
            x = up.conv_block(torch.cat([up.transp_conv(x), skips[number - 1]], 1))
        return self.out(x)


class _Nest(nn.Module):
    def __init__(self, dims: Sequence[int], heads: Sequence[int], depths: Sequence[int]) -> None:
        super().__init__()
        self.patch_embed = _named("proj", nn.Conv3d(1, dims[0], TOKEN, TOKEN))
        edge = EDGE // TOKEN // 4
        self.levels = nn.ModuleList(
            _Level(8 ** (2 - i), edge, dims[i], heads[i], depths[i], dims[i - 1] if i else None)
            for i in range(3)
        )
        self.norm = nn.LayerNorm(dims[-1], eps=1e-6)

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        hidden = [self.patch_embed.proj(image)]
        for level in self.levels:
            hidden.append(level(hidden[-1]))
        return self.norm(hidden[-1].movedim(1, -1)).movedim(-1, 1), hidden


class _Level(nn.Module):
    def __init__(self, blocks: int, edge: int, dim: int, heads: int, depth: int, before: int | None) -> None:
        super().__init__()
        self.edge = edge
        self.pos_embed = nn.Parameter(torch.zeros(1, blocks, edge**3, dim))
        if before is not None:
            self.pool = nn.Module()
            self.pool.conv = nn.Conv3d(before, dim, 3, padding=1)
            self.pool.norm = nn.LayerNorm(dim, eps=1e-6)
        self.transformer_encoder = nn.Sequential(*(_Layer(dim, heads) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        if hasattr(self, "pool"):
            x = self.pool.norm(self.pool.conv(x).movedim(1, -1)).movedim(-1, 1)
            x = nn.functional.max_pool3d(x, 3, 2, 1)
        b, c, n, e = x.shape[0], x.shape[1], x.shape[2] // self.edge, self.edge
        cut = torch.einsum("bcxiyjzk->bxyzijkc", x.reshape(b, c, n, e, n, e, n, e))
        tokens = self.transformer_encoder(cut.reshape(b, n**3, e**3, c) + self.pos_embed)
        back = torch.einsum("bxyzijkc->bcxiyjzk", tokens.reshape(b, n, n, n, e, e, e, c))
        return back.reshape(x.shape)


class _Layer(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.attn = nn.Module()
        self.attn.qkv, self.attn.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(
            OrderedDict(fc1=nn.Linear(dim, 4 * dim), act=nn.GELU(), fc2=nn.Linear(4 * dim, dim))
        )

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.attn.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).unbind(-3)
        weights = (torch.einsum("btnhd,btmhd->bthnm", q, k) * q.shape[-1] ** -0.5).softmax(-1)
        mixed = torch.einsum("bthnm,btmhd->btndh", weights, v)  # heads vary fastest
        x = x + self.attn.proj(mixed.flatten(-2))
        return x + self.mlp(self.norm2(x))


def _residual(inside: int, outside: int) -> UnetResBlock:
    return UnetResBlock(3, inside, outside, 3, 1, "instance")


def _transposed(inside: int, outside: int, size: int) -> nn.Module:
    return get_conv_layer(
        3, inside, outside, kernel_size=size, stride=size, conv_only=True, is_transposed=True
    )


def _named(name: str, module: nn.Module) -> nn.Module:
    around = nn.Module()
    setattr(around, name, module)
    return around
