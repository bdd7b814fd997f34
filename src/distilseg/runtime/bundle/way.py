"""The preparation.json of an artefact of a MONAI bundle: how scans are shown, what is made of the answer."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from ..artefact import Member
from ..preparation_file import PreparationFile
from .intensity import OfChannel
from .post import Post
from .spatial import CropForeground, Letters, Orientation
from .transforms import AnyTransform, Transform
from .windows import Windows


class Way(PreparationFile):
    """What preparation.json holds."""

    network: Member  # its file
    modalities: Annotated[tuple[str, ...], Field(min_length=1)]  # what is shown, in its order
    orientation: Letters | None = None  # that scans are turned to before all; None: as stored
    transforms: tuple[AnyTransform, ...]
    windows: Windows
    mirror: bool = False  # the answer is the mean over all mirrorings
    post: Post
    paints: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**16)], ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _runs_without_more(self) -> Way:
        if -1 in self.windows.window:
            raise ValueError("windows as large as the scan have no network of a fixed size")
        if any(step.kind == "largest" for step in self.post.steps):
            raise ValueError("the largest connected parts are not found here")
        for transform in self.transforms:
            chosen = _channels(transform)
            if not all(0 <= n < len(self.modalities) for n in chosen):
                raise ValueError(f"there are no channels {chosen}")
        return self

    @property
    def steps(self) -> tuple[Transform, ...]:
        """What is done to a scan, in order."""
        first = () if self.orientation is None else (Orientation(self.orientation),)
        return (*first, *self.transforms)


def _channels(transform: Transform) -> tuple[int, ...]:
    """Those that it names."""
    if isinstance(transform, OfChannel):
        return (transform.channel,)
    return (transform.channels or ()) if isinstance(transform, CropForeground) else ()
