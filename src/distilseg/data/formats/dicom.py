"""DICOM folders as cases: a study is a case, and of its series one is chosen for each modality of a model.

Which, rules say:

    by themselves       a modality that is called CT, MR, T1, PET or the like takes series of that kind, any
                        other all; single images, localizers and captures of a screen are never taken
    --series RULE       KEY=VALUE,...: number, modality, description (a regular expression), part (echo=4.6);
                        of a model of several modalities with its name ahead, PET:modality=PT

One series must be left, sound: of several none is guessed, and a case is refused with their list. A case is
called as its folder is, never as the patient.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import UserError, unknown
from ...names import quoted
from ..case import Case, Source

if TYPE_CHECKING:
    from ..scans.dicom.series import Found
    from ..scans.dicom.sorting import Refusal
    from ..scans.dicom.stack import Volume

    Held = Volume | Refusal

KEYS = ("number", "modality", "description", "part")
TILTS = ("refuse", "resample")
_KINDS = {
    "CT": {"ct", "cta", "cect", "ncct", "hu"},
    "PT": {"pt", "pet", "suv", "fdg"},
    "MR": {"mr", "mri", "t1", "t2", "flair", "dwi", "adc", "t1w", "t2w", "t1c", "t1ce", "t1gd", "swi", "hbv"},
}
_LISTED = 8  # series in a message


@dataclass(frozen=True)
class DicomOptions:
    """How series are chosen, and what becomes of a gantry tilt."""

    series: tuple[str, ...] = ()  # rules, see above
    tilt: str = "refuse"  # or "resample": to a grid with right angles, and labels back onto the planes

    def __post_init__(self) -> None:
        if self.tilt not in TILTS:
            raise unknown("value of --dicom-tilt", self.tilt, TILTS)


AS_THEY_ARE = DicomOptions()


def cases_of(
    path: Path, modalities: Sequence[str], options: DicomOptions
) -> tuple[list[Case], dict[str, str]]:
    """The studies in the folder (or file) at `path` as cases, and why others are none, in one line each."""
    from ..scans.dicom.series import found_in

    found = found_in(path)
    rules = _rules(options.series, modalities)
    cases: list[Case] = []
    refused = {str(file): f"{file}: {why}; copy it again" for file, why in found.broken.items()}
    studies = _studies(found)
    for (_, held), name in zip(studies, _names(path, studies), strict=True):
        try:
            images = {modality: _chosen(held, modality, rules[modality]) for modality in modalities}
        except UserError as error:
            refused[name] = f"case {name}: {error}"
            continue
        straight = options.tilt == "resample"
        sources = {
            modality: Source(path, series=volume.key, straight=straight)
            for modality, volume in images.items()
        }
        cases.append(Case(name, sources))
    return cases, refused


def notes_of(cases: Sequence[Case]) -> dict[str, str]:
    """What is worth telling of the series that were chosen, by case: what of them was left out."""
    notes = {}
    for case in cases:
        of = [source for source in case.images.values() if source.series]
        if not of:
            continue
        from ..scans.dicom.series import found_in

        told = [note for source in of for note in found_in(source.path).volume(source.series).notes]
        if told:
            notes[case.id] = "; ".join(dict.fromkeys(told))
    return notes


def _studies(found: Found) -> list[tuple[str, list[Held]]]:
    studies: dict[str, list[Held]] = {}
    every: list[Held] = [*found.volumes, *found.refusals]
    for held in every:
        studies.setdefault(held.series.study, []).append(held)
    for study in studies.values():
        study.sort(key=lambda one: (one.series.number or 0, one.series.modality, one.part))
    return sorted(studies.items())


def _names(path: Path, studies: Sequence[tuple[str, Sequence[Held]]]) -> list[str]:
    """What the studies are called: as the folder; of several as their own folders, or by a digest."""
    root = path.resolve()
    base = root.stem if root.is_file() else root.name
    if len(studies) == 1:
        return [base]
    own = [_folder(root, held) for _, held in studies]
    if len(set(own)) == len(own) and "" not in own:
        return own
    return [f"{base}_{sha256(study.encode()).hexdigest()[:8]}" for study, _ in studies]


def _folder(root: Path, held: Sequence[Held]) -> str:
    """The folder that all files of a study are in, below `root`: "a_b"; "" where that is `root`."""
    files = [file.resolve().parent for one in held for file in one.files]
    common = Path(os.path.commonpath(files)) if files else root
    return "_".join(common.relative_to(root).parts) if common.is_relative_to(root) else ""


def _chosen(held: Sequence[Held], modality: str, rule: Mapping[str, str]) -> Volume:
    """The one series of a study that is meant; raises `UserError` with the list where it is not one."""
    from ..scans.dicom.sorting import Refusal
    from ..scans.dicom.stack import Volume

    usable = [one for one in held if isinstance(one, Volume) or not one.is_few]
    fitting = [one for one in usable if _fits(one, rule)]
    if len(fitting) == 1 and isinstance(fitting[0], Volume):
        return fitting[0]
    if len(fitting) == 1:
        assert isinstance(fitting[0], Refusal)
        raise UserError(f"{fitting[0].series.told()}: {fitting[0].cause}", fitting[0].fix)
    wanted = ", ".join(f"{key}={value}" for key, value in rule.items())
    told = f"{modality} ({wanted})" if wanted else modality
    if not fitting:
        cause = f"no series fits {told}; here are {_listed(usable or held)}"
        raise UserError(cause, "choose one by --series number=..., or give another folder")
    raise UserError(
        f"{len(fitting)} series fit {told}: {_listed(fitting)}",
        "choose one by --series, such as --series number=3 or --series description=venous",
    )


def _listed(held: Sequence[Held]) -> str:
    told = [one.told() for one in held[:_LISTED]]
    more = [f"and {len(held) - _LISTED} more"] if len(held) > _LISTED else []
    return "; ".join([*told, *more]) or "none"


def _fits(held: Held, rule: Mapping[str, str]) -> bool:
    series = held.series
    return (
        rule.get("number", str(series.number)) == str(series.number)
        and rule.get("modality", series.modality) == series.modality
        and re.search(rule.get("description", ""), series.description, re.IGNORECASE) is not None
        and rule.get("part", held.part) == held.part
    )


def _rules(texts: Sequence[str], modalities: Sequence[str]) -> dict[str, dict[str, str]]:
    """By modality of the model: which series it takes."""
    rules = {modality: _by_name(modality) for modality in modalities}
    for text in texts:
        match = re.match(r"([^=:]+):(?=[^=]+=)", text)
        if match is None and len(modalities) > 1:
            raise UserError(
                f"--series {quoted(text)} does not say for which of {', '.join(modalities)} it is",
                f"write it as --series {modalities[0]}:{text}",
            )
        modality = match[1] if match else modalities[0]
        if modality not in rules:
            raise unknown("modality of the model", modality, modalities)
        rules[modality] = _rule(text[match.end() :] if match else text, rules[modality])
    return rules


def _rule(text: str, otherwise: Mapping[str, str]) -> dict[str, str]:
    rule: dict[str, str] = {}
    for pair in re.split(rf",(?=(?:{'|'.join(KEYS)})=)", text):
        key, equals, value = pair.partition("=")
        if not equals or key not in KEYS:
            raise UserError(
                f"--series {quoted(text)} is no rule", f"write KEY=VALUE with a key of {', '.join(KEYS)}"
            )
        rule[key] = value
    try:
        re.compile(rule.get("description", ""))
    except re.error as error:
        raise UserError(f"--series {quoted(text)} is no regular expression ({error})", "correct it") from None
    if "modality" in rule:
        rule["modality"] = {"PET": "PT", "MRI": "MR"}.get(rule["modality"].upper(), rule["modality"].upper())
    return rule if "modality" in rule else {**otherwise, **rule}


def _by_name(modality: str) -> dict[str, str]:
    """The rule that a modality's name is."""
    words = set(re.findall(r"[a-z0-9]+", modality.lower()))
    kinds = [kind for kind, names in _KINDS.items() if words & names]
    return {"modality": kinds[0]} if len(kinds) == 1 else {}
