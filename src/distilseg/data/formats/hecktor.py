"""HECKTOR 2021 as it is handed out: CT, PET (SUV) and the primary tumour of head and neck, by patient.

    hecktor2021_train/hecktor_nii/CHGJ007_{ct,pt,gtvt}.nii.gz
                      hecktor2021_bbox_training.csv     PatientID,x1,x2,y1,y2,z1,z2 (mm, LPS)

or the folder of images itself. A patient's name begins with that of the centre (CHGJ, CHMR, CHUM, CHUP, CHUS;
CHUV in the test set). Patients without `_gtvt`, such as those of `hecktor_nii_test`, are unlabelled.

CT and PET lie on grids of their own; the tumour is drawn on CT's. PET is therefore resampled onto CT's grid
as it is read, linearly. Where a table of boxes (`*bbox*.csv`) lies in the folder or beside it, only the
144 mm that it names of each patient are seen (`data/scans/placing.py`); label maps keep the whole CT's space.
Folders that the challenge's own script has resampled to 1 mm are read in the same way.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from ...errors import UserError
from ..case import Case, Dataset, Source
from ..scans.scan import ending, stem
from .common import check_twins, image_files

PARTS = {"CT": "ct", "PET": "pt"}  # modality -> in the file's name
LABELS = {0: "background", 1: "GTVt"}
FOLDERS = ("hecktor_nii", "hecktor_nii_test")
_NAME = re.compile(r"(CH[A-Z]{2}\d{3})_(ct|pt|gtvt)")
_AXES = ("x", "y", "z")

Box = tuple[tuple[float, float], ...]


def recognises(folder: Path) -> bool:
    """Files called like HECKTOR's, in the folder or in its hecktor_nii."""
    return folder.is_dir() and any(_by_patient(place) for place in _places(folder))


def read(folder: Path) -> Dataset:
    """The patients in `folder`; raises `UserError` where there are none, or a file or a box is missing."""
    for place in _places(folder):
        check_twins(image_files(place))
    files = {name: parts for place in _places(folder) for name, parts in _by_patient(place).items()}
    if not files:
        raise UserError(
            f"{folder} holds no patient in the layout of HECKTOR 2021",
            "the images are called CHGJ007_ct.nii.gz, CHGJ007_pt.nii.gz, CHGJ007_gtvt.nii.gz",
        )
    boxes = _boxes(folder)
    cases = [_case(name, parts, boxes, folder) for name, parts in sorted(files.items())]
    return Dataset(
        name=folder.resolve().name,
        folder=folder,
        layout="hecktor",
        modalities=tuple(PARTS),
        labels=dict(LABELS),
        cases=tuple(case for case in cases if case.label),
        unlabelled=tuple(case for case in cases if not case.label),
        licence="as agreed with the organisers of HECKTOR; not to be handed on",
        reference="Andrearczyk et al., HECKTOR 2021, LNCS 13209:1, 2022",
    )


def _case(name: str, parts: dict[str, Path], boxes: dict[str, Box], folder: Path) -> Case:
    for part in PARTS.values():
        if part not in parts:
            there = next(iter(parts.values()))
            raise UserError(
                f"{folder} is incomplete: {there.name} has no {name}_{part}{ending(there)} beside it",
                "unpack the archive again",
            )
    if boxes and name not in boxes:
        raise UserError(
            f"{folder}: the tables of boxes name no {name}", "complete them, or move them elsewhere"
        )
    ct, box = parts["ct"], boxes.get(name, ())
    images = {"CT": Source(ct, box_mm=box), "PET": Source(parts["pt"], onto=ct, box_mm=box)}
    return Case(name, images, parts.get("gtvt"), name)


def _places(folder: Path) -> list[Path]:
    """Where images may lie: below by the names in the archives, or directly."""
    return [folder / name for name in FOLDERS if (folder / name).is_dir()] or [folder]


def _by_patient(place: Path) -> dict[str, dict[str, Path]]:
    """Patient -> ct, pt, gtvt -> file."""
    found: dict[str, dict[str, Path]] = {}
    for path in image_files(place):
        if match := _NAME.fullmatch(stem(path)):
            found.setdefault(match[1], {})[match[2]] = path
    return found


def _boxes(folder: Path) -> dict[str, Box]:
    """Patient -> box in RAS+ mm, from the tables in the folder, or beside it if it is that of the images."""
    places = [folder, folder.resolve().parent] if _places(folder) == [folder] else [folder]
    boxes: dict[str, Box] = {}
    for table in (path for place in places for path in sorted(place.glob("*bbox*.csv"))):
        with table.open(newline="", encoding="utf-8-sig") as file:
            for line, row in _rows(table, file):
                boxes[row.get("PatientID") or ""] = _box(row, f"{table}, line {line}")
    return boxes


def _rows(table: Path, file: TextIO) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        yield from enumerate(csv.DictReader(file), start=2)
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{table} cannot be read ({error})", "save the table as UTF-8") from None


def _box(row: dict[str, str], where: str) -> Box:
    try:
        (x1, x2), (y1, y2), (z1, z2) = [sorted(float(row[axis + n]) for n in "12") for axis in _AXES]
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"{where} is no box: {list(row.values())}",
            "the columns are PatientID, x1, x2, y1, y2, z1, z2, in mm",
        ) from None
    return (-x2, -x1), (-y2, -y1), (z1, z2)  # LPS -> RAS
