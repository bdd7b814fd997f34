"""Predictions that are handed out: parts of the cases, each a command with --part K/N."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import chdir

from ..claims import held_in
from ..data.formats.chosen import Part
from ..engines.element import REFUSED, how_ended
from ..engines.submission import Element, Submission
from ..errors import UserError
from ._handed_out import Read, State, refusals
from ._missing import Missing, missing

OWN = ("--part", "--list", "--missing", "--join", "--overwrite")  # what is decided here
GIVEN_UP = "processes ended with it; `distilseg predict ... --missing` tells more"


def elements_of(words: Sequence[str], parts: int | None) -> list[Element]:
    """The parts. Raises `UserError` for words that say themselves which cases are meant."""
    if own := [word for word in words if word.partition("=")[0] in OWN]:
        raise UserError(f"{own[0]} is in the command, whose cases are shared out", "leave it out")
    if parts is None:
        raise UserError("it is not said into how many parts it is cut", "add --parts 100")
    if parts < 1:
        raise UserError(f"--parts {parts} are none", "give 1 or more")
    named = {f"part {k} of {parts}": f"{k}/{parts}" for k in range(1, parts + 1)}
    return [Element(name, (*words, "--part", part)) for name, part in named.items()]


def lacking(submission: Submission, read: Read, *, refused: bool) -> set[int]:
    """The numbers of the parts that lack a label map; `refused`: also where all of these were refused."""
    parts = range(1, len(submission.elements) + 1)
    whole = _missing(submission, read)
    if len(whole.names) == whole.cases and refused:
        return {*parts} if whole.names or whole.refused else set()
    without = {*whole.names} - ({*()} if refused else {*_refused(submission, read, whole)})
    # A part is every n-th name, and names that cannot be files count too: so a guess, which is looked at.
    names = sorted(_missing(submission, read, out=submission.folder / "nothing").names)
    guessed = [k for k in parts if without & {*Part(k, len(parts)).taken(names)}]
    found: set[int] = set()
    for k in dict.fromkeys([*guessed, *parts]):
        if not without:
            break
        own = {*_missing(submission, read, part=f"{k}/{len(parts)}").names}
        if own & without:
            found.add(k)
            without -= own
    return found


def state(submission: Submission, read: Read) -> State:
    """How far they are."""
    whole = _missing(submission, read)
    refused = _refused(submission, read, whole)
    held = [name for name in held_in(submission.results) if name.partition(".")[0]]
    left = [name for name in whole.names if name not in refused]
    running = [name for name in left if any(file.startswith(f"{name}.") for file in held)]
    lacking = [name for name in left if name not in running]
    return State("cases", whole.cases + len(whole.refused), refused, running, lacking)


def _refused(submission: Submission, read: Read, whole: Missing) -> dict[str, str]:
    """What cannot be a case; of what is missing what was refused, and why: alone, or with all of its part."""
    parts = range(1, len(submission.elements) + 1)
    told = [line for k in parts for line in refusals(submission, k)]
    reasons = dict(line.removeprefix("case ").split(": ", 1) for line in told if line.startswith("case "))
    found = {name: reasons[name] for name in whole.names if name in reasons}
    for k in parts if len(found) < len(whole.names) else ():
        ended = how_ended(submission.commands, k)
        if ended is not None and ended.code == REFUSED:
            (*_, why) = refusals(submission, k) or ["it was refused"]
            names = _missing(submission, read, part=f"{k}/{len(parts)}").names
            found = dict.fromkeys(names, why) | found
    found |= {name: found.get(name, GIVEN_UP) for name in whole.given_up}
    return found | {name: why.removeprefix(f"case {name}: ") for name, why in whole.refused.items()}


def _missing(submission: Submission, read: Read, **instead: object) -> Missing:
    with chdir(submission.began_in):
        return missing(**{**read(shlex.split(submission.command)).given, **instead})
