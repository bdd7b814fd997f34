"""Rows that parts of an evaluation wrote, as one table: all there, each case once, judged alike.

metrics.part-3-of-100.csv    what `evaluate ... --part 3/100 --out metrics.csv` wrote
metrics.part-3-of-100.json   by which names and options, so that numbers of two kinds are never in one table
metrics.csv                  what `evaluate ... --join --out metrics.csv` makes of all of them
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data.formats.chosen import Chosen, Part
from ..errors import UserError
from ..evaluation.by_slice import case_of
from ..files import write_json
from ..json_files import read_object
from ..runs import read_scores, write_rows

_SHOWN = 5  # parts or cases in a message
_AGAIN = "evaluate that part again"

Row = dict[str, str]


def write_part(table: Path, rows: Sequence[dict[str, Any]], asked: Mapping[str, Any]) -> None:
    """Writes the table of a part, and beside it how its cases were judged, before."""
    table.unlink(missing_ok=True)
    write_json(_beside(table), asked)
    write_rows(table, rows)


def joined(table: Path, cases: Sequence[str], asked: Mapping[str, Any]) -> list[Row]:
    """The rows of the parts of `table`, in the order of `cases`; the value of a row is a number as text.

    Raises `UserError` where parts are missing or of several partitions, were not judged as `asked`, or a
    case has no rows, rows in two parts, or other structures or metrics than the others.
    """
    by = asked["by"]
    of_case: dict[str, list[Row]] = {}
    at: dict[str, Path] = {}
    for path in _parts(table):
        _check_asked(path, asked)
        for row in read_scores(path, fix=_AGAIN):
            case = case_of(row["case"]) if by == "slice" else row["case"]
            if at.setdefault(case, path) != path:
                raise UserError(
                    f"case {case} is in {at[case].name} and in {path.name}",
                    "cases were added or taken away meanwhile: delete the parts, evaluate all of them again",
                )
            of_case.setdefault(case, []).append(row)
    if lacking := [case for case in cases if case not in of_case]:
        raise UserError(
            f"no part has rows of {_listed(lacking)}",
            "they were predicted or added later: evaluate the parts again",
        )
    if strange := sorted(of_case.keys() - set(cases)):
        raise UserError(
            f"the parts have rows of {_listed(strange)}, which are not judged here",
            "name the folders, and --cases, as the parts did",
        )
    judged = {case: {(row["label"], row["metric"]) for row in rows} for case, rows in of_case.items()}
    first = next(iter(judged), "")
    for case, rows in judged.items():
        if rows != judged[first]:
            raise UserError(
                f"case {case} ({at[case].name}) has other structures or metrics than {first}"
                f" ({at[first].name})",
                "evaluate all parts with the same options",
            )
    return [row for case in cases for row in of_case[case]]


def _check_asked(part: Path, asked: Mapping[str, Any]) -> None:
    """Raises `UserError` for a part that was judged in another way."""
    absent = UserError(f"{_beside(part)} is not there, which says how {part.name} was judged", _AGAIN)
    theirs = read_object(_beside(part), missing=absent, fix=_AGAIN)
    ours = json.loads(json.dumps(asked))
    if other := sorted(key for key in theirs.keys() | ours.keys() if theirs.get(key) != ours.get(key)):
        raise UserError(
            f"{part.name} was judged with other {' and '.join(other).replace('_', ' ')}",
            "give --join the options of the parts, or evaluate all parts with these",
        )


def _beside(part: Path) -> Path:
    return part.with_suffix(".json")


def _parts(table: Path) -> list[Path]:
    """The tables of all parts, in their order."""
    stem, suffix = re.escape(table.stem), re.escape(table.suffix)
    pattern = re.compile(rf"{stem}\.part-([0-9]{{1,9}})-of-([0-9]{{1,9}}){suffix}")
    folder = table.parent
    found = {(int(m[2]), int(m[1])) for path in folder.glob("*") if (m := pattern.fullmatch(path.name))}
    if not found:
        raise UserError(
            f"there are no parts of {table}", "evaluate them with --part 1/N to N/N and the same --out"
        )
    of = {of for of, _ in found}
    if len(of) > 1:
        raise UserError(
            f"beside {table} lie parts of {' and of '.join(map(str, sorted(of)))}", "delete those of one"
        )
    (n,) = of
    if absent := [str(k) for k in range(1, n + 1) if (n, k) not in found]:
        raise UserError(f"of {n} parts of {table} these are missing: {_listed(absent)}", "evaluate them too")
    return [folder / Chosen(Part(k, n)).named(table.name) for k in range(1, n + 1)]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
