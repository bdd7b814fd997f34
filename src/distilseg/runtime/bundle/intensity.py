"""The transforms of a bundle's preprocessing that change the values of voxels, as values that can be applied.

ScaleRange          (x - a_min) / (a_max - a_min) (b_max - b_min) + b_min, clipped to b where asked
ScalePercentiles    the same of two percentiles
Normalise           (x - mean) / std, of voxels other than 0, by channel, where asked
Scale               min ... max of the whole, or by channel, to minv ... maxv
OfChannel           one of these, of a single channel
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from ...errors import UserError
from .shown import Shown
from .strict import STRICT, Finite


@dataclass(config=STRICT)
class ScaleRange:
    """a_min ... a_max to b_min ... b_max, or to 0 ... 1."""

    a_min: Finite
    a_max: Finite
    b_min: Finite | None = None
    b_max: Finite | None = None
    clip: bool = False
    kind: Literal["scale_range"] = "scale_range"

    def __post_init__(self) -> None:
        if self.a_min == self.a_max:
            raise ValueError(f"a range from {self.a_min} to {self.a_max} is none")

    def __call__(self, state: Shown, case: str) -> Shown:
        """The scans so scaled."""
        b_min, b_max = self.b_min, self.b_max
        x = (state.image - np.float32(self.a_min)) / np.float32(self.a_max - self.a_min)
        if b_min is not None and b_max is not None:
            x = x * np.float32(b_max - b_min) + np.float32(b_min)
        if self.clip and (b_min is not None or b_max is not None):
            x = np.clip(x, b_min, b_max)
        return replace(state, image=x.astype(np.float32, copy=False))


@dataclass(config=STRICT)
class ScalePercentiles:
    """Two percentiles to b_min and b_max; where they are equal, to 0 and b_min."""

    lower: Annotated[float, Field(ge=0, le=100)]
    upper: Annotated[float, Field(ge=0, le=100)]
    b_min: Finite
    b_max: Finite
    clip: bool = False
    by_channel: bool = False
    kind: Literal["scale_percentiles"] = "scale_percentiles"

    def __post_init__(self) -> None:
        if self.lower >= self.upper:
            raise ValueError(f"percentiles from {self.lower:g} to {self.upper:g}")

    def __call__(self, state: Shown, case: str) -> Shown:
        """The scans so scaled."""
        image = state.image.copy()
        for x in image if self.by_channel else [image]:
            low, high = np.percentile(x, (self.lower, self.upper))
            x -= np.float32(low)
            if high > low:
                x /= np.float32(high - low)
                x *= np.float32(self.b_max - self.b_min)
            x += np.float32(self.b_min)
            if self.clip:
                np.clip(x, self.b_min, self.b_max, out=x)
        return replace(state, image=image)


@dataclass(config=STRICT)
class Normalise:
    """Mean 0 and standard deviation 1, or by numbers that are given; a deviation of 0 counts as 1."""

    subtrahend: tuple[Finite, ...] | None = None
    divisor: tuple[Finite, ...] | None = None
    nonzero: bool = False
    by_channel: bool = False
    kind: Literal["normalise"] = "normalise"

    def __call__(self, state: Shown, case: str) -> Shown:
        """The scans so scaled."""
        image = state.image.copy()
        parts = [image[n] for n in range(len(image))] if self.by_channel else [image]
        for given in (self.subtrahend, self.divisor):
            if given is not None and len(given) != len(parts):
                raise UserError(
                    f"case {case}: the bundle normalises by {len(given)} values, not {len(parts)}",
                    "repair the bundle",
                )
        for n, x in enumerate(parts):
            inside = x != 0 if self.nonzero else np.ones(x.shape, bool)
            if inside.any():
                seen = x[inside]
                mean = seen.mean(dtype=np.float64) if self.subtrahend is None else self.subtrahend[n]
                std = seen.std(dtype=np.float64) if self.divisor is None else self.divisor[n]
                x[inside] = (seen - np.float32(mean)) / np.float32(std if std != 0 else 1.0)
        return replace(state, image=image)


@dataclass(config=STRICT)
class Scale:
    """min ... max to low ... high."""

    low: Finite = 0.0
    high: Finite = 1.0
    by_channel: bool = False
    kind: Literal["scale"] = "scale"

    def __call__(self, state: Shown, case: str) -> Shown:
        """The scans so scaled."""
        image = state.image.copy()
        for x in image if self.by_channel else [image]:
            least, most = x.min(), x.max()
            if least == most:
                x *= np.float32(self.low)
            else:
                x[...] = (x - least) / (most - least) * np.float32(self.high - self.low) + np.float32(
                    self.low
                )
        return replace(state, image=image)


Intensity = Annotated[ScaleRange | ScalePercentiles | Normalise | Scale, Field(discriminator="kind")]


@dataclass(config=STRICT)
class OfChannel:
    """One channel alone, by another transform."""

    channel: Annotated[int, Field(ge=0)]
    by: Intensity
    kind: Literal["of_channel"] = "of_channel"

    def __call__(self, state: Shown, case: str) -> Shown:
        """The scans, that one so scaled."""
        if self.channel >= len(state.image):
            raise UserError(
                f"case {case}: the image has no channel {self.channel}, the bundle scales that",
                "repair the bundle",
            )
        image = state.image.copy()
        one = slice(self.channel, self.channel + 1)
        image[one] = self.by(replace(state, image=image[one]), case).image
        return replace(state, image=image)
