"""Each change less the defaults of its dataset and network, by validation; what was chosen, by test cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distilseg.report import Difference, differences
from distilseg.report.contenders import METRICS

from ..by_validation import Row
from ..by_validation import read as read_rows
from ..rows import VERDICTS, Evidence
from ..rows import read as read_evidence
from .changes import AS_PLANNED, BENCHES, CHOSEN, DEFAULT, FOCAL, LONGER, LONGEST, SAME, SPACINGS
from .jobs import STUDENT, jobs, network_of, row, row_of_job

CALLED = {
    "headneck": "Head and neck CT, `student_small`",
    "hippocampus": "Hippocampus MR, `student_small`",
    "hippocampus dynunet": "Hippocampus MR, DynUNet 8…128",
    "sarcoma": "Sarcoma in CT, PET and MR, `student_small`",
}
SHORT = {"headneck": "Head and neck CT", "hippocampus": "Hippocampus MR", "sarcoma": "Sarcoma"}


@dataclass(frozen=True)
class Found:
    """Rows of every change, and by dataset the two that were judged."""

    changes: Mapping[str, Row]
    confirmed: Mapping[str, Evidence]
    own_space: Evidence  # spacings and a loss, on validation cases of head and neck

    @property
    def tests(self) -> Mapping[str, Difference]:
        """The defaults as they are less as they were, by dataset; corrected over the three."""
        pairs = {
            bench: (one.score(CHOSEN).values, one.score(DEFAULT).values)
            for bench, one in self.confirmed.items()
        }
        return differences(pairs, METRICS["dice"])


def row_of(about: Mapping[str, Any]) -> str:
    asked = about["asked"]
    return row(asked["bench"], asked["change"], network_of(about["options"]))


def read(results: Path) -> Found:
    keys = dict.fromkeys(row_of_job(job) for stage in jobs()[:2] for job in stage)
    changes = read_rows(results, row_of, list(keys))
    confirmed = {bench: _confirmed(results, bench) for bench in BENCHES}
    return Found(changes, confirmed, _own_space(results))


def _confirmed(results: Path, bench: str) -> Evidence:
    rows = {row(bench, DEFAULT, STUDENT): DEFAULT}
    rows |= {row(bench, change, STUDENT): CHOSEN for change in (CHOSEN, SAME[bench])}
    called = {change: f"defaults {change}" for change in (DEFAULT, CHOSEN)}
    return read_evidence(
        results,
        lambda about: rows.get(row_of(about)),
        called,
        {"then": [(CHOSEN, DEFAULT)]},
        metrics=("dice", "hd95"),
    )


def _own_space(results: Path) -> Evidence:
    """Every spacing, and the focal loss, on validation cases."""
    rows = {row("headneck", change, STUDENT): change for change in (*SPACINGS, FOCAL)}
    others = [(change, AS_PLANNED) for change in rows.values() if change != AS_PLANNED]
    return read_evidence(
        results,
        lambda about: rows.get(row_of(about)),
        {change: change for change in rows.values()},
        {"own space": others},
        metrics=("dice", "hd95"),
    )


def names(found: Found) -> dict[str, Any]:
    """Rows by table, in short and in longer trainings; their gains; what was confirmed."""
    tables: dict[str, dict[str, Row]] = {table: {} for table in CALLED}
    for key, one in found.changes.items():
        table, _, change = key.partition(": ")
        tables[table][change] = one
    gains = {
        table: {change: one.less(_beside(change, rows)) for change, one in rows.items()}
        for table, rows in tables.items()
    }
    return {
        "tables": tables,
        "gains": gains,
        "called": CALLED,
        "short": SHORT,
        "beside": _beside,
        "confirmed": found.confirmed,
        "own_space": found.own_space,
        "own_gains": [
            found.own_space.less("own space", *pair).difference.mean
            for pair in found.own_space.questions["own space"]
        ],
        "tests": found.tests,
        "verdicts": VERDICTS,
        "now": CHOSEN,
        "then": DEFAULT,
    }


def _beside(change: str, rows: Mapping[str, Row]) -> Row:
    """What a change is compared with: the defaults as they were, of longer trainings equally long ones."""
    if change.endswith(LONGEST):
        return rows[f"rate 1e-2{LONGEST}"]
    longer = DEFAULT + LONGER
    return rows[longer if change.endswith(LONGER) and longer in rows else DEFAULT]
