"""The transforms of a bundle's preprocessing that change the values of voxels, read: ScaleIntensityRanged,
ScaleIntensityRangePercentilesd, NormalizeIntensityd and ScaleIntensityd. What they do,
`runtime.bundle.intensity` says.
"""

from __future__ import annotations

from ...errors import UserError
from ...runtime.bundle.intensity import Normalise, Scale, ScalePercentiles, ScaleRange
from .components import META, numbers
from .config import WAY_OUT, Entry
from .transform import Transform, made


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

    return made(ScaleRange, component, a_min=a_min, a_max=a_max, b_min=b_min, b_max=b_max, clip=clip)


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

    return made(
        ScalePercentiles,
        component,
        lower=lower,
        upper=upper,
        b_min=b_min,
        b_max=b_max,
        clip=clip,
        by_channel=by_channel,
    )


def normalise(component: Entry, place: int) -> list[Transform]:
    """Of a `NormalizeIntensityd`."""
    component.only(("subtrahend", "divisor", "nonzero", "channel_wise"), META)
    nonzero = bool(component.argument("nonzero", False))
    by_channel = bool(component.argument("channel_wise", False))
    subtrahend, divisor = (
        None if (value := component.argument(name)) is None else numbers(component, name, value)
        for name in ("subtrahend", "divisor")
    )

    return made(
        Normalise,
        component,
        subtrahend=None if subtrahend is None else tuple(subtrahend),
        divisor=None if divisor is None else tuple(divisor),
        nonzero=nonzero,
        by_channel=by_channel,
    )


def scale(component: Entry, place: int) -> list[Transform]:
    """Of a `ScaleIntensityd`."""
    component.only(("minv", "maxv", "factor", "channel_wise"), META)
    if component.argument("factor") is not None:
        raise UserError(f"{component.where}: ScaleIntensityd with a factor is not read here", WAY_OUT)
    low, high = (
        numbers(component, n, component.argument(n, d))[0] for n, d in (("minv", 0.0), ("maxv", 1.0))
    )
    by_channel = bool(component.argument("channel_wise", False))

    return made(Scale, component, low=low, high=high, by_channel=by_channel)
