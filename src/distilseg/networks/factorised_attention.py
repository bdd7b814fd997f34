"""Transformer blocks whose cost grows with the number of tokens, not with its square.

    position   map + depthwise 3x3 convolution of it
    attention  per head, on the normalised tokens:  q (softmax over tokens of k)ᵀ v / √d  +  q ⊙ conv(v)
    domain     times a weight per head and channel, softmax over heads of MLP(one-hot label of the data set)
    out        x + linear(attention),  then  x + MLP(norm x)

Factorised attention and its convolutions, 3x3, 5x5 and 7x7 on 2, 3 and 3 of eight heads: Xu et al.,
"Co-Scale Conv-Attentional Image Transformers", ICCV 2021, arXiv 2104.06399. Domain attention: Du et al.,
"MDViT", MICCAI 2023, arXiv 2307.02100. A stage's blocks share the convolutions. With one data set the label
is always 1, and what is left of the domain's MLP is a learned constant.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WINDOWS = {3: 2, 5: 3, 7: 3}  # kernel -> heads
HEADS = sum(WINDOWS.values())
BLOCKS = 2
EPSILON = 1e-6


class Stage(nn.Module):
    """Two blocks; [B C *s] -> [B C *s]. C is a multiple of eight."""

    def __init__(self, channels: int, mlp_ratio: int) -> None:
        super().__init__()
        self.position = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.windows = Windows(channels)
        self.blocks = nn.ModuleList(Block(channels, mlp_ratio) for _ in range(BLOCKS))

    def forward(self, map_BCs: Tensor) -> Tensor:
        for block in self.blocks:
            map_BCs = block(map_BCs + self.position(map_BCs), self.windows)
        return map_BCs


class Block(nn.Module):
    """x + attention(norm x), then x + MLP(norm x); [B C *s] -> [B C *s]."""

    def __init__(self, channels: int, mlp_ratio: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(channels, EPSILON)
        self.attention = FactorisedAttention(channels)
        self.mlp_norm = nn.LayerNorm(channels, EPSILON)
        self.mlp = nn.Sequential(
            nn.Linear(channels, mlp_ratio * channels), nn.GELU(), nn.Linear(mlp_ratio * channels, channels)
        )

    def forward(self, map_BCs: Tensor, windows: Windows) -> Tensor:
        tokens_BNC = map_BCs.flatten(2).transpose(1, 2)
        attended_BNC = self.attention(self.attention_norm(tokens_BNC), map_BCs.shape[2:], windows)
        tokens_BNC = tokens_BNC + attended_BNC
        tokens_BNC = tokens_BNC + self.mlp(self.mlp_norm(tokens_BNC))
        out: Tensor = tokens_BNC.transpose(1, 2).reshape(map_BCs.shape)
        return out


class FactorisedAttention(nn.Module):
    """[B N C] -> [B N C]; the N tokens are the voxels of a map of the given size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.to_qkv = nn.Linear(channels, 3 * channels)
        self.domain = nn.Sequential(
            nn.Linear(1, channels // 2), nn.ReLU(), nn.Linear(channels // 2, channels)
        )
        self.out = nn.Linear(channels, channels)

    def forward(self, tokens_BNC: Tensor, size: torch.Size, windows: Windows) -> Tensor:
        query_BNC, key_BNC, value_BNC = self.to_qkv(tokens_BNC).chunk(3, 2)
        around_BCs = windows(value_BNC.transpose(1, 2).unflatten(2, size))
        query, around, key, value = (
            tokens.unflatten(2, (HEADS, -1))
            for tokens in (
                query_BNC,
                around_BCs.flatten(2).transpose(1, 2),
                key_BNC.softmax(1),
                value_BNC,
            )
        )
        summary_BHDE = torch.einsum("bnhd,bnhe->bhde", key, value)
        mixed_BNHD = torch.einsum("bnhd,bhde->bnhe", query, summary_BHDE) * query.shape[3] ** -0.5
        weights_HD = self._of_domain(tokens_BNC)
        out: Tensor = self.out((weights_HD * (mixed_BNHD + query * around)).flatten(2))
        return out

    def _of_domain(self, like: Tensor) -> Tensor:
        """[H D], each column sums to 1."""
        weights_C: Tensor = self.domain(like.new_ones(1, 1))[0]
        return weights_C.reshape(HEADS, -1).softmax(0)


class Windows(nn.Module):
    """Each head's depthwise convolution, its window by the head; [B C *s] -> [B C *s]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.widths = [heads * channels // HEADS for heads in WINDOWS.values()]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width)
            for kernel, width in zip(WINDOWS, self.widths, strict=True)
        )

    def forward(self, map_BCs: Tensor) -> Tensor:
        parts = torch.split(map_BCs, self.widths, 1)
        return torch.cat(
            [convolution(part) for convolution, part in zip(self.convolutions, parts, strict=True)], 1
        )
