"""A volume on another number of voxels over the same extent: linear, cubic, or a label map by its classes.

Voxel i of n fine ones is centred at

    x = (i + 1/2) · coarse / fine − 1/2,    w = x − ⌊x⌋,    fine[i] = (1 − w) coarse[⌊x⌋] + w coarse[⌊x⌋ + 1]

and the border is replicated. The linear one needs NumPy alone and runs in several threads: interpolation in
three axes is the product of three in one axis each, so every axis costs two reads a voxel instead of the
eight of all at once; the result does not depend on the threads. The other two are ITK's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from ...functional.threads import shared
from .grid import Array, Shape

_PLANES = 16  # of the result, in one piece of work


def resample(image: Array, shape: Shape, interpolation: str = "linear") -> NDArray[np.float32]:
    """Image [*s] -> [*shape] over the same extent, "linear" or "cubic" (B-spline), borders replicated."""
    if interpolation == "linear":
        return resample_linear(image, shape)
    if image.shape == shape:
        return np.ascontiguousarray(image, np.float32)
    try:
        import SimpleITK as sitk
    except ImportError:
        raise UserError(
            "the plan asks for cubic interpolation, which SimpleITK does", "pip install SimpleITK"
        ) from None
    return _resample_itk(np.ascontiguousarray(image, np.float32), shape, sitk.sitkBSpline)


def resample_linear(image: NDArray[Any], shape: Sequence[int]) -> NDArray[np.float32]:
    """`image` [*s] of any number type -> float32 [*shape] over the same extent."""
    shape = tuple(shape)
    if image.shape == shape:
        return np.ascontiguousarray(image, np.float32)
    lower, upper, weight = sources(image.shape[0], shape[0])
    resampled = np.empty(shape, np.float32)

    def fill(planes: slice) -> None:
        first, last = int(lower[planes.start]), int(upper[planes.stop - 1])
        part = image[planes] if len(image) == shape[0] else image[first : last + 1]
        part = np.ascontiguousarray(part, np.float32)  # a scan is never held as floats whole
        for axis in range(1, len(shape)):
            if part.shape[axis] != shape[axis]:
                part = _mixed(part, axis, *sources(part.shape[axis], shape[axis]))
        if len(image) != shape[0]:
            part = _mixed(part, 0, lower[planes] - first, upper[planes] - first, weight[planes])
        resampled[planes] = part

    pieces = [slice(i, min(i + _PLANES, shape[0])) for i in range(0, shape[0], _PLANES)]
    shared(fill, pieces, max(image.size, resampled.size))
    return resampled


def resample_labels(classes: NDArray[np.uint8], shape: Shape) -> NDArray[np.uint8]:
    """Class indices [*s] -> [*shape]: the class whose linearly interpolated indicator is largest.

    Smoother than the nearest voxel, whose borders are jagged. On its own grid it stays as it is, without ITK.
    """
    if classes.shape == shape:
        return np.ascontiguousarray(classes)
    import SimpleITK as sitk

    return _resample_itk(np.ascontiguousarray(classes), shape, sitk.sitkLabelLinear)


def sources(coarse: int, fine: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """For each fine voxel: the coarse ones at either side, and the share of the upper."""
    x = ((np.arange(fine) + 0.5) * (coarse / fine) - 0.5).clip(0, coarse - 1)
    lower = np.floor(x).astype(np.int64)
    return lower, np.minimum(lower + 1, coarse - 1), (x - lower).astype(np.float32)


def _mixed(
    part: NDArray[np.float32],
    axis: int,
    lower: NDArray[np.int64],
    upper: NDArray[np.int64],
    weight: NDArray[np.float32],
) -> NDArray[np.float32]:
    below, mixed = part.take(lower, axis), part.take(upper, axis)
    mixed -= below
    mixed *= weight.reshape([-1 if n == axis else 1 for n in range(part.ndim)])
    mixed += below
    return mixed


def _resample_itk(array: Array, shape: Shape, kind: int) -> Array:
    import SimpleITK as sitk

    # Unit input spacing; ITK names axes in the opposite order. Output voxel i is centred at input index
    # (i + 1/2) * step - 1/2, which never leaves the input's extent; there ITK replicates the border.
    step = [old / new for old, new in zip(array.shape[::-1], shape[::-1], strict=True)]
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize([int(size) for size in shape[::-1]])
    resampler.SetOutputSpacing(step)
    resampler.SetOutputOrigin([size / 2 - 0.5 for size in step])
    resampler.SetInterpolator(kind)
    resampled: Array = sitk.GetArrayFromImage(resampler.Execute(sitk.GetImageFromArray(array)))
    return resampled
