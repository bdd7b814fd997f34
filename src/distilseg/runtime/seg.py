"""DICOM SEG instead of NIfTI: who is named in it, and which codes its segments have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from .. import __version__
from ..data.planning.plan import Plan
from ..data.scans.dicom.codes import by_value, read_codes, suggest
from ..data.scans.dicom.segmentation import Model, SegWriter
from ..errors import UserError
from .artefact import Artefact

_COMMAND = "--codes codes.json suggests some from the names of the classes"


def seg_writer(
    artefacts: Sequence[Artefact],
    plan: Plan,
    kind: str,
    codes: Path | None,
    say: Callable[[str], object] = lambda line: None,
    *,
    report: bool = False,
) -> SegWriter:
    """The writer of what these artefacts, as one, answer; `kind` is "binary" or "labelmap".

    `codes` is a file as of `data.scans.dicom.codes`; where there is none yet it is written, with suggestions,
    and `UserError` asks to look through it. Without it segments have the plan's codes, and classes that have
    none there codes of our own. With `report` a structured report of volumes is written beside each SEG.
    """
    if told := [one.path for one in artefacts if one.about.answers == "regions" and not one.plan.regions]:
        raise UserError(
            f"{told[0]} answers regions, and writes them over one another: what is left of one is"
            " not what its name says",
            "leave out --as seg",
        )
    names = [name for value, name in plan.labels.items() if value]
    digests = [artefact.sha256 for artefact in artefacts]
    one = len(artefacts) == 1
    model = Model(
        name=" + ".join(artefact.about.name for artefact in artefacts),
        version=__version__,
        digest=digests[0] if one else sha256("\n".join(digests).encode()).hexdigest(),
        digest_of="SHA-256 of the artefact" if one else "SHA-256 of the artefacts' SHA-256, a line each",
    )
    known = plan.codes
    if codes is None:
        if lacking := [name for name in names if name not in known]:
            which = "the segments" if len(lacking) == len(names) else ", ".join(lacking)
            say(f"{which} have no SNOMED codes: {_COMMAND}")
    elif codes.exists():
        known = read_codes(codes, names)
    else:
        count = suggest(codes, names, known)
        raise UserError(
            f"{codes} was written: it suggests codes for {count} of {len(names)} classes",
            "look through it, and run this again",
        )
    return SegWriter(plan.labels, by_value(known, plan.labels), model, kind, report)
