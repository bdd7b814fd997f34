"""The prototypes of a teacher as a file: a few numbers per class, and where they come from.

    prototypes   class name -> the mean of the teacher's feature over that class, one number per channel;
                 null for a class that no slice held
    slices       class name -> how many slices held it
    voxels       class name -> how many voxels
    dataset, cases, network, weights, ...          what made them

JSON that people can read. It holds means over a whole data set, no voxel, no name of a case and no path, so
it can be given away where the scans cannot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from ..errors import UserError, unknown
from ..files import write_text
from ..json_files import read_object
from .readable import readable_json

Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
PrototypeReduce = Literal["slice_mean", "pixel_mean"]
_SCORES = TypeAdapter(dict[str, list[Finite]])


class PrototypeFile(BaseModel):
    """Prototypes with their provenance."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1  # of this format
    feature: str  # "logits": channel k is class k; or the name of a feature
    prototypes: dict[str, tuple[Finite, ...] | None]  # by class name, background first
    slices: dict[str, Count]
    voxels: dict[str, Count]
    reduce: PrototypeReduce  # the mean of each slice's mean, or of all pixels
    softmax: bool  # of the feature, before any mean
    across: str  # the slices' view, or the number of the axis across them
    slice_range: dict[str, Any]  # which slices took part
    dataset: str
    cases: Count
    modalities: tuple[str, ...]
    preprocessing: dict[str, Any]  # of the scans, as in the plan
    network: dict[str, Any]  # the teacher's description
    weights: str  # a digest of the teacher's weights
    made_by: str  # distilseg's version

    @model_validator(mode="after")
    def _consistent(self) -> PrototypeFile:
        widths = {len(values) for values in self.prototypes.values() if values is not None}
        if len(widths) != 1 or 0 in widths:
            raise ValueError(f"the prototypes have {sorted(widths) or 'no'} channels, not one number of them")
        if self.feature == "logits" and widths != {len(self.prototypes)}:
            raise ValueError(f"logits of {len(self.prototypes)} classes have {widths.pop()} channels")
        for name, counts in (("slices", self.slices), ("voxels", self.voxels)):
            if list(counts) != list(self.prototypes):
                raise ValueError(f"{name} are counted for other classes than the prototypes'")
        return self

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names by row."""
        return tuple(self.prototypes)

    @property
    def channels(self) -> int:
        """Numbers per class."""
        return next(len(values) for values in self.prototypes.values() if values is not None)

    @property
    def valid_K(self) -> NDArray[np.bool_]:
        """[K], whether the class has a prototype."""
        return np.array([values is not None for values in self.prototypes.values()])

    @property
    def values_KC(self) -> NDArray[np.float64]:
        """[K C], 0 where there is none."""
        none = (0.0,) * self.channels
        return np.array([none if values is None else values for values in self.prototypes.values()])


@dataclass(frozen=True, eq=False)
class Matched:
    """Prototypes brought to a student's classes."""

    values_KC: NDArray[np.float64]
    valid_K: NDArray[np.bool_]
    classes: tuple[int, ...]  # [K] class indices of the student
    channels: tuple[int, ...] | None  # [C] logits of the student; None: the channels are a feature's


def save_prototypes(path: Path, prototypes: PrototypeFile) -> None:
    """Writes the file, whole or not at all."""
    write_text(path, readable_json(prototypes.model_dump(mode="json")) + "\n")


def load_prototypes(path: Path) -> PrototypeFile:
    """Reads and checks a file; one that is missing, damaged or of another format raises UserError."""
    absent = UserError(f"there is no prototype file {path}", "fit prototypes, or give their file")
    try:
        return PrototypeFile.model_validate(read_object(path, missing=absent, fix="copy it again"))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{path} is no prototype file: {field + ': ' if field else ''}{first['msg']}", "fit it again"
        ) from None


def load_scores(path: Path) -> dict[str, list[float]]:
    """Body-part scores: case id -> a number per slice, in the order of the scan's file. Raises UserError."""
    try:
        return _SCORES.validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"there is no file of scores {path}", "give a JSON file") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(
            f"{path} holds no scores ({first['msg']})",
            'write {"case_01": [12.5, 13.1, ...], ...}, a number per slice',
        ) from None


def by_scores(scores: Path | str | None, score_range: Sequence[float] | None) -> dict[str, Any]:
    """The options of `fit_prototypes` by which scores choose the slices; none where neither is given."""
    check_scores(scores, score_range)
    if scores is None or not score_range:
        return {}
    return {"scores": load_scores(Path(scores)), "score_range": [float(score) for score in score_range]}


def check_scores(scores: object | None, score_range: Sequence[float] | None) -> None:
    """Raises `UserError` for scores without their range (lowest, highest), or a range without scores."""
    if (scores is None) != (not score_range) or len(score_range or (0, 0)) != 2:
        raise UserError(
            "scores and the range of scores belong together",
            "give --scores FILE and --score-range LOWEST,HIGHEST, or neither",
        )


def match_classes(
    prototypes: PrototypeFile, classes: tuple[str, ...], class_map: Mapping[str, str] | None = None
) -> Matched:
    """Rows, and of logits columns too, in the order of the student's `classes`.

    Which belong together says `pair_classes`.
    """
    own, theirs = list(classes), list(prototypes.classes)
    pairs = pair_classes(prototypes.classes, classes, class_map)
    named = [name for name in own if name in pairs]
    rows = [theirs.index(pairs[name]) for name in named]
    indices = tuple(own.index(name) for name in named)
    values = prototypes.values_KC[rows]
    of_logits = prototypes.feature == "logits"
    return Matched(
        values[:, rows] if of_logits else values,
        prototypes.valid_K[rows],
        indices,
        indices if of_logits else None,
    )


def pair_classes(
    theirs: Sequence[str], own: Sequence[str], class_map: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Name of a student's class -> name of the prototypes' or their teacher's.

    As `class_map` says; classes that it does not name take no part, but the background, class 0 of both,
    does. Without a map the names must be the same, and UserError lists both where they are not.
    """
    if class_map is None:
        if sorted(own) != sorted(theirs):
            raise UserError(
                f"the prototypes are of the classes {', '.join(theirs)}; the student's are {', '.join(own)}",
                "fit prototypes for these classes, or say which belong together (class_map)",
            )
        class_map = {name: name for name in own}
    for name in class_map:
        if name not in own:
            raise unknown("class of the student in class_map", name, own)
    for name in class_map.values():
        if name not in theirs:
            raise unknown("class of the prototypes in class_map", name, theirs)
    pairs = {own[0]: theirs[0], **class_map}
    if len(set(pairs.values())) < len(pairs):
        said = ", ".join(f"{name} = {other}" for name, other in pairs.items())
        raise UserError(
            f"class_map gives several classes the same prototype ({said})",
            "name each class of the prototypes once",
        )
    return pairs
