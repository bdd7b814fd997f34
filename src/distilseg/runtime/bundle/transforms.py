"""The transforms of a bundle's preprocessing that change something.

MONAI calls them Orientationd, Spacingd, CropForegroundd (`spatial.py`); ScaleIntensityRanged,
ScaleIntensityRangePercentilesd, NormalizeIntensityd and ScaleIntensityd (`intensity.py`), which it gives a
channel alone between a SplitDimd and a ConcatItemsd. What is read from a file is checked: it came from
whoever made it.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .intensity import Normalise, OfChannel, Scale, ScalePercentiles, ScaleRange
from .spatial import CropForeground, Orientation, Spacing

Transform = (
    Orientation | Spacing | CropForeground | ScaleRange | ScalePercentiles | Normalise | Scale | OfChannel
)
AnyTransform = Annotated[Transform, Field(discriminator="kind")]  # as a file spells one
