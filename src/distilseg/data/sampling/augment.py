"""Augmentation of whole batches: chance is drawn first (`draw`), then applied deterministically (`apply`).

What happens to a sample is a pure function of (seed, index of the sample), so it depends neither on the
batch it travels in nor on workers, ranks or a resume. Flips and quarter turns move voxels exactly; rotation,
scaling and translation share one interpolation, in millimetres, so that anisotropic voxels turn without being
sheared.
`apply_geometry` moves any further map of the same patch (a teacher's soft labels, say) by the same
parameters.

Intensities are changed in units of the normalised image. Flipping mirrors the patient: where left and right
structures have labels of their own, leave the left-right axis out of `flip_axes`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from .augmentation import Augmentation, Chance

_STREAM = 2  # of chance from one seed; patches.py uses the others


@dataclass(frozen=True, eq=False)
class Parameters:
    """What was drawn, one row per sample; the neutral value where nothing happens."""

    flips: NDArray[np.bool_]  # [B D]
    quarter_turns: NDArray[np.int64]  # [B]
    degrees: NDArray[np.float64]  # [B 3] about each axis, [B 1] in 2D
    translation_mm: NDArray[np.float64]  # [B D]
    scale: NDArray[np.float64]  # [B]
    gain: NDArray[np.float64]  # [B M]
    shift: NDArray[np.float64]  # [B M]
    gamma: NDArray[np.float64]  # [B M]
    blur: NDArray[np.float64]  # [B] voxels
    noise: NDArray[np.float64]  # [B]
    noise_seed: NDArray[np.int64]  # [B]
    spacing_mm: tuple[float, ...]


def draw(
    augmentation: Augmentation,
    seed: int,
    indices: Sequence[int],
    ndim: int,
    *,
    modalities: int = 1,
    spacing_mm: Sequence[float] = (),
) -> Parameters:
    """Draws for the samples `indices` of patches with `ndim` axes; no `spacing_mm` means isotropic voxels."""
    axes = range(ndim) if augmentation.flip_axes is None else augmentation.flip_axes
    may_flip = np.isin(np.arange(ndim), list(axes))
    moving = np.array([axis < 2 or not augmentation.in_plane for axis in range(ndim)])
    turning = np.array([axis == 2 or not augmentation.in_plane for axis in range(3)] if ndim == 3 else [True])
    spacing_mm = tuple(spacing_mm) or (1.0,) * ndim
    rows: list[dict[str, Any]] = []
    for index in indices:
        chance = np.random.default_rng([seed, _STREAM, index])
        # Everything is drawn, used or not: switching one change off leaves the others as they were.
        rows.append(
            {
                "flips": _flips(augmentation, chance.random(ndim)) & may_flip,
                "quarter_turns": (chance.random() < augmentation.rotate90) * chance.integers(1, 4),
                "degrees": _value(chance, augmentation.rotate_degrees, 0.0, len(turning), together=True)
                * turning,
                "scale": _value(chance, augmentation.scale, 1.0, 1)[0],
                "gain": _value(chance, augmentation.gain, 1.0, modalities),
                "shift": _value(chance, augmentation.shift, 0.0, modalities),
                "gamma": _value(chance, augmentation.gamma, 1.0, modalities),
                "blur": _value(chance, augmentation.blur, 0.0, 1)[0],
                "noise": _value(chance, augmentation.noise, 0.0, 1)[0],
                "noise_seed": chance.integers(2**62),
                "translation_mm": _value(chance, augmentation.translate, 0.0, ndim, together=True)
                * moving
                * spacing_mm,
            }
        )
    columns = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    return Parameters(**columns, spacing_mm=spacing_mm)


def apply(image: Tensor, label: Tensor, parameters: Parameters) -> tuple[Tensor, Tensor]:
    """The augmented batch: image [B M *S] (linear), label [B 1 *S] (nearest, its integer type kept)."""
    moved = apply_geometry(image, parameters, "bilinear")
    return apply_intensity(moved, parameters), apply_geometry(label, parameters, "nearest")


def apply_geometry(maps: Tensor, parameters: Parameters, mode: Literal["bilinear", "nearest"]) -> Tensor:
    """Flips, quarter turns, then rotation, scaling and translation of `maps` [B C *S].

    Beyond the border its voxels repeat.

    An odd number of quarter turns is left out where the plane of axes 0 and 1 is not square in voxels and mm.
    """
    ndim, spacing = maps.ndim - 2, parameters.spacing_mm
    square = maps.shape[2] == maps.shape[3] and math.isclose(spacing[0], spacing[1], rel_tol=0.01)
    samples = []
    for sample, flips, turns in zip(maps, parameters.flips, parameters.quarter_turns, strict=True):
        axes = [axis + 1 for axis in range(ndim) if flips[axis]]
        sample = sample.flip(axes) if axes else sample
        samples.append(
            torch.rot90(sample, int(turns), (1, 2)) if turns and (square or turns == 2) else sample
        )
    moved = torch.stack(samples)

    turned_or_moved = np.concatenate([parameters.degrees, parameters.translation_mm], axis=1) != 0
    oblique = np.flatnonzero(turned_or_moved.any(axis=1) | (parameters.scale != 1))
    if oblique.size:
        matrices = _inverse_matrices(parameters, tuple(maps.shape[2:]))[oblique]
        rows = torch.from_numpy(oblique).to(maps.device)
        source = moved[rows].float()
        theta = torch.from_numpy(matrices).to(source)
        grid = F.affine_grid(theta, list(source.shape), align_corners=False)
        turned = F.grid_sample(source, grid, mode=mode, padding_mode="border", align_corners=False)
        moved[rows] = turned.to(moved.dtype)
    return moved


def apply_intensity(image: Tensor, parameters: Parameters) -> Tensor:
    """Noise, blur, gain, shift and gamma of `image` [B M *S], in this order; the input is left alone."""
    image = image.clone()
    for sample, noise, seed, blur in zip(
        image, parameters.noise, parameters.noise_seed, parameters.blur, strict=True
    ):
        if noise:
            generator = torch.Generator().manual_seed(int(seed))
            sample += noise * torch.randn(sample.shape, generator=generator).to(sample)
        if blur:
            sample.copy_(_blurred(sample, float(blur)))

    def per_modality(values: NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(values).to(image).view(*values.shape, *[1] * (image.ndim - 2))

    image = image * per_modality(parameters.gain) + per_modality(parameters.shift)
    for b, m in np.argwhere(parameters.gamma != 1):
        # x -> low + (high - low) ((x - low) / (high - low))^gamma
        low, high = image[b, m].amin(), image[b, m].amax()
        extent = (high - low).clamp(min=1e-7)
        image[b, m] = low + extent * ((image[b, m] - low) / extent) ** float(parameters.gamma[b, m])
    return image


def _flips(augmentation: Augmentation, luck: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which axes are flipped, from a number in [0, 1) for each."""
    if not augmentation.flip_one:
        return luck < augmentation.flip
    chosen = int(luck[0] // augmentation.flip) if augmentation.flip else len(augmentation.flip_one)
    return np.isin(np.arange(len(luck)), augmentation.flip_one[chosen : chosen + 1])


def _value(
    chance: np.random.Generator, wanted: Chance, neutral: float, n: int, *, together: bool = False
) -> NDArray[np.float64]:
    """n values, each drawn with its own luck, or all with the same (`together`)."""
    luck, values = chance.random(n), chance.uniform(wanted.low, wanted.high, n)
    if wanted.step:
        steps = round((wanted.high - wanted.low) / wanted.step)
        share = (values - wanted.low) / (wanted.high - wanted.low)
        values = wanted.low + wanted.step * np.floor(share * (steps + 1))
    return np.where((luck[:1] if together else luck) < wanted.probability, values, neutral)


def _inverse_matrices(parameters: Parameters, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """[B D D+1]: where each output voxel comes from, in the normalised x y z coordinates of `affine_grid`.

    With half extents H (diagonal, mm), rotation R, scale s, translation t:
    p_in = H^-1 (R^T / s) (H p_out - t), axes reversed.
    """
    half_mm = np.array(shape) * np.array(parameters.spacing_mm) / 2
    inverse = np.swapaxes(_rotations(np.radians(parameters.degrees)), 1, 2) / parameters.scale[:, None, None]
    matrices = (inverse / half_mm[:, None] * half_mm)[:, ::-1, ::-1]
    offsets = -(inverse @ parameters.translation_mm[:, :, None] / half_mm[:, None])[:, ::-1]
    return np.concatenate([matrices, offsets], axis=2)


def _rotations(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """[B D D] rotations: in 2D by one angle, in 3D about axis 0, then 1, then 2."""
    ndim = 2 if angles.shape[1] == 1 else 3
    planes = [(0, 1)] if ndim == 2 else [(1, 2), (2, 0), (0, 1)]
    turned = np.broadcast_to(np.eye(ndim), (len(angles), ndim, ndim))
    for column, (a, b) in enumerate(planes):
        step = np.tile(np.eye(ndim), (len(angles), 1, 1))
        cosine, sine = np.cos(angles[:, column]), np.sin(angles[:, column])
        step[:, a, a], step[:, a, b], step[:, b, a], step[:, b, b] = cosine, -sine, sine, cosine
        turned = step @ turned
    return turned


def _blurred(sample: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of [M *S] along every space axis, borders replicated."""
    reach = max(1, math.ceil(3 * sigma))
    steps = range(-reach, reach + 1)
    weights = np.exp(-0.5 * (np.array(steps) / sigma) ** 2)
    weights /= weights.sum()
    for axis in range(1, sample.ndim):
        voxels = torch.arange(sample.shape[axis], device=sample.device)
        shifted = (
            float(weight) * sample.index_select(axis, (voxels + step).clamp(0, len(voxels) - 1))
            for step, weight in zip(steps, weights, strict=True)
        )
        sample = torch.stack(list(shifted)).sum(0)
    return sample
