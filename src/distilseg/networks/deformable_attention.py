"""Deformable attention in 3D: each token looks at a few places of each map, which it chooses itself.

Zhu et al., "Deformable DETR", ICLR 2021, arXiv 2010.04159, in three dimensions as CoTr has it (`cotr.py`).
For a token x_n with a position embedding e_n, whose voxel lies at r_n in the cube [0, 1]³:

    out_n = W' Σ_h Σ_l Σ_p  a_nhlp  V_hl(r_n + Δ_nhlp / s_l)
    Δ     = linear in x_n + e_n                    in voxels of the map l, whose size is s_l
    a     = softmax over the maps and points (l, p) of a linear function of x_n + e_n
    V_hl  = the map l of W x_n, of which head h has its own channels, interpolated between its voxels;
            0 beyond them

At first Δ does not depend on the token: head h looks 1, 2, ... voxels into one direction, and all weights are
equal.

Which axis a coordinate belongs to. The authors' code keeps coordinates in the order depth, width, height, and
hands them as they are to an interpolation that reads width, height, depth. So the token at (d, h, w) looks
around (h, w, d): `sampling="code"`. Around its own voxel, as the paper has it, it looks with "paper". Weights
fit both, and in a map that has one size along all axes both see equally far.

Besides matrix products only trilinear interpolation is needed. PyTorch has it as one operation, which
OpenVINO lacks in 3D: where a network is exported it is written out as eight look-ups.

Axes: B cases, N tokens, H heads, C channels of one of them, L maps, P points, *s a map's space.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Literal, TypedDict

import torch
from torch import Tensor, nn

from ..functional.segmentation import in_full_precision

Sampling = Literal["code", "paper"]
# Where depth, height and width are found among coordinates in the order depth, width, height.
_AXES: dict[str, list[int]] = {"code": [2, 1, 0], "paper": [0, 2, 1]}


class Like(TypedDict):
    """How a tensor is made that goes with another."""

    dtype: torch.dtype
    device: torch.device


class DeformableAttention(nn.Module):
    """Tokens [B N HC] of several maps, listed map by map -> [B N HC]."""

    def __init__(self, channels: int, heads: int, maps: int, points: int, sampling: Sampling) -> None:
        super().__init__()
        self.heads, self.maps, self.points, self.sampling = heads, maps, points, sampling
        self.offsets = nn.Linear(channels, heads * maps * points * 3)
        self.weights = nn.Linear(channels, heads * maps * points)
        self.value = nn.Linear(channels, channels)
        self.project = nn.Linear(channels, channels)
        self.initialise()

    def initialise(self) -> None:
        """Head h looks 1 ... P voxels into its direction, with equal weights."""
        for linear in (self.offsets, self.weights):
            nn.init.zeros_(linear.weight)
        for linear in (self.weights, self.value, self.project):
            nn.init.zeros_(linear.bias)
        for linear in (self.value, self.project):
            nn.init.xavier_uniform_(linear.weight)
        angle_H = torch.arange(self.heads, device=self.offsets.bias.device) * (2 * math.pi / self.heads)
        cos, sin = angle_H.cos(), angle_H.sin()
        direction_H3 = torch.stack([cos, sin * cos, sin * sin], 1)
        direction_H3 = direction_H3 / direction_H3.abs().amax(1, keepdim=True)
        steps_P = torch.arange(1, self.points + 1, device=direction_H3.device)
        offsets_HLP3 = direction_H3[:, None, None] * steps_P[:, None]
        with torch.no_grad():
            self.offsets.bias.copy_(offsets_HLP3.expand(-1, self.maps, -1, -1).flatten())

    def forward(self, tokens_BNc: Tensor, position_1Nc: Tensor, sizes: Sequence[Sequence[int]]) -> Tensor:
        asking_BNc = tokens_BNc + position_1Nc
        offsets_BNHLP3 = self.offsets(asking_BNc).unflatten(2, (self.heads, self.maps, self.points, 3))
        weights_BNHk = self.weights(asking_BNc).unflatten(2, (self.heads, -1)).softmax(3)
        places_BNHLP3 = self._places(in_full_precision(offsets_BNHLP3), sizes)
        values = [
            part_BnHC.permute(0, 2, 3, 1).unflatten(3, tuple(size))
            for part_BnHC, size in zip(
                self.value(tokens_BNc).unflatten(2, (self.heads, -1)).split([math.prod(s) for s in sizes], 1),
                sizes,
                strict=True,
            )
        ]
        weights_BNHLP = weights_BNHk.unflatten(3, (self.maps, self.points))
        projected: Tensor = self.project(looked_up(values, places_BNHLP3, weights_BNHLP).flatten(2))
        return projected

    def _places(self, offsets_BNHLP3: Tensor, sizes: Sequence[Sequence[int]]) -> Tensor:
        """Depth, height and width in [0, 1] of each place that a token looks at."""
        like: Like = {"dtype": offsets_BNHLP3.dtype, "device": offsets_BNHLP3.device}
        depth_first = [(d, w, h) for d, h, w in sizes]
        sizes_LP3 = torch.tensor(depth_first, **like)[:, None]
        own_N3 = torch.cat([_centres(size, like) for size in sizes])
        places_BNHLP3 = own_N3[:, None, None, None] + offsets_BNHLP3 / sizes_LP3
        return places_BNHLP3[..., _AXES[self.sampling]]


def looked_up(values: Sequence[Tensor], places_BNHLP3: Tensor, weights_BNHLP: Tensor) -> Tensor:
    """Σ_l Σ_p a V_l(place) for each token and head; [B N H C].

    `values`: of each map l, [B H C *s]; `places_BNHLP3`: along those three axes, 0 and 1 where the map's
    outer voxels end.
    """
    batch, tokens, heads, _, points, _ = places_BNHLP3.shape
    total_BHCN = places_BNHLP3.new_zeros(())
    for level, value_BHCs in enumerate(values):
        # Heads are cases of their own.
        value_nCs = value_BHCs.flatten(0, 1).to(places_BNHLP3.dtype)
        places_nNP3 = places_BNHLP3[:, :, :, level].transpose(1, 2).flatten(0, 1)
        interpolated_nCm = interpolated(value_nCs, places_nNP3.flatten(1, 2))
        interpolated_BHCNP = interpolated_nCm.reshape(batch, heads, -1, tokens, points)
        weights_BH1NP = weights_BNHLP[:, :, :, level].transpose(1, 2)[:, :, None]
        total_BHCN = total_BHCN + (interpolated_BHCNP * weights_BH1NP).sum(4)
    return total_BHCN.permute(0, 3, 1, 2)


def interpolated(value_nCs: Tensor, places_nm3: Tensor) -> Tensor:
    """Maps [n C *s] at m places each, between their voxels, 0 beyond them; [n C m]."""
    if torch.compiler.is_exporting():
        return by_look_up(value_nCs, places_nm3)
    grid_n11m3 = (2 * places_nm3 - 1).flip(2)[:, None, None]  # width, height, depth in [-1, 1]
    sampled = nn.functional.grid_sample(value_nCs, grid_n11m3, padding_mode="zeros", align_corners=False)
    return sampled[:, :, 0, 0]


def by_look_up(value_nCs: Tensor, places_nm3: Tensor) -> Tensor:
    """The same as a sum over the 8 voxels around a place, each weighted by how near it is along all axes."""
    n, _, *size = value_nCs.shape
    table_vC = value_nCs.flatten(2).transpose(1, 2).flatten(0, 1)
    # Of each map, its first row.
    first_n1 = torch.arange(n, device=places_nm3.device)[:, None] * math.prod(size)
    # Along each axis two neighbours: how many rows they are away, and their weight.
    axes = []
    for axis, voxels in enumerate(size):
        index_nm = places_nm3[:, :, axis] * voxels - 0.5
        low_nm = index_nm.floor()
        share_nm = index_nm - low_nm
        rows = math.prod(size[axis + 1 :])
        axes.append(
            [
                (at_nm.clamp(0, voxels - 1).long() * rows, near_nm * ((at_nm >= 0) & (at_nm < voxels)))
                for at_nm, near_nm in ((low_nm, 1 - share_nm), (low_nm + 1, share_nm))
            ]
        )
    total_nmC = places_nm3.new_zeros(())
    for (d_nm, by_d_nm), (h_nm, by_h_nm), (w_nm, by_w_nm) in itertools.product(*axes):
        row_nm = first_n1 + d_nm + h_nm + w_nm
        total_nmC = total_nmC + table_vC[row_nm] * (by_d_nm * by_h_nm * by_w_nm)[:, :, None]
    return total_nmC.transpose(1, 2)


def _centres(size: Sequence[int], like: Like) -> Tensor:
    """Depth, width and height in [0, 1] of every voxel's centre, as the voxels are listed; [s 3]."""
    d, h, w = ((torch.arange(n, **like) + 0.5) / n for n in size)
    grids = torch.meshgrid(d, h, w, indexing="ij")
    return torch.stack([grids[0], grids[2], grids[1]], -1).flatten(0, 2)
