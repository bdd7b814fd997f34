"""How far two surfaces lie apart: HD, HD95, ASSD and an NSD that counts voxels.

The surface S of a mask is its voxels with a face neighbour outside (the mask less its erosion by the
6-neighbourhood, in 2D the 4-neighbourhood), as in MONAI; beyond the image there is nothing, so a mask that
touches the border has surface there. With d(x, S) the distance in mm from the centre of voxel x to the
nearest centre in S, and the two sets of directed distances

    D_P = {d(x, S_R) : x in S_P}        D_R = {d(x, S_P) : x in S_R}

    HD   = max(max D_P, max D_R)                        Huttenlocher et al., 1993
    HD95 = max(percentile_95 D_P, percentile_95 D_R)    as MONAI; others pool D_P and D_R first
    ASSD = mean of D_P and D_R pooled                   as MONAI; others average the two means
    NSD  = share of D_P and D_R pooled <= tolerance     MONAI's compute_surface_dice; here `nsd_voxel`

Percentiles interpolate linearly between distances. The distances are computed once and serve all four. The
NSD of DeepMind's surface-distance weighs by area and has its own, finer surface: `surface_elements.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .nearest import Floats, nearest_mm
from .overlap import Mask

# Distances carry rounding errors; one that equals the tolerance counts as within it.
ROUNDING = 1e-6


@dataclass(frozen=True)
class SurfaceDistances:
    """Directed distances in mm between two surfaces that both exist."""

    from_prediction: Floats  # [N] one per surface voxel of the prediction, unordered
    from_reference: Floats  # [n]


def surface_voxels(mask: Mask) -> Mask:
    """The voxels of a mask [*S] that have a face neighbour outside. Its margin must be empty."""
    centre = (slice(1, -1),) * mask.ndim
    surface = mask.copy()
    inside = mask[centre].copy()
    for axis in range(mask.ndim):
        for shifted in (slice(None, -2), slice(2, None)):
            inside &= mask[(*centre[:axis], shifted, *centre[axis + 1 :])]
    surface[centre] ^= inside
    return surface


def surface_distances(reference: Mask, prediction: Mask, spacing_mm: Sequence[float]) -> SurfaceDistances:
    """The distances between two masks [*S], neither empty, each with an empty margin of one voxel."""
    reference, prediction = surface_voxels(reference), surface_voxels(prediction)
    return SurfaceDistances(
        from_prediction=nearest_mm(prediction, reference, spacing_mm),
        from_reference=nearest_mm(reference, prediction, spacing_mm),
    )


def hd(distances: SurfaceDistances) -> float:
    """Hausdorff distance in mm: the largest distance from either surface to the other."""
    return float(max(distances.from_prediction.max(), distances.from_reference.max()))


def hd95(distances: SurfaceDistances) -> float:
    """The larger of the two directed 95th percentiles, in mm."""
    return float(
        max(np.percentile(distances.from_prediction, 95), np.percentile(distances.from_reference, 95))
    )


def assd(distances: SurfaceDistances) -> float:
    """Average symmetric surface distance in mm, over the voxels of both surfaces."""
    both = distances.from_prediction, distances.from_reference
    return float(sum(d.sum() for d in both) / sum(d.size for d in both))


def nsd_voxel(distances: SurfaceDistances, tolerance_mm: float) -> float:
    """Share of the surface voxels of both masks within the tolerance of the other surface."""
    both = distances.from_prediction, distances.from_reference
    limit_mm = tolerance_mm * (1 + ROUNDING)
    return float(sum(np.count_nonzero(d <= limit_mm) for d in both) / sum(d.size for d in both))
