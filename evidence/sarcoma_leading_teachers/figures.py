"""What each taught student gained over its control."""

from __future__ import annotations

from ..figures import gains
from ..rows import Evidence


def draw(found: Evidence) -> dict[str, str]:
    return {"": gains(found, "control")}
