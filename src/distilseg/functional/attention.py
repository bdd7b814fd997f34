"""How far two networks attend to different places: normalised feature maps and their distance.

    AFS(F_s, F_t) = ‖ F_s / ‖F_s‖₁ − F_t / ‖F_t‖₁ ‖₂            per case over all elements, then the mean

"Interpolate the feature channel dimension" (Teach-Former, equation 1): maps of different networks have
different numbers of channels. How they are brought together:

    student_to_teacher   the student's channels, as a row, are interpolated linearly to the teacher's number
    teacher_to_student   the other way round
    channel_collapse     both become one map, the mean of squares over channels (Zagoruyko & Komodakis, 2017)

Interpolating channels is arbitrary in meaning and depends on their order; with equal numbers it changes
nothing. Where grids differ, the student's map is interpolated to the teacher's. A normalised map of 10⁷
elements holds 1e-7 each and the distance is 1e-4: float32 (float64 stays), also under autocast; the root is
guarded, so that equal maps have a gradient of 0 and no NaN.

With S = W F_s of the teacher's channels, a = ‖S‖₁, b = ‖F_t‖₁, d = S / a − F_t / b, D = ‖d‖₂ and c = Σ d S:

    ∂D/∂S = (d − sign(S) c / a) / (a D),        ∂D/∂F_s = Wᵀ ∂D/∂S

Three teachers have maps of ten times the student's channels at full resolution. Nothing of that size is made
or kept: forwards and backwards go through blocks of voxels that stay in a processor's cache. The teacher's
map gets no gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from .segmentation import in_full_precision

Matching = Literal["student_to_teacher", "teacher_to_student", "channel_collapse"]
DEAD = 1e-12  # ‖F‖₁ of a map that is 0 everywhere
ROOT = 1e-24  # below the square of any distance that float32 can tell
CLOSE = 1e-3  # D² in shares of ΣS² / a², below which it is summed anew
BLOCK = 2**18  # elements of S at a time on a processor


def attention_distance(
    student_BCs: Tensor, teacher_BCs: Tensor, matching: Matching = "student_to_teacher"
) -> Tensor:
    """AFS between two features [B C *s], whose channels and grids may differ; [] the mean over cases."""
    with torch.autocast(student_BCs.device.type, enabled=False):
        student, teacher = in_full_precision(student_BCs), teacher_BCs.detach()
        if matching == "channel_collapse":
            student, teacher = (
                in_full_precision(f).square().mean(1, keepdim=True) for f in (student, teacher)
            )
        if student.shape[2:] != teacher.shape[2:]:
            mode = {3: "linear", 4: "bilinear", 5: "trilinear"}[student.ndim]
            student = F.interpolate(student, teacher.shape[2:], mode=mode, align_corners=False)
        if matching == "teacher_to_student":
            teacher = with_channels(in_full_precision(teacher), student.shape[1])
        weights_DC = channel_weights(student.shape[1], teacher.shape[1], student)
        distance_B: Tensor = _Distance.apply(  # type: ignore[no-untyped-call]
            student.flatten(2), teacher.flatten(2), weights_DC
        )
        return distance_B.mean()


def with_channels(feature_BCs: Tensor, channels: int) -> Tensor:
    """[B C *s] -> [B channels *s], linear between neighbouring channels, ends aligned by their extents."""
    weights_DC = channel_weights(feature_BCs.shape[1], channels, feature_BCs)
    return feature_BCs if weights_DC is None else torch.einsum("dc,bc...->bd...", weights_DC, feature_BCs)


def channel_weights(before: int, after: int, like: Tensor) -> Tensor | None:
    """The matrix [after before] of that interpolation, in the type and place of `like`; None: no change."""
    if before == after:
        return None
    row_each = torch.eye(before, dtype=like.dtype, device=like.device)[None]
    weights_CD: Tensor = F.interpolate(row_each, after, mode="linear", align_corners=False)[0]
    return weights_CD.T


class _Distance(torch.autograd.Function):
    """‖ W F_s / ‖W F_s‖₁ − F_t / ‖F_t‖₁ ‖₂ of each case; F_s [B C N], F_t [B D N], W [D C] or None -> [B]."""

    @staticmethod
    def forward(ctx: Any, student_BCN: Tensor, teacher_BDN: Tensor, weights_DC: Tensor | None) -> Tensor:
        a_B, b_B, squares_B, c_B = _sums(student_BCN, teacher_BDN, weights_DC)
        distance_B: Tensor = (squares_B + ROOT).sqrt()
        ctx.save_for_backward(student_BCN, teacher_BDN, weights_DC, a_B, b_B, c_B, distance_B)
        return distance_B

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream_B: Tensor) -> tuple[Tensor, None, None]:
        student_BCN, teacher_BDN, weights_DC, a_B, b_B, c_B, distance_B = ctx.saved_tensors
        gradient_BCN = torch.empty_like(student_BCN)
        gradients = _blocks(gradient_BCN, teacher_BDN)
        for (case, student, teacher), (_, gradient, _) in zip(
            _blocks(student_BCN, teacher_BDN), gradients, strict=True
        ):
            share, difference = _difference(student, teacher, weights_DC, a_B[case], b_B[case])
            towards = difference.addcmul_(share.sign_(), c_B[case] / a_B[case], value=-1)
            scale = upstream_B[case] / (a_B[case] * distance_B[case])
            if weights_DC is None:
                torch.mul(towards, scale, out=gradient)
            else:
                torch.mm((weights_DC * scale).T, towards, out=gradient)
        return gradient_BCN, None, None


def _sums(
    student_BCN: Tensor, teacher_BDN: Tensor, weights_DC: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """a, b, D² and c of each case.

    One pass over the maps: D² = ΣS² / a² − 2 ΣS F_t / (a b) + ΣF_t² / b². Where they all but agree that
    difference of large numbers says nothing, and a second pass sums d².
    """
    sums = torch.zeros(5, len(student_BCN), dtype=torch.float64, device=student_BCN.device)
    a_B, b_B, ss_B, st_B, tt_B = sums
    for case, student, teacher in _blocks(student_BCN, teacher_BDN):
        matched = _matched(student, weights_DC)
        a_B[case] += matched.abs().sum()
        b_B[case] += teacher.abs().sum()
        flat, flat_teacher = matched.flatten(), teacher.flatten()
        ss_B[case] += torch.dot(flat, flat)
        st_B[case] += torch.dot(flat, flat_teacher)
        tt_B[case] += torch.dot(flat_teacher, flat_teacher)
    a_B += DEAD
    b_B += DEAD
    squares_B = ss_B / a_B**2 - 2 * st_B / (a_B * b_B) + tt_B / b_B**2
    c_B = ss_B / a_B - st_B / b_B
    kind = student_BCN.dtype
    a_B, b_B = a_B.to(kind), b_B.to(kind)
    if bool((squares_B < CLOSE * ss_B / a_B**2).any()):
        squares_B, c_B = torch.zeros_like(squares_B), torch.zeros_like(c_B)
        for case, student, teacher in _blocks(student_BCN, teacher_BDN):
            share, difference = _difference(student, teacher, weights_DC, a_B[case], b_B[case])
            squares_B[case] += torch.dot(difference.flatten(), difference.flatten())
            c_B[case] += torch.dot(difference.flatten(), share.flatten()) * a_B[case]
    return a_B, b_B, squares_B.to(kind), c_B.to(kind)


def _difference(
    student_CN: Tensor, teacher_DN: Tensor, weights_DC: Tensor | None, a: Tensor, b: Tensor
) -> tuple[Tensor, Tensor]:
    """S / a and d."""
    share = student_CN / a if weights_DC is None else (weights_DC / a) @ student_CN
    return share, share - teacher_DN / b


def _matched(student_CN: Tensor, weights_DC: Tensor | None) -> Tensor:
    return student_CN if weights_DC is None else weights_DC @ student_CN


def _blocks(student_BCN: Tensor, teacher_BDN: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Case, [C n] and [D n] of each block of voxels, the teacher's in the type of the student's."""
    _, channels, voxels = teacher_BDN.shape
    block = max(1, BLOCK // channels) if student_BCN.device.type == "cpu" else voxels
    for case, (student_CN, teacher_DN) in enumerate(zip(student_BCN, teacher_BDN, strict=True)):
        for start in range(0, voxels, block):
            here = slice(start, start + block)
            yield case, student_CN[:, here], teacher_DN[:, here].to(student_BCN.dtype)
