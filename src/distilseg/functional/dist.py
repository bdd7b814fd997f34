"""Prototypes of classes, and how far two sets of them are from being proportional.

    z_k(X, y) = Σ_i X_i [y_i = k] / Σ_i [y_i = k]                 the centroid of class k      (equation 1)
    d(a, b)   = 1 − cov(a, b) / √(max(var a, ε) max(var b, ε))    1 − Pearson's correlation    (equation 2)
    inter     = mean over b of  mean_k d(Z_s[b, k, :], Z_t[k, :])         a class's vector     (equation 3)
    intra     = mean over b of  mean_c d(Z_s[b, :, c], Z_t[:, c])         a channel's vector   (equation 4)

The extended DIST loss (Huang et al., arXiv 2205.10536, compares a batch's softmaxes instead). ε, a floor of
the variances, gives a constant vector d = 1 and a gradient that is bounded, where ε added to a product of
norms would give one of 10⁷. A class that an image lacks has no centroid: it is left out of its means, not
taken for 0. Two numbers always correlate by ±1, so intra needs three classes. A mean runs over the images
that have anything to compare; where none has, the value is 0.

Float32 (float64 stays), also under autocast. Axes: B images, K classes, C channels, N pixels.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from .segmentation import in_full_precision, one_hot

Resize = Literal["features", "label"]
FLOOR = 1e-6  # ε, of a variance
ROWS_OF_INTRA = 3


def class_sums(feature_BCs: Tensor, label_B1S: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Σ_i X_i [y_i = k] as [B K C] and Σ_i [y_i = k] as [B K], for a feature and a label of one grid.

    Labels at or above `classes` raise ValueError.
    """
    if feature_BCs.shape[2:] != label_B1S.shape[2:]:
        raise ValueError(f"a feature of {list(feature_BCs.shape)} and a label of {list(label_B1S.shape)}")
    feature_BCN = in_full_precision(feature_BCs).flatten(2)
    member_BKN = one_hot(label_B1S, classes, like=feature_BCN).flatten(2)
    return torch.einsum("bkn,bcn->bkc", member_BKN, feature_BCN), member_BKN.sum(2)


def class_centroids(
    feature_BCs: Tensor, label_B1S: Tensor, classes: int, *, resize: Resize = "features"
) -> tuple[Tensor, Tensor]:
    """Centroids [B K C], and which classes are present [B K]; an absent class's centroid is 0.

    Where the grids differ, the features are enlarged to the label linearly, or the label is taken at the
    features' nearest pixels.
    """
    with torch.autocast(feature_BCs.device.type, enabled=False):
        feature_BCs = in_full_precision(feature_BCs)
        if feature_BCs.shape[2:] != label_B1S.shape[2:]:
            if resize == "label":
                nearest = F.interpolate(label_B1S.float(), feature_BCs.shape[2:], mode="nearest-exact")
                label_B1S = nearest.to(label_B1S.dtype)
            else:
                mode = {3: "linear", 4: "bilinear", 5: "trilinear"}[feature_BCs.ndim]
                feature_BCs = F.interpolate(feature_BCs, label_B1S.shape[2:], mode=mode, align_corners=False)
        sums_BKC, pixels_BK = class_sums(feature_BCs, label_B1S, classes)
        return sums_BKC / pixels_BK.clamp(min=1)[..., None], pixels_BK > 0


def inter_class(student_BKC: Tensor, teacher_KC: Tensor, rows_BK: Tensor, floor: float = FLOOR) -> Tensor:
    """Equation 3 over the classes that `rows_BK` [B K] allows; []. `teacher_KC` [K C] is of all images."""
    every_C = torch.ones(teacher_KC.shape[1], dtype=torch.bool, device=rows_BK.device)
    distance_BK = correlation_distance(student_BKC, teacher_KC, every_C, floor)
    return _mean_of_means(distance_BK, rows_BK)


def intra_class(student_BKC: Tensor, teacher_KC: Tensor, rows_BK: Tensor, floor: float = FLOOR) -> Tensor:
    """Equation 4: each channel across the classes of `rows_BK`, of images that have three or more; []."""
    distance_BC = correlation_distance(student_BKC.mT, teacher_KC.mT, rows_BK[:, None], floor)
    enough_B1 = rows_BK.sum(1, keepdim=True) >= ROWS_OF_INTRA
    return _mean_of_means(distance_BC, enough_B1.expand_as(distance_BC))


def flat_distance(student_BKC: Tensor, teacher_KC: Tensor, rows_BK: Tensor, floor: float = FLOOR) -> Tensor:
    """d of the matrices as single vectors, over the classes of `rows_BK`; the mean over images, []."""
    kept_BJ = rows_BK[..., None].expand_as(student_BKC).flatten(1)
    distance_B = correlation_distance(student_BKC.flatten(1), teacher_KC.flatten(), kept_BJ, floor)
    return _mean_of_means(distance_B[:, None], rows_BK.any(1, keepdim=True))


def correlation_distance(x: Tensor, y: Tensor, kept: Tensor, floor: float = FLOOR) -> Tensor:
    """d along the last axis, over the entries that `kept` (bool) allows; the shapes are broadcast.

    1 where either vector is constant, or nothing is kept.
    """
    with torch.autocast(x.device.type, enabled=False):
        x, y = in_full_precision(x), in_full_precision(y)
        share = kept.to(x.dtype)
        share = share / share.sum(-1, keepdim=True).clamp(min=1)
        x, y = ((one - (share * one).sum(-1, keepdim=True)) for one in (x, y))
        variances = [(share * one.square()).sum(-1).clamp(min=floor).sqrt() for one in (x, y)]
        return 1 - (share * x * y).sum(-1) / (variances[0] * variances[1])


def _mean_of_means(values_BJ: Tensor, kept_BJ: Tensor) -> Tensor:
    """The mean over j of each image's kept values, then over the images that have any; 0 where none has."""
    share_BJ = kept_BJ.to(values_BJ.dtype)
    share_BJ = share_BJ / share_BJ.sum(1, keepdim=True).clamp(min=1)
    images = kept_BJ.any(1).sum().clamp(min=1)
    return (values_BJ * share_BJ).sum() / images
