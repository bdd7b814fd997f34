"""What slabs and their vote gain over 3D networks that train as long."""

from __future__ import annotations

from ..figures import gains
from ..rows import Evidence


def draw(found: Evidence) -> dict[str, str]:
    return {"-3d": gains(found, "3D", "that of 3D in equal time")}
