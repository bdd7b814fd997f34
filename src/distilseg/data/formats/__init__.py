"""Folders of scans in the layouts that people already have, read in place.

One module per layout, each with `recognises(folder) -> bool` and `read(folder) -> Dataset`. A reader lists
what the dataset names; whether every file is there and sound is the business of `data/check/`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from ...errors import UserError, told_of, unknown
from ...names import check_distinct, component, quoted
from ..case import Case, Dataset
from ..scans.dicom.codes import read_codes
from ..scans.scan import ENDINGS, ending
from . import answered, brats, folders, hecktor, msd, nnunet, picai, segmented, table
from .dicom import is_dicom

CODES = "codes.json"  # beside a dataset: what its classes are in SNOMED CT, see `scans/dicom/codes.py`
LAYOUTS: dict[str, ModuleType] = {
    "msd": msd,
    "nnunet": nnunet,
    "brats": brats,
    "hecktor": hecktor,
    "picai": picai,
    "table": table,
    "answered": answered,
    "folders": folders,
    "dicom": segmented,
}
_LOOKED_FOR = (
    "looked for: dataset.json with 'training' (Decathlon) or 'channel_names' (nnU-Net v2), a CSV table with"
    " the columns case, image:<modality>, label, the folders images/ and labels/ (imagesTr/, labelsTr/),"
    " the folders of BraTS, HECKTOR 2021 or PI-CAI, or DICOM with segmentations (SEG)"
)


def check_there(folder: Path | str) -> None:
    """Raises UserError where there is nothing at `folder`."""
    if not Path(folder).exists():
        raise UserError(f"there is no dataset at {folder}: no such folder", "correct the path")


def layout_of_scans(path: Path) -> ModuleType | None:
    """The layout of a dataset; None for anything else, and for DICOM, whose scans are found otherwise."""
    found = (layout for layout in LAYOUTS.values() if layout is not segmented and layout.recognises(path))
    return next(found, None)


def read_dataset(folder: Path | str, layout: str | None = None) -> Dataset:
    """The dataset at `folder` (a CSV table may also be named directly).

    `layout` is one of `LAYOUTS`; without it the folder's content decides. Raises `UserError` where no layout
    fits, a description is damaged, no case is labelled, or a name is none for a file or stands twice.
    """
    folder = Path(folder)
    if folder.name == "dataset.json":
        folder = folder.parent
    check_there(folder)
    if layout is not None and layout not in LAYOUTS:
        raise unknown("layout", layout, LAYOUTS)
    dataset: Dataset = LAYOUTS[layout or _recognise(folder)].read(folder)
    if folder.is_dir() and (folder / CODES).is_file():
        codes = read_codes(folder / CODES, [name for value, name in dataset.labels.items() if value])
        dataset = replace(dataset, codes=codes)
    if not dataset.cases:
        raise UserError(
            f"the dataset at {folder} has no labelled case (read as {dataset.layout})",
            "training and evaluation need images with label maps; add them",
        )
    with told_of(f"the dataset at {folder}"):
        _check_names(dataset)
    return dataset


def _check_names(dataset: Dataset) -> None:
    """What becomes files and folders is one name each, and what is told apart by its name differs in it."""
    component(dataset.name, kind="dataset")
    of_cases: list[tuple[str, Path]] = []
    for case in (*dataset.cases, *dataset.unlabelled):
        first = next(iter(case.images.values())).path
        component(case.id, ending(first), kind="case")
        of_cases.append((case.id, first))
    check_distinct(of_cases, kind="case", endings=ENDINGS)
    check_distinct(((name, name) for name in dataset.modalities), kind="modality")
    _check_patients(dataset)
    check_files((*dataset.cases, *dataset.unlabelled))


def _check_patients(dataset: Dataset) -> None:
    """Two spellings of one patient would lie on both sides of a split."""
    first: dict[str, str] = {}
    for case in dataset.cases:
        if case.patient:
            first.setdefault(case.patient, f"case {case.id}")
    check_distinct(first.items(), kind="patient")


def check_files(cases: Iterable[Case]) -> None:
    """Raises UserError for one file under two cases of two patients: it would teach and judge at once."""
    first: dict[tuple[Any, ...], tuple[Case, Path]] = {}
    for case in cases:
        own: list[tuple[Any, ...]] = [
            (source.path, source.channel, source.slice, source.series) for source in case.images.values()
        ]
        labels = case.painted.files if case.painted is not None else (case.label,)
        own += [(label, None, case.slice, "") for label in labels if label is not None]
        for path, *part in own:
            other, there = first.setdefault((_real(case, path), *part), (case, path))
            if other.group != case.group:
                raise UserError(
                    f"one file belongs to two cases: {there} to {other.id}, {path} to {case.id}",
                    "correct one of the two, or give both cases the same patient",
                )


def _real(case: Case, path: Path) -> str:
    """Where it leads, links followed; a path that there cannot be raises UserError."""
    try:
        return os.path.realpath(path)
    except ValueError:  # a null byte
        raise UserError(f"case {case.id}: {quoted(str(path))} is no path", "correct it") from None


def _recognise(folder: Path) -> str:
    for name, layout in LAYOUTS.items():
        if layout.recognises(folder):
            return name
    if is_dicom(folder):
        raise UserError(
            f"{folder} holds DICOM and no segmentation (SEG), which would be its labels",
            "add them; a CSV table takes DICOM folders with labels in other files; `predict` needs none",
        )
    if (folder / "dataset.json").is_file():
        raise UserError(
            f"{folder / 'dataset.json'} describes no layout that is known",
            "it must list 'training' cases (Decathlon) or 'channel_names' (nnU-Net v2)",
        )
    inside = [child for child in sorted(folder.iterdir()) if child.is_dir()] if folder.is_dir() else []
    nested = next(
        (child for child in inside if any(layout.recognises(child) for layout in LAYOUTS.values())), None
    )
    guess = f"did you mean {nested}? " if nested else ""
    raise UserError(f"{folder} holds no dataset in a layout that is known", guess + _LOOKED_FOR)
