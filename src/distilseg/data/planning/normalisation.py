"""How a plan says that intensities are scaled; `data/preparing/normalise.py` does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from ...records import Limits, Record

Finite = Annotated[float, Limits(allow_inf_nan=False)]

NormalisationKind = Literal[
    "window_zscore",
    "zscore",
    "zscore_damped",
    "zscore_nonzero",
    "minmax",
    "maximum",
    "range",
    "range_zscore_nonzero",
    "percentile",
    "none",
]
KINDS: tuple[str, ...] = get_args(NormalisationKind)

_NEEDS: Mapping[str, tuple[str, ...]] = {
    "window_zscore": ("low", "high", "mean", "std"),
    "range": ("low", "high"),
    "range_zscore_nonzero": ("low", "high"),
}

# Kinds by which an intensity becomes the same number in every image.
SCALES = ("window_zscore", "range", "none")


@dataclass(frozen=True, kw_only=True)
class Normalisation(Record):
    """Of one modality: the kind, and the numbers that it needs."""

    kind: NormalisationKind
    low: Finite | None = None
    high: Finite | None = None
    mean: Finite | None = None
    std: Annotated[float, Limits(gt=0, allow_inf_nan=False)] | None = None

    def scaled(self, value: float) -> float:
        """What becomes of an intensity, where that is the same in every image: of a kind in `SCALES`."""
        match self.kind:
            case "window_zscore":
                assert self.mean is not None  # by the schema, as below
                assert self.std is not None
                return (value - self.mean) / self.std
            case "range":
                assert self.low is not None
                assert self.high is not None
                return (value - self.low) / (self.high - self.low)
        return value

    def clipped(self, value: float) -> float:
        """What is left of an intensity where images are cut off at both ends before they are scaled."""
        if self.kind == "none" or self.low is None or self.high is None:
            return value
        return min(max(value, self.low), self.high)

    def check(self) -> None:
        """Raises ValueError where a kind lacks what it needs, or its range is none."""
        missing = [name for name in _NEEDS.get(self.kind, ()) if getattr(self, name) is None]
        if missing:
            raise ValueError(f"kind {self.kind} needs {', '.join(missing)}")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low {self.low:g} must be below high {self.high:g}")
