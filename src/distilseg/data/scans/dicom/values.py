"""Values of a DICOM header as plain ones, or `Unusable`; runs in `process.py`."""

from __future__ import annotations

import math
from typing import Any

from pydicom import Dataset


class Unusable(Exception):
    """Why the planes of a file cannot be used, in words without a value from it."""


def numbers(value: Any, count: int, what: str) -> list[float]:
    """So many finite numbers."""
    try:
        numbers = [float(one) for one in value]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise Unusable(f"it does not say the {what} of its plane")
    return numbers


def number(value: Any, otherwise: float, what: str) -> float:
    """A finite number, or another one where none is said."""
    if value is None or value == "":
        return otherwise
    number = float(value)
    if not math.isfinite(number):
        raise Unusable(f"its {what} is no number")
    return number


def whole(dataset: Dataset, keyword: str) -> int | None:
    """A whole number, None where none is said."""
    value = dataset.get(keyword)
    return None if value is None or value == "" else int(value)


def text(value: Any) -> str:
    """As it is told apart by: numbers in one spelling."""
    if value is None or value == "":
        return ""
    if isinstance(value, str):
        return value.strip()
    try:
        return ",".join(f"{float(one):g}" for one in value)
    except TypeError:
        return f"{float(value):g}"
