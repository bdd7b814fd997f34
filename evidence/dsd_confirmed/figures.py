"""What each way gained over plain training, dataset by dataset."""

from __future__ import annotations

from collections.abc import Mapping

from ..figures import gains
from ..rows import Evidence


def draw(found: Mapping[str, Evidence]) -> dict[str, str]:
    return {f"-{name}": gains(one, "control") for name, one in found.items()}
