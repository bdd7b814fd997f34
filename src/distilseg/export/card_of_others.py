"""The model card of a model of others: whose it is, on what terms, and how near its artefact comes to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..data.planning.plan import Plan
from ..runtime.artefact import Description
from .card import HOW, costs, quantisation, section, structures
from .markdown import code, plain

_WAYS = {
    "nnunet": "as nnU-Net v2 does it: cropped to what is not 0, normalised, resampled by splines, shown in"
    " windows that overlap, the logits resampled back",
    "monai": "as the bundle's own transforms say, with MONAI's arithmetic",
}
_LIMITS = (
    "What the model itself was measured to do, its makers say; here it was compared with itself and with no"
    " labels. Judge it on scans of your own before you rely on it (`distilseg evaluate REFERENCES"
    " PREDICTIONS`). Not a medical device."
)


def card_of_others(about: Description, plan: Plan) -> str:
    """The card of an artefact whose description is complete."""
    made = about.made
    parts = [
        f"# {plain(made['model'])}",
        f"Segments {structures(plan)}. A model of others ({plain(made['kind'])}, {plain(made['network'])}),"
        f" exported for {about.target} by distilseg: neither torch nor its makers' software is needed.",
        section("Use", [f"```\n{HOW[about.engine]}\ndistilseg predict THIS_FOLDER SCANS PREDICTIONS\n```"]),
        section("What it takes and gives", _inside(about, plan)),
        section("Equal to the model it was exported from", [_parity(about)]),
        section("What it costs", costs(about, "the model, in torch")),
        *([section("In int8", quantisation(about.quantisation))] if about.quantisation else []),
        section("Where it comes from", _origin(made)),
        section("Licences", _lines(_terms(made))),
        section("Limits", [_LIMITS]),
    ]
    return "\n\n".join(parts) + "\n"


def write_card(path: Path, about: Description, plan: Plan) -> None:
    """Writes the card to `path`."""
    path.write_text(card_of_others(about, plan), encoding="utf-8")


def _inside(about: Description, plan: Plan) -> list[str]:
    told = about.made["told"]
    order = ", ".join(f"{plain(name)} (_{n:04d})" for n, name in enumerate(plan.modalities))
    labels = ", ".join(f"{value} {plain(name)}" for value, name in sorted(plan.labels.items()))
    return _lines(
        [
            f"scans in this order: {order}; NIfTI, or NRRD and MetaImage where SimpleITK is installed",
            f"prepared and restored {_WAYS[about.preparation]}",
            *(f"{name.replace('_', ' ')}: {plain(_told(value))}" for name, value in told.items()),
            f"label maps in the scan's own space, values: {labels}",
        ]
    )


def _parity(about: Description) -> str:
    parity = about.parity
    on = "In float, before it was rounded, on" if about.quantisation.get("kept") == "int8" else "On"
    return (
        f"{on} {parity['cases']} real case{'s' * (parity['cases'] != 1)}, from the files on, against the"
        f" model run in torch with the same options: {parity['voxels_that_differ']:,} of"
        f" {parity['of_voxels']:,} voxels have another label"
        f" ({parity['largest_share_that_differs']:.3%} of the worst case, {parity['tolerance']:.2%} allowed),"
        f" no logit differs by more than {parity['largest_logit_difference']:.2g}, the least Dice of a"
        f" structure is {parity['least_dice']:.4f}."
    )


def _origin(made: Mapping[str, Any]) -> list[str]:
    trainer = f", trained by {plain(made['trainer'])}" if made["trainer"] else ""
    return _lines(
        [
            f"{plain(made['kind'])} {code(made['model'])}{trainer} on {plain(made['dataset']['name'])}",
            *(f"{code(name)}, SHA-256 {plain(digest)}" for name, digest in made["files"].items()),
            f"exported with {', '.join(f'{name} {of}' for name, of in made['exported_with'].items())}",
        ]
    )


def _terms(made: Mapping[str, Any]) -> list[str]:
    data = made["dataset"]
    return [
        f"the model and its data: {plain(data['name'])}, licence: {plain(data['licence'])}, reference:"
        f" {plain(data['reference'])}",
        *map(plain, made["warnings"]),
    ]


def _told(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_told, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def _lines(lines: list[str]) -> list[str]:
    return ["\n".join(f"- {line}" for line in lines)]
