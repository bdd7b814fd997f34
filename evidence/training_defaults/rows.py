"""Each change less the defaults of its dataset and network, by validation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..by_validation import Row
from ..by_validation import read as read_rows
from .changes import BENCHES, DEFAULT
from .jobs import jobs, row

CALLED = {
    "headneck": "Head and neck CT, `student_small`",
    "hippocampus": "Hippocampus MR, `student_small`",
    "hippocampus dynunet": "Hippocampus MR, a light DynUNet",
    "sarcoma": "Sarcoma CT, PET and MR, `student_small`",
}


def row_of(about: Mapping[str, Any]) -> str:
    asked = about["asked"]
    return row(asked["bench"], asked["change"], about["options"]["network"])


def read(results: Path) -> dict[str, Row]:
    every = [job for stage in jobs() for job in stage]
    keys = [row(one.settings["bench"], one.settings["change"], one.options["network"]) for one in every]
    return read_rows(results, row_of, list(dict.fromkeys(keys)))


def names(found: Mapping[str, Row]) -> dict[str, Any]:
    """Rows by table, and how many cases of each dataset validated."""
    tables: dict[str, dict[str, Row]] = {table: {} for table in CALLED}
    for key, one in found.items():
        table, _, change = key.partition(": ")
        tables[table][change] = one
    return {"tables": tables, "called": CALLED, "default": DEFAULT, "benches": BENCHES}
