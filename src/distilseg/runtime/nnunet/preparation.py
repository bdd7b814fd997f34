"""What an nnU-Net configuration does to a scan, as values; and the preparation.json of an artefact.

Axes are nnU-Net's: those of the array z y x, moved by `transpose`; a 2D configuration works slice by slice
along the first of them.

    Resampling, Channel, Preparation    of one configuration, as its plans say
    Stage                               a network with its preparation; a cascade has two
    Way                                 what preparation.json holds: stages, and the scans that they see

Each value is checked when it is read: an artefact's files came from whoever made it.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from ...data.scans.scan import axis_order
from ...errors import UserError
from ..artefact import Member
from ..preparation_file import PreparationFile

Normalisation = Literal[
    "CTNormalization",
    "ZScoreNormalization",
    "RescaleTo01Normalization",
    "RGBTo01Normalization",
    "NoNormalization",
]
Answers = Literal["classes", "regions"]  # of which one holds; that overlap
MOST_VOXELS = 2**28  # of a patch; large ones of nnU-Net have 2**23
LEAST_STEP = 1 / 16  # 4096 windows look at one voxel: below it a prediction ends in weeks

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[int, Field(gt=0)]
PositiveMm = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Order = Annotated[int, Field(ge=0, le=5)]
LabelValue = Annotated[int, Field(ge=0, lt=2**16)]
_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_STRICT)
class Resampling:
    """One of a configuration's three resampling functions with its arguments."""

    kind: Literal["spline", "linear", "none"]
    order: Order = 1  # of the spline
    order_across: Order = 0  # across the coarse axis, where that is treated separately; 0: the nearest slice
    separate: bool | None = None  # the coarse axis; None: where it is coarse enough
    ratio: Finite = 3.0  # of the spacings, above which it is


@dataclass(frozen=True, config=_STRICT)
class Channel:
    """How one image channel is normalised; the numbers are those of the foreground in training."""

    scheme: Normalisation
    masked: bool  # over the body alone
    low: Finite = 0.0  # percentile 0.5
    high: Finite = 0.0  # percentile 99.5
    mean: Finite = 0.0
    std: Finite = 0.0


@dataclass(frozen=True, config=_STRICT)
class Preparation:
    """What one configuration does to a scan on the way to its network, and on the way back."""

    patch: tuple[Positive, ...]  # 2 or 3 axes
    spacing: tuple[PositiveMm, ...]  # mm, as many axes as the patch
    transpose: tuple[int, int, int]  # working axis a is the array's axis transpose[a]
    channels: Annotated[tuple[Channel, ...], Field(min_length=1)]
    image: Resampling
    labels: Resampling
    logits: Resampling

    @model_validator(mode="after")
    def _sensible(self) -> Preparation:
        if len(self.patch) not in (2, 3) or len(self.spacing) != len(self.patch):
            raise ValueError("patch and spacing have two or three axes, both as many")
        if math.prod(self.patch) > MOST_VOXELS:
            raise ValueError(f"no memory holds a patch of {list(self.patch)} voxels")
        if sorted(self.transpose) != [0, 1, 2]:
            raise ValueError(f"transpose {list(self.transpose)} is no order of three axes")
        return self


class Stage(BaseModel):
    """A network, what it is shown and what its logits are of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: Member  # its file
    preparation: Preparation
    answers: Answers
    paints: Annotated[tuple[LabelValue, ...], Field(min_length=1)]  # label value that logit k is given
    foreground: tuple[LabelValue, ...] = ()  # of the stage before: each label value is shown as a channel
    mirrored: tuple[int, ...] = ()  # axes of the patch: the answer is the mean over all mirrorings
    step: Annotated[float, Field(ge=LEAST_STEP, le=1)] = 0.5  # of the windows, as a share of the patch

    @model_validator(mode="after")
    def _sensible(self) -> Stage:
        if len(set(self.mirrored)) != len(self.mirrored) or not set(self.mirrored) <= set(
            range(len(self.preparation.patch))
        ):
            raise ValueError(f"a patch of {len(self.preparation.patch)} axes has no axes {self.mirrored}")
        if self.answers == "classes" and len(self.paints) < 2:
            raise ValueError("a single class is nothing to tell apart")
        return self


class Way(PreparationFile):
    """What preparation.json holds."""

    modalities: Annotated[tuple[str, ...], Field(min_length=1)]  # what is shown, in its order
    orientation: str | None = None  # that scans are turned to; None: as stored
    stages: Annotated[
        tuple[Stage, ...], Field(min_length=1, max_length=4)
    ]  # the last is the one that answers

    @model_validator(mode="after")
    def _sensible(self) -> Way:
        if self.orientation is not None:
            try:
                axis_order(self.orientation)
            except UserError as error:
                raise ValueError(error.cause) from None
        for n, stage in enumerate(self.stages):
            if len(stage.preparation.channels) != len(self.modalities):
                raise ValueError(f"stage {n} normalises {len(stage.preparation.channels)} channels")
            if bool(stage.foreground) != (n > 0):
                raise ValueError(f"stage {n} is shown the labels of no stage before, or of none though it is")
        return self
