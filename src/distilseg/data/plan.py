"""The plan: how the scans of a dataset are prepared and cut, decided once and saved as JSON people can edit.

A fingerprint is measured, a plan is decided: orientation, spacing, cropping, normalisation by modality,
patch, batch size and the strides of the network's levels, each with the reason why. `make_plan` decides,
`check_plan` refuses what cannot work, `save_plan` and `load_plan` keep it. Axes are those of the oriented
volume, I J K.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import UserError
from ..files import write_text
from .readable import readable_json

NormalisationKind = Literal[
    "window_zscore",
    "zscore",
    "zscore_nonzero",
    "minmax",
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

PositiveMm = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Positive = Annotated[int, Field(gt=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Normalisation(BaseModel):
    """How the intensities of one modality are scaled; `data/normalise.py` explains and applies each kind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: NormalisationKind
    low: Finite | None = None
    high: Finite | None = None
    mean: Finite | None = None
    std: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _complete(self) -> Normalisation:
        missing = [name for name in _NEEDS.get(self.kind, ()) if getattr(self, name) is None]
        if missing:
            raise ValueError(f"kind {self.kind} needs {', '.join(missing)}")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low {self.low:g} must be below high {self.high:g}")
        return self


class Plan(BaseModel):
    """Everything decided about a dataset before training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    modalities: Annotated[tuple[str, ...], Field(min_length=1)]  # order of the image channels
    labels: dict[int, str]  # value in the label maps -> name
    orientation: str = "RAS"
    spacing_mm: tuple[PositiveMm, ...]
    interpolation: Literal["linear", "cubic"] = "linear"  # of images; label maps take the nearest
    crop: Literal["none", "nonzero"] = "none"
    normalisation: dict[str, Normalisation]  # by modality
    patch: tuple[Positive, ...]  # voxels
    batch_size: Positive = 2
    strides: Annotated[tuple[tuple[Positive, ...], ...], Field(min_length=1)]  # per level, the first all 1
    reasons: dict[str, str] = {}  # field -> why it was decided so

    @property
    def label_values(self) -> tuple[int, ...]:
        """Label values in ascending order; class index k stands for the k-th of them."""
        return tuple(sorted(self.labels))

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names by class index, background first."""
        return tuple(self.labels[value] for value in self.label_values)

    @property
    def total_stride(self) -> tuple[int, ...]:
        """By how much the bottleneck is coarser than the patch, per axis."""
        return tuple(math.prod(axis) for axis in zip(*self.strides, strict=True))

    def preprocessing(self) -> dict[str, Any]:
        """What changes preprocessed voxels, and only that: the key of the cache."""
        return {
            "modalities": list(self.modalities),
            "label_values": list(self.label_values),
            "orientation": self.orientation,
            "spacing_mm": list(self.spacing_mm),
            "interpolation": self.interpolation,
            "crop": self.crop,
            "normalisation": {
                name: self.normalisation[name].model_dump(exclude_none=True) for name in self.modalities
            },
        }


def save_plan(path: Path, plan: Plan) -> None:
    """Writes the plan as JSON, short lists on one line."""
    write_text(path, readable_json(plan.model_dump(mode="json", exclude_none=True)) + "\n")


def load_plan(path: Path) -> Plan:
    """Reads a plan; an edit that makes no sense is refused in one line that names the field."""
    try:
        return Plan.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise UserError(f"no plan at {path}", "make one with `distilseg plan`") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not valid JSON (line {error.lineno}: {error.msg})", "repair it") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UserError(
            f"{path}: {field}: {first['msg']}, not {first['input']!r}", "edit that field"
        ) from None
