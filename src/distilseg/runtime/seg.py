"""DICOM SEG instead of NIfTI: who is named in it, and which codes its segments have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from .. import __version__
from ..data.planning.coded import with_codes
from ..data.planning.plan import Plan
from ..data.scans.dicom.codes import by_value
from ..data.scans.dicom.segmentation import Model, SegWriter
from ..errors import UserError
from .artefact import Artefact

_COMMAND = "--codes codes.json suggests some from the classes' names"


def seg_writer(
    artefacts: Sequence[Artefact],
    plan: Plan,
    kind: str,
    codes: Path | None,
    say: Callable[[str], object] = lambda line: None,
) -> SegWriter:
    """The writer of what these artefacts, as one, answer; `kind` is "binary" or "labelmap".

    `codes` is a file as of `data.scans.dicom.codes`; where there is none yet it is written, with suggestions,
    and `UserError` asks to look through it. Without it segments have the plan's codes, and classes that have
    none there codes of our own.
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
    if codes is not None:
        plan = with_codes(plan, codes)
    elif lacking := [name for name in names if name not in plan.codes]:
        which = "the segments" if len(lacking) == len(names) else ", ".join(lacking)
        say(f"{which} have no SNOMED codes: {_COMMAND}")
    return SegWriter(plan.labels, by_value(plan.codes, plan.labels), model, kind)
