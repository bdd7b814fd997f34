"""How far two networks attend to different places: normalised feature maps and their distance.

    AFS(F_s, F_t) = ‖ F_s / ‖F_s‖₁ − F_t / ‖F_t‖₁ ‖₂            per case over all elements, then the mean

"Interpolate the feature channel dimension" (Teach-Former, equation 1): maps of different networks have
different numbers of channels. How they are brought together:

    student_to_teacher   the student's channels, as a row, are interpolated linearly to the teacher's number
    teacher_to_student   the other way round
    channel_collapse     both become one map, the mean of squares over channels (Zagoruyko & Komodakis, 2017)

Interpolating channels is arbitrary in meaning and depends on their order; with equal numbers it changes
nothing. Where grids differ, the student's map is interpolated to the teacher's. A normalised map of 10⁷
elements holds 1e-7 each and the distance is 1e-4: float32 (float64 stays), also under autocast; the roots
are guarded, so that equal maps have a gradient of 0 and no NaN.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from .segmentation import in_full_precision

Matching = Literal["student_to_teacher", "teacher_to_student", "channel_collapse"]
DEAD = 1e-12  # ‖F‖₁ of a map that is 0 everywhere
ROOT = 1e-24  # below the square of any distance that float32 can tell


def attention_distance(
    student_BCs: Tensor, teacher_BCs: Tensor, matching: Matching = "student_to_teacher"
) -> Tensor:
    """AFS between two features [B C *s], whose channels and grids may differ; [] the mean over cases."""
    with torch.autocast(student_BCs.device.type, enabled=False):
        student, teacher = in_full_precision(student_BCs), in_full_precision(teacher_BCs)
        if matching == "channel_collapse":
            student, teacher = (f.square().mean(1, keepdim=True) for f in (student, teacher))
        if student.shape[2:] != teacher.shape[2:]:
            mode = {3: "linear", 4: "bilinear", 5: "trilinear"}[student.ndim]
            student = F.interpolate(student, teacher.shape[2:], mode=mode, align_corners=False)
        if matching == "student_to_teacher":
            student = with_channels(student, teacher.shape[1])
        elif matching == "teacher_to_student":
            teacher = with_channels(teacher, student.shape[1])
        difference_BN = _normalised(student) - _normalised(teacher)
        return (difference_BN.square().sum(1) + ROOT).sqrt().mean()


def with_channels(feature_BCs: Tensor, channels: int) -> Tensor:
    """[B C *s] -> [B channels *s], linear between neighbouring channels, ends aligned by their extents."""
    if feature_BCs.shape[1] == channels:
        return feature_BCs
    row_BNC = feature_BCs.flatten(2).transpose(1, 2)
    matched_BNC = F.interpolate(row_BNC, channels, mode="linear", align_corners=False)
    return matched_BNC.transpose(1, 2).reshape(len(feature_BCs), channels, *feature_BCs.shape[2:])


def _normalised(feature_BCs: Tensor) -> Tensor:
    """F / ‖F‖₁, flattened [B N]."""
    flat_BN = feature_BCs.flatten(1)
    return flat_BN / (flat_BN.abs().sum(1, keepdim=True) + DEAD)
