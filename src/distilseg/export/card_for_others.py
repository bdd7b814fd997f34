"""The card of a student for another program: what it is, how to run it, how far it agrees with its run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .card import LIMITS, listed, measured, origin, scans_of, section, structures, titled_as
from .markdown import plain
from .provenance import licence_notes
from .student import Student, Written


def card_for_others(student: Student, program: str, written: Written, agreement: Mapping[str, Any]) -> str:
    """Markdown; `agreement`: see `agreement.record`."""
    plan, made = student.plan, student.made
    labels = ", ".join(
        f"{theirs} {plain(plan.labels[ours])}" for theirs, ours in sorted(written.values.items())
    )
    parts = [
        f"# {plain(titled_as(made))}",
        f"Segments {structures(plan)} in {scans_of(plan)}. Made with distilseg, exported for {program}.",
        section("Use", ["```\n" + "\n".join(written.use) + "\n```"]),
        section(
            "What it takes and gives",
            listed([f"scans: {plain(written.scans)}", f"label maps with the values {labels}"]),
        ),
        section(f"Measured of the run, not of {program}", measured(student.run)),
        section("How far it agrees with the run", [_agreement(agreement)]),
        section(
            f"What {program} does otherwise than the run", listed([plain(told) for told in written.differs])
        ),
        section("Where it comes from", origin(made)),
        section("Licences", listed([plain(note) for note in licence_notes(made)])),
        section("Limits", LIMITS),
    ]
    return "\n\n".join(parts) + "\n"


def _agreement(found: Mapping[str, Any]) -> str:
    scores = ", ".join(f"{plain(name)} {score:.4f}" for name, score in found["dice"].items())
    equal = 1 - found["voxels_that_differ"] / found["of_voxels"]
    return (
        f"On {found['cases']} real cases, from the files on, {equal:.3%} of {found['of_voxels']:,} voxels"
        f" have the label that the run gives; mean Dice between the two label maps:"
        f" {scores or 'no structure'}; the least of a case is {found['least_dice']:.4f}. Read back from these"
        " files by distilseg."
    )
