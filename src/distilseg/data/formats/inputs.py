"""What a user names to be predicted: files, folders, datasets; and the cases in them.

For a model of one modality a file is a case of its own: `<case>.nii.gz`, or `<case>_0000.nii.gz` as nnU-Net
names it. A model of several takes nnU-Net's suffixes, `<case>_0000.nii.gz`, `<case>_0001.nii.gz`, ... in the
order of its modalities, or one 4D file. A folder in which DICOM lies, at any depth, is read as such where no
scan of another type lies in it; see `dicom.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ...errors import UserError, unknown
from ...names import component, identity, twins
from ..case import Case, Source
from ..scans.dicom.looking import holds_dicom
from ..scans.scan import ENDINGS, NIFTI_ENDINGS, ending, stem
from . import layout_of_scans
from .dicom import AS_THEY_ARE, DicomOptions, cases_of, is_dicom, scans_in


def find_cases(
    inputs: Path | str | Sequence[Path | str],
    modalities: Sequence[str],
    *,
    dicom: DicomOptions = AS_THEY_ARE,
) -> tuple[list[Case], dict[str, str]]:
    """The cases in `inputs`, and why others cannot be one (by case or file, in one line).

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
    return _of_own_names(cases, refused), refused


def _beside(named: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Folders of scans in which DICOM lies too: which of both is meant?"""
    for path in named:
        if path.is_dir() and layout_of_scans(path) is None and not is_dicom(path) and holds_dicom(path):
            told = f"{path} holds DICOM beside scans of other types, which alone are predicted"
            yield path, f"{told}; give the DICOM in a folder of its own"


def _of_own_names(cases: Sequence[Case], refused: dict[str, str]) -> list[Case]:
    """The cases whose name may become a file's; of several that share one the first. Others are refused."""
    kept: dict[str, tuple[Case, Path]] = {}
    for case in cases:
        first = next((source.path for source in case.images.values()), Path(case.id))
        own = identity(case.id, ENDINGS)
        try:
            component(case.id, label_ending(first), kind="case")
            if own in kept:
                other, there = kept[own]
                raise twins("case", (other.id, there), (case.id, first))
        except UserError as error:
            refused[str(first)] = str(error)
        else:
            kept[own] = case, first
    return [case for case, _ in kept.values()]


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
            files += scans_in(path)
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
        for file in sorted(folder.iterdir())
        if file.is_file() and not ending(file) and not file.name.startswith(".")
    )


def _nothing(named: Sequence[Path]) -> UserError:
    return UserError(
        f"no scan in {', '.join(map(str, named)) or 'the inputs'}",
        f"looked for files ending in {', '.join(ENDINGS)}, and for DICOM",
    )


def find_cases_with_some(
    inputs: Path | str | Sequence[Path | str], modalities: Sequence[str], *, modality: str | None = None
) -> tuple[list[Case], dict[str, str]]:
    """The cases in `inputs`, each with those of `modalities` that it has, and why others cannot be one.

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
    return _of_own_names(found, refused), refused


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
