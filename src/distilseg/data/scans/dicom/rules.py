"""Which series of a study is meant: rules, as people and plans write them.

    KEY=VALUE,...     number, modality, description (a regular expression, in any case), part (echo=4.6)

A modality that is called CT, MR, T1, PET or the like takes series of that kind, any other all. Single images
and localizers are never taken. One sound series must be left: of several none is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ....errors import UserError
from ....names import quoted
from .sorting import Refusal
from .stack import Volume

KEYS = ("number", "modality", "description", "part")
Held = Volume | Refusal
Rule = Mapping[str, str]

_KINDS = {
    "CT": {"ct", "cta", "cect", "ncct", "hu"},
    "PT": {"pt", "pet", "suv", "fdg"},
    "MR": {"mr", "mri", "t1", "t2", "flair", "dwi", "adc", "t1w", "t2w", "t1c", "t1ce", "t1gd", "swi", "hbv"},
}
_SUV = "GML"  # of Units: g/ml
_LISTED = 8  # series in a message
_MOST_TEXT = 300  # characters of a rule


def rule_of(text: str, said_by: str = "--series") -> dict[str, str]:
    """What a rule says, by key; raises `UserError` for one that is none."""
    rule: dict[str, str] = {}
    for pair in re.split(rf",(?=(?:{'|'.join(KEYS)})=)", text):
        key, equals, value = pair.partition("=")
        if not equals or key not in KEYS or len(text) > _MOST_TEXT:
            raise UserError(
                f"{said_by} {quoted(text)} is no rule", f"write KEY=VALUE with a key of {', '.join(KEYS)}"
            )
        rule[key] = value
    try:
        re.compile(rule.get("description", ""))
    except re.error as error:
        raise UserError(
            f"{said_by} {quoted(text)} is no regular expression ({error})", "correct it"
        ) from None
    if "modality" in rule:
        rule["modality"] = {"PET": "PT", "MRI": "MR"}.get(rule["modality"].upper(), rule["modality"].upper())
    return rule


def rule_by_name(modality: str) -> dict[str, str]:
    """The rule that a modality's name is."""
    kinds = [kind for kind, names in _KINDS.items() if _words(modality) & names]
    return {"modality": kinds[0]} if len(kinds) == 1 else {}


def fitting(held: Sequence[Held], rule: Rule) -> list[Held]:
    """The series that a rule leaves; neither localizers nor a few images by themselves."""
    return [one for one in held if (isinstance(one, Volume) or not one.is_few) and _fits(one, rule)]


def chosen(held: Sequence[Held], modality: str, rule: Rule, fix: str = "") -> Volume:
    """The one series of a study that is meant; raises `UserError` with the list where it is not one."""
    left = fitting(held, rule)
    if len(left) == 1 and isinstance(left[0], Volume):
        _check_units(left[0], modality)
        return left[0]
    if len(left) == 1:
        assert isinstance(left[0], Refusal)
        raise UserError(f"{left[0].series.told()}: {left[0].cause}", left[0].fix)
    wanted = ", ".join(f"{key}={value}" for key, value in rule.items())
    told = f"{modality} ({wanted})" if wanted else modality
    if not left:
        here = fitting(held, {})
        choose = "choose one by --series number=..., or give another folder"
        instead = [] if here else [one.fix for one in held if isinstance(one, Refusal)]
        raise UserError(
            f"no series fits {told}; here are {listed(here or held)}",
            fix or next(iter(instead), choose),
        )
    raise UserError(
        f"{len(left)} series fit {told}: {listed(left)}",
        fix or f"choose one by --series, such as {_that_tells_apart(left)}",
    )


def _that_tells_apart(held: Sequence[Held]) -> str:
    """A rule that leaves the first one alone, where there is one."""
    first, others = held[0], held[1:]
    if first.series.number is not None and all(one.series.number != first.series.number for one in others):
        return f"--series number={first.series.number}"
    if first.part and all(one.part != first.part for one in others):
        return f"--series 'part={first.part}'"
    return "--series number=3 or --series description=venous"


def _check_units(volume: Volume, modality: str) -> None:
    """Raises `UserError` for activity where a model takes SUV."""
    series = volume.series
    if series.modality == "PT" and "suv" in _words(modality) and series.units != _SUV:
        raise UserError(
            f"{series.told()} is in {series.units or 'units that it does not say'}, and {modality} in SUV",
            "convert it to SUV; PET counts as SUV where its Units are GML",
        )


def _words(modality: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", modality.lower()))


def listed(held: Sequence[Held]) -> str:
    """Some series for the one who has to choose."""
    told = [one.told() for one in held[:_LISTED]]
    more = [f"and {len(held) - _LISTED} more"] if len(held) > _LISTED else []
    return "; ".join([*told, *more]) or "none"


def _fits(held: Held, rule: Rule) -> bool:
    series = held.series
    return (
        rule.get("number", str(series.number)) == str(series.number)
        and rule.get("modality", series.modality) == series.modality
        and re.search(rule.get("description", ""), series.description, re.IGNORECASE) is not None
        and rule.get("part", held.part) == held.part
    )
