"""What slabs, their parts and their vote gain over what they stand beside."""

from __future__ import annotations

from ..figures import gains
from ..rows import Evidence


def draw(found: Evidence) -> dict[str, str]:
    return {"-3d": gains(found, "3D")}
