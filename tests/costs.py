"""What stands for a measurement of costs where a test is about something else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from distilseg.export.cost import Model


def unmeasured(models: Sequence[Model], **options: Any) -> list[dict[str, Any]]:
    """As `cost.measure_costs`, whose processes would take seconds each."""
    return [{"parameters": 1} for _ in models]
