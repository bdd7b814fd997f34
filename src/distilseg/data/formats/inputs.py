"""What a user names to be predicted: files, folders, datasets; and the cases in them.

For a model of one modality a file is a case of its own: `<case>.nii.gz`, or `<case>_0000.nii.gz` as nnU-Net
names it. A model of several takes nnU-Net's suffixes, `<case>_0000.nii.gz`, `<case>_0001.nii.gz`, ... in the
order of its modalities, or one 4D file. A folder in which DICOM lies, at any depth, is read as such where no
scan of another type lies in it; see `dicom.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import UserError, unknown
from ...names import component, identity, twins
from ..case import Case, Source
from ..scans.dicom.looking import holds_dicom
from ..scans.scan import ENDINGS, NIFTI_ENDINGS, ending, stem
from . import layout_of_scans
from .chosen import ALL, Chosen
from .common import image_files
from .dicom import AS_THEY_ARE, DicomOptions, cases_of, is_dicom


@dataclass(frozen=True)
class Found:
    """The cases that were chosen, and of all that there are what a command says and must not write over."""

    cases: list[Case]
    refused: dict[str, str]  # why what was chosen cannot be a case, by case or file, in one line
    others: list[Case] = field(default_factory=list)  # not chosen
    told: str = ""  # "part 3 of 100: 40 of 4,000 cases"; "": all were chosen


def find_cases(
    inputs: Path | str | Sequence[Path | str],
    modalities: Sequence[str],
    *,
    dicom: DicomOptions = AS_THEY_ARE,
) -> tuple[list[Case], dict[str, str]]:
    """All cases in `inputs`, and why others cannot be one: see `find_chosen`."""
    found = find_chosen(inputs, modalities, dicom=dicom)
    return found.cases, found.refused


def find_chosen(
    inputs: Path | str | Sequence[Path | str],
    modalities: Sequence[str],
    *,
    dicom: DicomOptions = AS_THEY_ARE,
    chosen: Chosen = ALL,
) -> Found:
    """The cases in `inputs` that are `chosen`, and why others of these cannot be one.

    Each input is a scan, a folder of scans (not of folders), a dataset in any layout that `formats` reads: a
    folder or a CSV table, all its cases, labelled or not; or a folder of DICOM, whose series are chosen as
    `dicom` says. Images come in the order of `modalities`. Raises
    `UserError` where an input is none of these or holds no scan.
    """
    named = _paths(inputs)
    of_datasets, files, of_dicom = _read(named)
    cases = [_by_modality(case, modalities, path) for case, path in of_datasets]
    grouped, refused = _grouped(files, modalities)
    cases += grouped
    for path in of_dicom:
        studies, unfit = cases_of(path, modalities, dicom)
        cases += studies
        refused |= unfit
    if not cases and not refused:
        raise _nothing(named)
    refused |= {str(path): told for path, told in _beside(named)}
    return _chosen(cases, refused, chosen)


def _beside(named: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Folders of scans in which DICOM lies too: which of both is meant?"""
    for path in named:
        if not path.is_dir() or layout_of_scans(path) is not None or is_dicom(path):
            continue
        if holds_dicom(path, passing_over=ending):
            told = f"{path} holds DICOM beside scans of other types, which alone are predicted"
            yield path, f"{told}; give the DICOM in a folder of its own"


def cases_among(files: Sequence[Path], modalities: Sequence[str], chosen: Chosen = ALL) -> Found:
    """The same of scans by their names alone, wherever they lie: nothing is asked of them."""
    return _chosen(*_grouped(files, modalities), chosen)


def _chosen(cases: Sequence[Case], refused: Mapping[str, str], chosen: Chosen) -> Found:
    """The cases that are `chosen` and whose name may become a file's; of several that share one the first.

    Of all others the names are looked at, and not the files: these may be a hundred thousand.
    """
    distinct, unfit = dict[str, Case](), dict(refused)
    for case in cases:
        other = distinct.setdefault(identity(case.id, ENDINGS), case)
        if other is not case:
            same = twins("case", (other.id, _first(other)), (case.id, _first(case)))
            unfit[str(_first(case))] = str(same)
    ours, refused = chosen.of_cases(list(distinct.values()), unfit)
    told = chosen.told(len(ours) + len(refused), len(distinct) + len(unfit))
    kept = []
    for case in ours:
        try:
            component(case.id, label_ending(_first(case)), kind="case")
        except UserError as error:
            refused[str(_first(case))] = str(error)
        else:
            kept.append(case)
    taken = {case.id for case in ours}
    return Found(kept, refused, [case for case in distinct.values() if case.id not in taken], told)


def _first(case: Case) -> Path:
    return next((source.path for source in case.images.values()), Path(case.id))


def _paths(inputs: Path | str | Sequence[Path | str]) -> list[Path]:
    return [Path(inputs)] if isinstance(inputs, (str, Path)) else [Path(path) for path in inputs]


def label_ending(image: Path) -> str:
    """How the file of a scan's label map ends: as the scan's, and for a folder of DICOM as NIfTI."""
    return ending(image) if ending(image) and not image.is_dir() else NIFTI_ENDINGS[0]


def _read(named: Sequence[Path]) -> tuple[list[tuple[Case, Path]], list[Path], list[Path]]:
    """The cases of the datasets among the inputs, each with its dataset; the scans elsewhere; and DICOM."""
    cases: list[tuple[Case, Path]] = []
    files: list[Path] = []
    of_dicom: list[Path] = []
    for path in named:
        if not path.exists():
            raise UserError(f"there is no scan or folder {path}", "correct the path")
        layout = layout_of_scans(path)
        if layout is not None:
            dataset = layout.read(path)
            cases += [(case, path) for case in (*dataset.cases, *dataset.unlabelled)]
        elif is_dicom(path):
            of_dicom.append(path)
        elif path.is_dir():
            files += image_files(path)
        elif ending(path):
            files.append(path)
        else:
            raise UserError(
                f"{path} is no scan that can be read",
                f"known endings: {', '.join(ENDINGS)}; DICOM by its content",
            )
    return cases, files, of_dicom


def no_scans(inputs: Path | str | Sequence[Path | str]) -> tuple[Path, ...]:
    """The files without a scan's ending in the folders among `inputs` (datasets have others of their own)."""
    folders = [path for path in _paths(inputs) if path.is_dir()]
    of_dicom = [path for path in folders if is_dicom(path)]
    folders = [path for path in folders if path not in of_dicom]
    if of_dicom:
        from ..scans.dicom.series import found_in
    return tuple(file for path in of_dicom for file in found_in(path).others) + tuple(
        file
        for folder in folders
        if layout_of_scans(folder) is None
        for name in sorted(os.listdir(folder))
        if not ending(name) and name[0] != "." and (file := folder / name).is_file()
    )


def _nothing(named: Sequence[Path]) -> UserError:
    tables = [path for path in named if path.name.upper() == "DICOMDIR" and path.is_file()]
    return UserError(
        f"no scan in {', '.join(map(str, named)) or 'the inputs'}",
        f"a DICOMDIR lists images that lie beside it: give the folder {tables[0].parent}"
        if tables
        else f"looked for files ending in {', '.join(ENDINGS)}, and for DICOM",
    )


def find_cases_with_some(
    inputs: Path | str | Sequence[Path | str],
    modalities: Sequence[str],
    *,
    modality: str | None = None,
    chosen: Chosen = ALL,
) -> Found:
    """The cases in `inputs` that are `chosen`, each with those of `modalities` that it has.

    Files say their modality by their name, `<case>_CT.nii.gz` (in any case, with _ or -), or by nnU-Net's
    number in the order of `modalities`, `<case>_0001.nii.gz`. `modality` is that of files that say neither,
    or the only one there is.
    Datasets in any layout are read too; images that they name and that are absent are missing. Raises
    `UserError` where an input is no scan, folder or dataset, or holds no scan.
    """
    if modality is not None and modality not in modalities:
        raise unknown("modality", modality, modalities)
    if len(modalities) == 1:  # then nothing else can be meant
        modality = modalities[0]
    named = _paths(inputs)
    of_datasets, files, of_dicom = _read(named)
    if of_dicom:
        raise UserError(
            f"{of_dicom[0]} is DICOM, which one run or artefact takes",
            "name one, instead of a folder of them",
        )
    found = [_present(case, modalities) for case, _ in of_datasets]
    refused: dict[str, str] = {}
    groups: dict[tuple[Path, str], dict[str, Path]] = {}
    for file in files:
        name, its = _named(file, modalities)
        its = its or modality
        if its is None:
            told = f"name it {stem(file)}_{modalities[0]}, or give --modality"
            refused[stem(file)] = str(
                UserError(f"{file.name} does not say which of {', '.join(modalities)} it is", told)
            )
            continue
        group = groups.setdefault((file.parent, name), {})
        if its in group:
            refused[name] = str(
                UserError(
                    f"case {name}: {group[its].name} and {file.name} are both {its}", "keep one of them"
                )
            )
        group[its] = file
    for (_, name), group in groups.items():
        if name not in refused:
            found.append(Case(name, {m: Source(group[m]) for m in modalities if m in group}))
    if not found and not refused:
        raise _nothing(named)
    return _chosen(found, refused, chosen)


def _present(case: Case, modalities: Sequence[str]) -> Case:
    """The case with the images that exist."""
    here = {m: case.images[m] for m in modalities if m in case.images and case.images[m].path.exists()}
    return Case(case.id, here, case.label)


def _named(file: Path, modalities: Sequence[str]) -> tuple[str, str | None]:
    """The case and the modality that a file's name tells."""
    name = stem(file)
    for modality in sorted(modalities, key=len, reverse=True):
        ending = "_" + modality.lower().replace("-", "_")
        if name.lower().replace("-", "_").endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)], modality
    match = re.fullmatch(r"(.+)_(\d{4})", name)
    if match and int(match[2]) < len(modalities):
        return match[1], modalities[int(match[2])]
    return name, None


def expected(modalities: Sequence[str]) -> str:
    """What a model of these modalities takes, in words."""
    scans = "one 3D scan" if len(modalities) == 1 else f"{len(modalities)} 3D scans"
    return f"the model expects {scans} a case: {', '.join(modalities)}"


def _by_modality(case: Case, modalities: Sequence[str], path: Path) -> Case:
    """The case with these modalities alone; where there is only one, its name does not matter."""
    if len(case.images) == len(modalities) == 1:
        image = next(iter(case.images.values()))
        return Case(case.id, {modalities[0]: image}, case.label, patient=case.patient)
    if missing := [name for name in modalities if name not in case.images]:
        raise UserError(
            f"{expected(modalities)}; {path} has {', '.join(case.images)}, and no {' and no '.join(missing)}",
            "name its modalities so, or give scans of these",
        )
    images = {name: case.images[name] for name in modalities}
    return Case(case.id, images, case.label, patient=case.patient)


def _grouped(files: Iterable[Path], modalities: Sequence[str]) -> tuple[list[Case], dict[str, str]]:
    """Files that differ only in their suffix are the modalities of one case."""
    groups: dict[tuple[Path, str], dict[int | None, Path]] = {}
    refused: dict[str, str] = {}
    for file in files:
        match = re.fullmatch(r"(.+)_(\d{4})", stem(file))
        name, number = (match[1], int(match[2])) if match else (stem(file), None)
        by_number = groups.setdefault((file.parent, name), {})
        if (other := by_number.setdefault(number, file)) != file:
            refused[str(file)] = str(twins("case", (stem(other), other), (stem(file), file)))
    if len(modalities) == 1:  # scan_0001, scan_0002 with no scan_0000: the numbers count cases
        for (folder, name), by_number in list(groups.items()):
            if not {0, None} & set(by_number):
                del groups[folder, name]
                groups |= {(folder, stem(file)): {None: file} for file in by_number.values()}
    cases: list[Case] = []
    for (_, name), by_number in groups.items():
        if set(by_number) == set(range(len(modalities))):
            sources = [Source(by_number[number]) for number in range(len(modalities))]
        elif set(by_number) == {None}:
            channels = [None] if len(modalities) == 1 else range(len(modalities))
            sources = [Source(by_number[None], channel) for channel in channels]
        else:
            found = ", ".join(file.name for file in by_number.values())
            wanted = f"{expected(modalities)}, named {_suffixed(name, modalities)}"
            refused[name] = str(UserError(f"case {name}: {wanted}; found {found}", "complete it, or rename"))
            continue
        cases.append(Case(name, dict(zip(modalities, sources, strict=True))))
    return cases, refused


def _suffixed(name: str, modalities: Sequence[str]) -> str:
    return ", ".join(f"{name}_{number:04d} ({modality})" for number, modality in enumerate(modalities))
