"""DICOM folders as cases: a study is a case, and of its series one is chosen for each modality of a model.

Which, rules say (`scans/dicom/rules.py`): the model's own, or those of

    --series RULE       KEY=VALUE,...; of a model of several modalities with its name ahead, PET:modality=PT

One series must be left, sound: of several none is guessed, and a case is refused with their list. A case is
called as its folder is, never as the patient.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import UserError, unknown
from ...names import quoted
from ..case import Case, Source
from ..scans.dicom.looking import holds_dicom
from ..scans.scan import ending
from .common import image_files

if TYPE_CHECKING:
    from ..scans.dicom.rules import Held
    from ..scans.dicom.segments import Segmentation
    from ..scans.dicom.series import Found

TILTS = ("refuse", "resample")


@dataclass(frozen=True)
class DicomOptions:
    """How series are chosen, and what becomes of a gantry tilt."""

    series: tuple[str, ...] = ()  # rules, see above
    tilt: str = "refuse"  # or "resample": to a grid with right angles, and labels back onto the planes
    kept: Mapping[str, str] = field(default_factory=dict)  # the model's own rules, by modality

    def __post_init__(self) -> None:
        if self.tilt not in TILTS:
            raise unknown("value of --dicom-tilt", self.tilt, TILTS)

    @property
    def are_given(self) -> bool:
        """Whether somebody asked for something."""
        return bool(self.series) or self.tilt != TILTS[0]


AS_THEY_ARE = DicomOptions()


@dataclass
class Study:
    """What one study holds: images at least."""

    name: str
    held: list[Held]  # volumes and refusals, in the order of their numbers
    segmentations: list[Segmentation]  # that say they are of it


def is_dicom(path: Path) -> bool:
    """A folder with DICOM below it, and no scans of other types in it but pictures; or a file of DICOM."""
    if path.is_dir():
        return all(ending(file.name).lower() == ".png" for file in image_files(path)) and holds_dicom(path)
    return not ending(path) and holds_dicom(path)


def cases_of(
    path: Path, modalities: Sequence[str], options: DicomOptions
) -> tuple[list[Case], dict[str, str]]:
    """The studies in the folder (or file) at `path` as cases, and why others are none, in one line each."""
    from ..scans.dicom.rules import chosen
    from ..scans.dicom.series import found_in

    found = found_in(path)
    rules = _rules(options.series, modalities, options.kept)
    cases: list[Case] = []
    refused = {str(file): f"{file}: {why}; copy it again" for file, why in found.broken.items()}
    for study in studies_of(path, found):
        try:
            images = {modality: chosen(study.held, modality, rules[modality]) for modality in modalities}
        except UserError as error:
            refused[study.name] = f"case {study.name}: {error}"
            continue
        straight = options.tilt == "resample"
        sources = {
            modality: Source(path, series=volume.key, straight=straight)
            for modality, volume in images.items()
        }
        cases.append(Case(study.name, sources))
    return cases, refused


def rules_to_keep(texts: Sequence[str], modalities: Sequence[str], kept: Mapping[str, str]) -> dict[str, str]:
    """What a plan keeps of `--series`, beside the rules that it has. Raises `UserError`."""
    rules = _rules(texts, modalities, kept)
    untouched = _rules((), modalities, kept)
    told = {name: ",".join(f"{key}={value}" for key, value in rule.items()) for name, rule in rules.items()}
    return {**kept, **{name: told[name] for name in modalities if rules[name] != untouched[name]}}


def notes_of(cases: Sequence[Case]) -> dict[str, str]:
    """What is worth telling of the series that were chosen, by case: what of them was left out."""
    notes = {}
    for case in cases:
        of = [source for source in case.images.values() if source.series]
        if not of:
            continue
        from ..scans.dicom.series import found_again

        volumes = [found_again(one.path, one.series).volume(one.series) for one in of]
        told = [note for volume in volumes for note in volume.notes]
        if told:
            notes[case.id] = "; ".join(dict.fromkeys(told))
    return notes


def studies_of(path: Path, found: Found) -> list[Study]:
    """The studies in a folder, by the order of their UIDs."""
    by_uid: dict[str, Study] = {}
    every: list[Held] = [*found.volumes, *found.refusals]
    for held in every:
        by_uid.setdefault(held.series.study, Study("", [], [])).held.append(held)
    for one in found.segmentations:
        if one.study in by_uid:
            by_uid[one.study].segmentations.append(one)
    for study in by_uid.values():
        study.held.sort(key=lambda one: (one.series.number or 0, one.series.modality, one.part))
    uids = sorted(by_uid)
    for uid, name in zip(uids, _names(path, [by_uid[uid] for uid in uids], uids), strict=True):
        by_uid[uid].name = name
    return [by_uid[uid] for uid in uids]


def _names(path: Path, studies: Sequence[Study], uids: Sequence[str]) -> list[str]:
    """What the studies are called: as the folder; of several as their own folders, or by a digest."""
    root = path.resolve()
    base = root.stem if root.is_file() else root.name
    if len(studies) == 1:
        return [base]
    own = [_folder(root, study) for study in studies]
    if len(set(own)) == len(own) and "" not in own:
        return own
    return [f"{base}_{sha256(uid.encode()).hexdigest()[:8]}" for uid in uids]


def _folder(root: Path, study: Study) -> str:
    """The folder that all files of a study are in, below `root`: "a_b"; "" where that is `root`."""
    holders = [*study.held, *study.segmentations]
    files = [file.resolve().parent for one in holders for file in one.files]
    common = Path(os.path.commonpath(files)) if files else root
    return "_".join(common.relative_to(root).parts) if common.is_relative_to(root) else ""


def _rules(
    texts: Sequence[str], modalities: Sequence[str], kept: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """By modality of the model: which series it takes."""
    from ..scans.dicom.rules import rule_by_name, rule_of

    rules = {name: rule_of(kept[name]) if kept.get(name) else rule_by_name(name) for name in modalities}
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
        rule = rule_of(text[match.end() :] if match else text)
        kind = {key: value for key, value in rules[modality].items() if key == "modality"}
        rules[modality] = kind | rule
    return rules
