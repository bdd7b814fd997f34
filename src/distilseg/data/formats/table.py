"""A CSV table of cases: the columns `case`, `image:<modality>` (one or more), `label`, `patient`.

    case,image:CT,image:PET,label,patient
    p01_a,scans/p01_ct.nii.gz,scans/p01_pet.nii.gz,masks/p01.nii.gz,p01

Paths are relative to the table; variables in them (`$SCANS`) are those of the environment. A case without
label is unlabelled; `patient` is optional. Comma, semicolon or tabulator may separate. `labels.json` beside
the table may name the label values: {"0": "background", "1": "tumour"}.
"""

from __future__ import annotations

import csv
from pathlib import Path

from ...errors import UserError
from ..case import Case, Dataset, Source
from .common import labels_beside, listed

_PREFIX = "image:"


def recognises(folder: Path) -> bool:
    """A CSV file, or a folder that holds one whose header names cases and images."""
    return _table(folder) is not None


def read(folder: Path) -> Dataset:
    """The dataset that the table lists; raises `UserError` naming the line where it is damaged."""
    path = _table(folder)
    if path is None:
        raise UserError(
            f"{folder} holds no table of cases", "its header must read: case,image:<modality>,label"
        )
    rows = _rows(path)
    modalities = {column: column.removeprefix(_PREFIX) for column in _image_columns(rows[0])}
    cases = []
    for line, row in enumerate(rows[1:], start=2):
        if not any(row):
            continue
        if len(row) != len(rows[0]):
            raise UserError(
                f"{path}, line {line}: {len(row)} columns where the header has {len(rows[0])}",
                "correct the line",
            )
        cell = dict(zip(rows[0], row, strict=True))
        if not cell["case"]:
            raise UserError(f"{path}, line {line}: the case has no name", "fill the column 'case'")
        absent = [name for column, name in modalities.items() if not cell[column]]
        if absent:
            raise UserError(
                f"{path}, line {line}: case {cell['case']} has no {' and no '.join(absent)} image",
                "every case needs every modality; add the file or leave the case out",
            )
        place = f"{path}, line {line}"
        images = {
            name: Source(listed(path.parent, cell[column], place)) for column, name in modalities.items()
        }
        label = listed(path.parent, cell["label"], place) if cell.get("label") else None
        cases.append(Case(cell["case"], images, label, cell.get("patient", "")))
    return Dataset(
        name=path.parent.resolve().name if path.stem == "dataset" else path.stem,
        folder=path.parent if folder == path.parent else path,
        layout="table",
        modalities=tuple(modalities.values()),
        labels=labels_beside(path.parent, [case.label for case in cases if case.label]),
        cases=tuple(case for case in cases if case.label),
        unlabelled=tuple(case for case in cases if not case.label),
        naming=f"call their column image:CT in {path.name}",
    )


def _table(folder: Path) -> Path | None:
    """The table that `folder` is or holds; raises `UserError` if it holds several."""
    if folder.is_file():
        return folder if folder.suffix.lower() == ".csv" else None
    tables = [path for path in sorted(folder.glob("*.csv")) if _is_table(path)]
    preferred = [path for path in tables if path.name == "dataset.csv"] or tables
    if len(preferred) > 1:
        raise UserError(
            f"{folder} holds several tables of cases: {', '.join(path.name for path in preferred)}",
            "name the table itself instead of its folder",
        )
    return preferred[0] if preferred else None


def _is_table(path: Path) -> bool:
    try:
        _rows(path)
    except UserError:
        return False
    return True


def _rows(path: Path) -> list[list[str]]:
    """Header and lines, cells stripped."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error})", "save the table as UTF-8") from None
    lines = text.splitlines()
    delimiter = max(",;\t", key=lines[0].count) if lines else ","
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]
    except csv.Error as error:  # such as a cell of more than 131 072 signs
        raise UserError(f"{path} cannot be read ({error})", "correct the table") from None
    header = rows[0] if rows else []
    if "case" not in header or not _image_columns(header):
        raise UserError(
            f"{path} is no table of cases: its header is {','.join(header)!r}",
            "it must read: case,image:<modality>,label",
        )
    if len(set(header)) < len(header):
        raise UserError(f"{path} names a column twice: {','.join(header)}", "name each column differently")
    return rows


def _image_columns(header: list[str]) -> list[str]:
    return [column for column in header if column == "image" or column.startswith(_PREFIX)]
