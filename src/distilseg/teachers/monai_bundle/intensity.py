"""The transforms of a bundle's preprocessing that change the values of voxels.

    ScaleIntensityRanged       (x - a_min) / (a_max - a_min) (b_max - b_min) + b_min, clipped to b where asked
    NormalizeIntensityd        (x - mean) / std, of voxels other than 0, by channel, where asked
    ScaleIntensityd            min ... max of the whole, or by channel, to minv ... maxv
    ScaleIntensityRangePercentilesd    the same of two percentiles

Moments are MONAI's own, in float32.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...errors import UserError
from .components import META, numbers
from .config import WAY_OUT, Entry
from .shown import Shown, Transform, Volume


def scale_range(component: Entry, place: int) -> list[Transform]:
    """Of a `ScaleIntensityRanged`."""
    component.only(("a_min", "a_max", "b_min", "b_max", "clip"), META)
    a_min, a_max, b_min, b_max = (
        None if (value := component.argument(name)) is None else numbers(component, name, value)[0]
        for name in ("a_min", "a_max", "b_min", "b_max")
    )
    clip = bool(component.argument("clip", False))
    if a_min is None or a_max is None or a_min == a_max:
        raise UserError(f"{component.where}: a range from {a_min} to {a_max} is none", "repair the bundle")

    def scaled(state: Shown, case: str) -> Shown:
        x = (state.image - np.float32(a_min)) / np.float32(a_max - a_min)
        if b_min is not None and b_max is not None:
            x = x * np.float32(b_max - b_min) + np.float32(b_min)
        if clip and (b_min is not None or b_max is not None):
            x = np.clip(x, b_min, b_max)
        return replace(state, image=x.astype(np.float32, copy=False))

    return [scaled]


def normalise(component: Entry, place: int) -> list[Transform]:
    """Of a `NormalizeIntensityd`."""
    component.only(("subtrahend", "divisor", "nonzero", "channel_wise"), META)
    nonzero = bool(component.argument("nonzero", False))
    by_channel = bool(component.argument("channel_wise", False))
    subtrahend, divisor = (
        None if (value := component.argument(name)) is None else numbers(component, name, value)
        for name in ("subtrahend", "divisor")
    )

    def normalised(state: Shown, case: str) -> Shown:
        image = state.image.copy()
        parts = [image[n] for n in range(len(image))] if by_channel else [image]
        for given in (subtrahend, divisor):
            if given is not None and len(given) != len(parts):
                raise UserError(
                    f"{component.where}: NormalizeIntensityd has {len(given)} values, not {len(parts)}",
                    "repair the bundle",
                )
        for n, x in enumerate(parts):
            inside = x != 0 if nonzero else np.ones(x.shape, bool)
            if inside.any():
                mean, std = (None if given is None else given[n] for given in (subtrahend, divisor))
                x[inside] = _standardised(x[inside], mean, std)
        return replace(state, image=image)

    return [normalised]


def scale(component: Entry, place: int) -> list[Transform]:
    """Of a `ScaleIntensityd`."""
    component.only(("minv", "maxv", "factor", "channel_wise"), META)
    if component.argument("factor") is not None:
        raise UserError(f"{component.where}: ScaleIntensityd with a factor is not read here", WAY_OUT)
    low, high = (
        numbers(component, n, component.argument(n, d))[0] for n, d in (("minv", 0.0), ("maxv", 1.0))
    )
    by_channel = bool(component.argument("channel_wise", False))

    def scaled(state: Shown, case: str) -> Shown:
        image = state.image.copy()
        for x in image if by_channel else [image]:
            least, most = x.min(), x.max()
            if least == most:
                x *= np.float32(low)
            else:
                x[...] = (x - least) / (most - least) * np.float32(high - low) + np.float32(low)
        return replace(state, image=image)

    return [scaled]


def scale_percentiles(component: Entry, place: int) -> list[Transform]:
    """Of a `ScaleIntensityRangePercentilesd`."""
    component.only(("lower", "upper", "b_min", "b_max", "clip", "relative", "channel_wise"), META)
    if component.argument("relative", False):
        raise UserError(f"{component.where}: percentiles that are relative are not read here", WAY_OUT)
    lower, upper, b_min, b_max = (
        numbers(component, name, component.argument(name))[0] for name in ("lower", "upper", "b_min", "b_max")
    )
    if not 0 <= lower < upper <= 100:
        raise UserError(f"{component.where}: percentiles from {lower} to {upper}", "repair the bundle")
    clip, by_channel = (bool(component.argument(name, False)) for name in ("clip", "channel_wise"))

    def scaled(state: Shown, case: str) -> Shown:
        image = state.image.copy()
        for x in image if by_channel else [image]:
            low, high = np.percentile(x, (lower, upper))
            x -= np.float32(low)
            if high > low:
                x /= np.float32(high - low)
                x *= np.float32(b_max - b_min)
            x += np.float32(b_min)
            if clip:
                np.clip(x, b_min, b_max, out=x)
        return replace(state, image=image)

    return [scaled]


def _standardised(x: Volume, mean: float | None, std: float | None) -> Volume:
    """(x - mean) / std, both of `x` where they are not given; a standard deviation of 0 counts as 1."""
    import torch

    values = torch.from_numpy(np.ascontiguousarray(x))
    mean = float(values.mean()) if mean is None else mean
    std = float(values.std(unbiased=False)) if std is None else std
    return (x - np.float32(mean)) / np.float32(std if std != 0 else 1.0)
