"""Scans that nobody labelled, with label maps that a teacher made of some: `answered.json`.

    {"name": ..., "labelled_by": "the teacher's name", "modalities": ["CT"], "labels": {"0": "background"},
     "cases": [{"case": ..., "patient": ..., "images": {"CT": [path, channel]}, "label": path or null}]}

The package writes it (`write`), where a student is judged by agreement with its teacher. Images lie where
they were found; label maps at paths that are relative to the file.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...files import write_json
from ...json_files import read_object
from ..case import Case, Dataset, Source
from .common import value_to_name

NAME = "answered.json"


def recognises(folder: Path) -> bool:
    """A folder that holds an `answered.json`."""
    return (folder / NAME).is_file()


def read(folder: Path) -> Dataset:
    """The dataset in `folder`; raises `UserError` where its description is damaged."""
    path = folder / NAME
    known = read_object(path)
    try:
        cases = tuple(_case(folder, entry) for entry in known["cases"])
        name, labelled_by = str(known["name"]), str(known["labelled_by"])
        modalities = tuple(str(modality) for modality in known["modalities"])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise UserError(
            f"{path} is damaged", "delete its folder and repeat the command that made it"
        ) from None
    return Dataset(
        name=name,
        folder=folder,
        layout="answered",
        modalities=modalities,
        labels=value_to_name(known.get("labels"), path),
        cases=tuple(case for case in cases if case.label),
        unlabelled=tuple(case for case in cases if not case.label),
        licence=str(known.get("licence") or ""),
        reference=str(known.get("reference") or ""),
        labelled_by=labelled_by,
    )


def write(dataset: Dataset, folder: Path) -> Dataset:
    """Writes the description of `dataset` into `folder`, whole or not at all; returns what is read again."""
    described = {
        "name": dataset.name,
        "labelled_by": dataset.labelled_by,
        "licence": dataset.licence,
        "reference": dataset.reference,
        "modalities": list(dataset.modalities),
        "labels": {str(value): name for value, name in sorted(dataset.labels.items())},
        "cases": [_plain(case, folder) for case in (*dataset.cases, *dataset.unlabelled)],
    }
    write_json(folder / NAME, described)
    return read(folder)


def _plain(case: Case, folder: Path) -> dict[str, Any]:
    label = None if case.label is None else os.path.relpath(case.label.absolute(), folder.absolute())
    images = {name: _absolute(source).plain() for name, source in case.images.items()}
    return {"case": case.id, "patient": case.patient, "images": images, "label": label}


def _case(folder: Path, entry: dict[str, Any]) -> Case:
    images = {str(name): Source.of_plain(*source) for name, source in entry["images"].items()}
    label = entry["label"]
    return Case(str(entry["case"]), images, folder / str(label) if label else None, str(entry["patient"]))


def _absolute(source: Source) -> Source:
    return replace(source, path=source.path.absolute(), onto=source.onto and source.onto.absolute())
