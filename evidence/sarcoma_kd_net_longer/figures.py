"""What each student of CT gained over the untaught one."""

from __future__ import annotations

from ..figures import gains
from ..rows import Evidence


def draw(found: Evidence) -> dict[str, str]:
    return {"": gains(found, "control")}
