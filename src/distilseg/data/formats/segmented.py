"""Folders of DICOM whose segmentations (SEG) are the labels: several patients, studies and series in one.

A study is a case, called as its folder is. A SEG belongs to the series whose images it refers to, else to the
one of its study on whose grid it lies. Its frames are laid on the planes of that series voxel for voxel, or
refused. A study without a SEG is unlabelled. `dicom.json` in the folder may say, each or none of

    "series":   {"T1": "modality=MR,description=^t1"}      the modalities, and which series each is
    "classes":  {"liver": {"segments": ["LIV"], "category": [...], "type": [...]}, "lesion": null}
    "patients": "study"                   where PatientID does not tell patients apart: each study is one
    "without":  ["p17"]                   studies that are left out

Rules and codes are kept in the plan. Cases of one patient stay together in a split: by PatientID, which is
compared and kept nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import UserError, unknown
from ...json_files import read_object
from ...names import quoted
from ..case import Case, Dataset, Painted, Source
from .dicom import Study, is_dicom, studies_of
from .segment_classes import Classes, Listed, classes_of, listed_classes

if TYPE_CHECKING:
    from ..scans.dicom.segments import Segmentation
    from ..scans.dicom.series import Found
    from ..scans.dicom.stack import Volume

SETTINGS = "dicom.json"
_KEYS = ("series", "classes", "patients", "without")
_NAMES = {"PT": "PET"}  # what a modality is called that nobody named
_TOLD = 5  # troubles in a message


@dataclass(frozen=True)
class Settings:
    """What `dicom.json` says."""

    path: Path
    series: Mapping[str, str] = field(default_factory=dict)  # modality -> rule
    classes: tuple[Listed, ...] = ()
    by_study: bool = False  # each study is a patient
    without: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Picked:
    """A study as a case: its series by modality, and the segmentations of them."""

    study: Study
    volumes: Mapping[str, Volume]
    segmentations: tuple[Segmentation, ...]
    on: str = ""  # the modality on whose series they lie


def recognises(folder: Path) -> bool:
    """A `dicom.json`, or DICOM with a SEG in it."""
    from ..scans.dicom.looking import holds_segmentations

    if not folder.is_dir():
        return False
    return (folder / SETTINGS).is_file() or (is_dicom(folder) and holds_segmentations(folder))


def read(folder: Path) -> Dataset:
    """The dataset in `folder`; raises `UserError`, naming the studies, where one cannot be a case."""
    from ..scans.dicom.series import found_in

    settings, found = _settings(folder / SETTINGS), found_in(folder)
    every = sorted(studies_of(folder, found), key=lambda study: study.name)
    if strange := settings.without - {study.name for study in every}:
        raise unknown(f"study in {settings.path}", min(strange), [study.name for study in every])
    studies = [study for study in every if study.name not in settings.without]
    series = settings.series or _series_by_themselves(found, settings.path)
    picked, troubles, notes = _picked(studies, found, series, settings)
    if troubles:
        told = "; ".join(
            [*troubles[:_TOLD], *([f"and {len(troubles) - _TOLD} more"] * (len(troubles) > _TOLD))]
        )
        raise UserError(
            f"{len(troubles)} of {len(studies)} studies in {folder} cannot be learned from: {told}",
            f'mend them, or leave them out by "without" in {settings.path}',
        )
    labelling = [one for each in picked for one in each.segmentations]
    classes = classes_of(labelling, settings.classes, settings.path)
    if labelling and not classes.values:
        named = ", ".join(map(quoted, sorted(classes.left)[:_TOLD]))
        raise UserError(
            f"no segment in {folder} is of a class of {settings.path}; they are called {named}",
            'name them there, each in the "segments" of its class',
        )
    patients = _patients(picked, settings)
    if len(picked) > 1 and len(set(patients.values())) == 1:
        notes.append(
            f"all {len(picked)} studies are of one PatientID; if that is no patient, say"
            f' "patients": "study" in {settings.path}'
        )
    notes += [f"{one.path}: {_lost(one, found)}" for one in _of_nothing(found)]
    if classes.left:
        notes.append(f"segments of no class are background: {', '.join(sorted(classes.left))}")
    cases = [_case(folder, one, classes, patients[one.study.name]) for one in picked]
    return Dataset(
        name=folder.resolve().name,
        folder=folder,
        layout="dicom",
        modalities=tuple(series),
        labels=classes.labels,
        cases=tuple(case for case in cases if case.label),
        unlabelled=tuple(case for case in cases if not case.label),
        naming=f'name it in {settings.path}, such as "series": {{"CT": "modality=CT"}}',
        series=dict(series),
        codes=classes.codes,
        notes=tuple(notes),
    )


def _settings(path: Path) -> Settings:
    if not path.is_file():
        return Settings(path)
    from ..scans.dicom.rules import rule_of

    told = read_object(path)
    if strange := set(told) - set(_KEYS):
        raise unknown(f"key in {path}", min(strange), _KEYS)
    series, without = told.get("series", {}), told.get("without", [])
    if not isinstance(series, dict) or not all(isinstance(rule, str) for rule in series.values()):
        raise UserError(f"{path}: the series make no sense", 'write {"CT": "modality=CT"}')
    if not isinstance(without, list) or not all(isinstance(name, str) for name in without):
        raise UserError(f'{path}: "without" makes no sense', "write a list of studies")
    if told.get("patients", "id") not in ("id", "study"):
        raise unknown(f"value of patients in {path}", str(told["patients"]), ("id", "study"))
    for rule in series.values():
        rule_of(rule, f"{path}:")
    return Settings(
        path,
        series,
        listed_classes(told["classes"], path) if "classes" in told else (),
        told.get("patients") == "study",
        frozenset(without),
    )


def _series_by_themselves(found: Found, file: Path) -> dict[str, str]:
    """The one modality of which segmentations are, with its rule."""
    offered = [volume for one in found.segmentations for volume in one.candidates(found.volumes)]
    kinds = sorted({volume.series.modality for volume in offered})
    if len(kinds) > 1:
        raise UserError(
            f"segmentations are of {' and '.join(kinds)} series",
            f'say in {file} which are learned from: "series": {{"{kinds[0]}": "modality={kinds[0]}"}}',
        )
    if not kinds:
        why = "; ".join(
            f"{one.path}: {one.unusable or _lost(one, found)}" for one in found.segmentations[:_TOLD]
        )
        raise UserError(
            f"{found.folder} holds no segmentation of a series that is a volume ({why or 'no SEG at all'})",
            "export series and segmentations whole; `distilseg check` lists the series",
        )
    return {_NAMES.get(kind, kind): f"modality={kind}" for kind in kinds}


def _lost(one: Segmentation, found: Found) -> str:
    """Why a segmentation is of no volume."""
    refused = next((each for each in found.refusals if each.series.uid in one.of_series), None)
    return f"of {refused.told()}" if refused is not None else "it is of no series that is here"


def _of_nothing(found: Found) -> list[Segmentation]:
    """Segmentations of studies that are not here."""
    series = [*(one.series for one in found.volumes), *(one.series for one in found.refusals)]
    here = {one.study for one in series}
    return [one for one in found.segmentations if one.study not in here and not one.candidates(found.volumes)]


def _picked(
    studies: Sequence[Study], found: Found, series: Mapping[str, str], settings: Settings
) -> tuple[list[_Picked], list[str], list[str]]:
    """The studies that are cases; troubles of those with a segmentation, and what of the others is told."""
    picked: list[_Picked] = []
    troubles: list[str] = []
    notes = [f"{file}: {why}" for file, why in found.broken.items()]
    offers = {one.path: one.candidates(found.volumes) for one in found.segmentations}
    for study in studies:
        uid = study.held[0].series.study
        own = [
            one
            for one in found.segmentations
            if one.study == uid or any(volume.series.study == uid for volume in offers[one.path])
        ]
        try:
            picked.append(_case_of(study, own, offers, found, series, settings.path))
        except UserError as error:
            (troubles if own else notes).append(f"{study.name}: {error}")
    return picked, troubles, notes


def _case_of(
    study: Study,
    own: Sequence[Segmentation],
    offers: Mapping[Path, Sequence[Volume]],
    found: Found,
    series: Mapping[str, str],
    file: Path,
) -> _Picked:
    from ..scans.dicom.rules import chosen, fitting, listed, rule_of
    from ..scans.dicom.stack import Volume

    for one in own:
        if why := one.unusable or ("" if offers[one.path] else _lost(one, found)):
            raise UserError(f"{one.path.name}: {why}", "export it again, whole")
    volumes: dict[str, Volume] = {}
    on = ""
    for modality, rule in series.items():
        left = fitting(study.held, rule_of(rule))
        labelled = [
            one for one in left if isinstance(one, Volume) and any(one in offers[each.path] for each in own)
        ]
        if len(labelled) > 1:
            raise UserError(
                f"its segmentations may be of {len(labelled)} series of {modality}: {listed(labelled)}",
                f"say in {file} which is meant",
            )
        fix = f"say in {file} which is meant"
        volumes[modality] = chosen(labelled or study.held, modality, rule_of(rule), fix)
        on = on or (modality if labelled else "")
    used = tuple(one for one in own if any(volume in offers[one.path] for volume in volumes.values()))
    if own and not used:
        raise UserError("its segmentations are of none of the series that are learned from", f"see {file}")
    return _Picked(study, volumes, used, on)


def _patients(picked: Sequence[_Picked], settings: Settings) -> dict[str, str]:
    """Of each study the first one of the same patient."""
    first: dict[str, str] = {}
    found = {}
    for one in picked:
        digest = next(iter(one.volumes.values())).series.patient
        own = one.study.name
        found[own] = first.setdefault(digest, own) if digest and not settings.by_study else own
    return found


def _case(folder: Path, one: _Picked, classes: Classes, patient: str) -> Case:
    images = {name: Source(folder, series=volume.key) for name, volume in one.volumes.items()}
    painted = [
        (
            each.path,
            tuple((s.number, v) for s in each.segments if (v := classes.values.get((each.path, s.number)))),
        )
        for each in one.segmentations
    ]
    painted = [(path, values) for path, values in painted if values]
    if not painted:
        return Case(one.study.name, images, patient=patient)
    own = Painted(images[one.on], tuple(painted))
    return Case(one.study.name, images, own.files[0], patient, painted=own)
