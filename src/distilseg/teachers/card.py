"""What an ONNX or TorchScript file does not say of itself, in JSON beside it or where the user says.

    modalities       ["MR"]: what the network is shown, in its order
    labels           {"0": "background", "1": "liver"}, or nnU-Net's {"background": 0, "tumour": [1, 2]}
    regions          {"whole": [1, 2], "core": [2]}: unions of label values that the answers are of
    regions_class_order    the value that each region is painted with
    classes          ["background", "liver"]: labels from 0 on, in their place
    spacing_mm       [1, 1, 1]: of the network's grid, along the axes of the orientation
    normalisation    "zscore", or {"kind": ...} as in plans, for all modalities; or one for each by its name
    orientation      "RAS"        interpolation    "linear" or "cubic"       crop    "none" or "nonzero"
    patch            voxels of a window, three numbers, 1 across the slices of a 2D network
    overlap, blend, mirror    of windows: 0.25, "gaussian" or "constant", false, true or axes
    activation       "softmax" or "sigmoid"; what regions are not, or are, unless it is said
    gives            "logits" or "probabilities"; tried out unless it is said
    output           the name of the graph's output, where several could be it
    name, dataset, network, trainer, licence, reference    for people

These are the names that plans and artefacts of ours have; `spacing` and `license` are understood too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..data.planning.normalisation import Normalisation
from ..data.planning.plan import Plan, Positive, PositiveMm
from ..data.scans.scan import axis_order
from ..errors import UserError
from ..json_files import read_object
from .naming import Naming, naming_of
from .teacher import Activation

Scaling = Normalisation | str
_ALSO = {"spacing": "spacing_mm", "license": "licence", "normalization": "normalisation"}


class Card(BaseModel):
    """A card that was read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    modalities: Annotated[tuple[str, ...], Field(min_length=1)]
    labels: dict[str, Any] | None = None
    regions: dict[str, Any] | None = None
    regions_class_order: list[int] | None = None
    classes: Annotated[tuple[str, ...], Field(min_length=2)] | None = None
    spacing_mm: tuple[PositiveMm, PositiveMm, PositiveMm]
    normalisation: Normalisation | str | dict[str, Scaling]
    orientation: str = "RAS"
    interpolation: Literal["linear", "cubic"] = "linear"
    crop: Literal["none", "nonzero"] = "none"
    patch: tuple[Positive, Positive, Positive] | None = None
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.25
    blend: Literal["gaussian", "constant"] = "gaussian"
    mirror: bool | tuple[int, ...] = False
    activation: Activation | None = None
    gives: Literal["logits", "probabilities"] | None = None
    output: str | None = None
    name: str = ""
    dataset: str = ""
    network: str = ""
    trainer: str = ""
    licence: str = ""
    reference: str = ""

    @model_validator(mode="after")
    def _whole(self) -> Card:
        if self.labels is None and self.classes is None:
            raise ValueError("the field labels is missing (or classes)")
        how = self.normalisation
        if isinstance(how, dict) and (missing := set(self.modalities) - set(how)):
            raise ValueError(f"normalisation names no {', '.join(sorted(missing))}")
        return self

    def naming(self, path: Path) -> Naming:
        """What the answers are of."""
        labels = self.labels or {str(n): name for n, name in enumerate(self.classes or ())}
        known = {"labels": labels, "regions": self.regions, "regions_class_order": self.regions_class_order}
        naming = naming_of(known, path)
        if self.activation == "sigmoid" and naming.activation == "softmax":
            heads = naming.heads[1:] if naming.heads[0].values == (0,) else naming.heads
            return Naming(heads, "sigmoid", tuple(head.values[0] for head in heads))
        if self.activation == "softmax" and naming.activation == "sigmoid":
            raise UserError(f"{path}: regions that overlap are no softmax", "use sigmoid, or name labels")
        return naming

    def plan(self, patch: tuple[int, ...], orientation: str | None = None) -> Plan:
        """How scans are prepared and cut, as a plan of ours says it."""
        how = self.normalisation
        each = how if isinstance(how, dict) else dict.fromkeys(self.modalities, how)
        return Plan(
            dataset=self.dataset,
            modalities=self.modalities,
            labels={0: "background"},
            orientation=orientation or self.orientation,
            spacing_mm=self.spacing_mm,
            interpolation=self.interpolation,
            crop=self.crop,
            normalisation={name: _scaling(each[name]) for name in self.modalities},
            patch=patch,
            strides=((1, 1, 1),),
            overlap=self.overlap,
        )


def card_for(path: Path, chosen: Path | None) -> tuple[Card, Path]:
    """The card of a model: the chosen file, or <model>.json or card.json beside it. Raises `UserError` where
    there is none, or it makes no sense."""
    places = (
        [chosen]
        if chosen is not None
        else [path.with_suffix(".json"), path.with_name(path.name + ".json"), path.with_name("card.json")]
    )
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise UserError(
            f"{path} says nothing of modalities, spacing, normalisation and classes, and there is no card"
            f" {' or '.join(str(place) if chosen is not None else place.name for place in places)}",
            'write one, such as {"modalities": ["CT"], "labels": {"0": "background", "1": "liver"},'
            ' "spacing_mm": [1, 1, 1], "normalisation": "zscore", "patch": [96, 96, 96]}',
        )
    known = read_object(found)
    try:
        card = Card.model_validate_json(
            json.dumps({_ALSO.get(key, key): value for key, value in known.items()})
        )
        axis_order(card.orientation)
        for each in card.plan((1, 1, 1)).normalisation.values():
            assert each.kind
    except ValidationError as error:
        raise UserError(f"{found}: {_first(error)}", "correct the card") from None
    except UserError as error:
        raise UserError(f"{found}: {error.cause}", error.fix) from None
    return card, found


def _scaling(how: Scaling) -> Normalisation:
    return Normalisation.model_validate({"kind": how}) if isinstance(how, str) else how


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    field = ".".join(map(str, first["loc"]))
    match first["type"]:
        case "missing":
            return f"the field {field} is missing"
        case "extra_forbidden":
            return f"the field {field} is unknown (known: {', '.join(Card.model_fields)})"
    return f"{field + ': ' if field else ''}{first['msg'].removeprefix('Value error, ')}"
