"""What a page knows of its model: `Model` of `web/src/model.ts`, made from an artefact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ... import __version__
from ...data.planning.fused_plan import organ
from ...data.planning.plan import Plan
from ...errors import UserError
from ...runtime.artefact import CARD, Artefact, View
from ...runtime.inferers import make_inferer
from ..card import titled_as
from ..provenance import licence_notes
from .colours import colours

FORMAT = 1


def model_of(artefact: Artefact, programs: str) -> dict[str, Any]:
    """The description, complete but for what is in the page beside it.

    `programs`: licences of what the page runs.
    """
    about, plan = artefact.about, artefact.plan
    return {
        "format": FORMAT,
        "name": about.name,
        "title": titled_as(about.made),
        "version": __version__,
        "digest": artefact.sha256,
        "card": _card(artefact),
        "licences": licence_notes(about.made),
        "programs": programs,
        "modalities": list(plan.modalities),
        "labels": _labels(plan),
        "plan": _plan(plan),
        "views": [_view(artefact, view) for view in artefact.views],
        "fusion": {"how": "vote", "threshold": 0.5, **about.fusion} if about.fusion else None,
        "window": _window(plan),
    }


def _window(plan: Plan) -> list[float] | None:
    """What intensities of the first modality to show: those that its plan keeps, if it says."""
    how = plan.normalisation[plan.modalities[0]]
    return None if how.low is None or how.high is None else [how.low, how.high]


def _labels(plan: Plan) -> list[dict[str, Any]]:
    named = [(value, plan.labels[value]) for value in plan.label_values]
    structures = iter(colours(len(named)))
    return [
        {"value": value, "name": name, "colour": next(structures) if value else (0, 0, 0)}
        for value, name in named
    ]


def _plan(plan: Plan) -> dict[str, Any]:
    scaled: Mapping[str, Any] = {
        name: plan.normalisation[name].model_dump(exclude_none=True) for name in plan.modalities
    }
    return {
        "modalities": list(plan.modalities),
        "label_values": list(plan.label_values),
        "regions": {name: list(values) for name, values in plan.regions.items()},
        "patch": list(plan.patch),
        "orientation": plan.orientation,
        "spacing_mm": list(plan.spacing_mm),
        "crop": plan.crop,
        **({"crop_voxels": list(plan.crop_voxels)} if plan.crop_voxels else {}),
        "normalisation": scaled,
    }


def _view(artefact: Artefact, view: View) -> dict[str, Any]:
    plan = artefact.plan_of(view)
    of_organs = artefact.about.fusion.get("how") == "organs"
    return {
        "network": view.network,
        "sha256": artefact.about.files[view.network],
        "bytes": len(artefact.read(view.network)),
        "inferer": _inferer(view, len(plan.logits_of(view.answers))),
        "answers": view.answers,
        "plan": _plan(plan),
        **({"organ": artefact.plan.classes[1:].index(organ(plan))} if of_organs else {}),
    }


def _inferer(view: View, classes: int) -> dict[str, Any]:
    """All options, defaults too, as a network of so many classes is shown its windows."""
    options = make_inferer(view.inferer, classes=classes).options
    return {"kind": view.inferer["kind"], **asdict(options)}


def _card(artefact: Artefact) -> str:
    """README.md, which no digest covers: it is shown as text."""
    try:
        return artefact.card()
    except KeyError:
        raise UserError(f"{artefact.path} lacks its card, {CARD}", "export the run again") from None
