"""What a user names to be predicted: files, folders, datasets; and the cases in them.

For a model of one modality a file is a case of its own: `<case>.nii.gz`, or `<case>_0000.nii.gz` as nnU-Net
names it. A model of several takes nnU-Net's suffixes, `<case>_0000.nii.gz`, `<case>_0001.nii.gz`, ... in the
order of its modalities, or one 4D file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import UserError
from .case import Case, Source
from .formats import LAYOUTS
from .image import ENDINGS, ending, stem


def find_cases(
    inputs: Path | str | Sequence[Path | str], modalities: Sequence[str]
) -> tuple[list[Case], dict[str, str]]:
    """The cases in `inputs`, and why others cannot be one (by case, in one line).

    Each input is a scan, a folder of scans (not of folders), or a dataset in any layout that `formats` reads:
    a folder or a CSV table, all its cases, labelled or not. Images come in the order of `modalities`. Raises
    `UserError` where an input is none of these or holds no scan.
    """
    named = [Path(inputs)] if isinstance(inputs, (str, Path)) else [Path(path) for path in inputs]
    cases: list[Case] = []
    files: list[Path] = []
    for path in named:
        if not path.exists():
            raise UserError(f"there is no scan or folder {path}", "correct the path")
        layout = next((module for module in LAYOUTS.values() if module.recognises(path)), None)
        if layout is not None:
            dataset = layout.read(path)
            every = (*dataset.cases, *dataset.unlabelled)
            cases += [_by_modality(case, modalities, path) for case in every]
        elif path.is_dir():
            inside = sorted(path.iterdir())
            files += [file for file in inside if ending(file) and not file.name.startswith(".")]
        elif ending(path):
            files.append(path)
        else:
            raise UserError(f"{path} is no scan that can be read", f"known endings: {', '.join(ENDINGS)}")
    grouped, refused = _grouped(files, modalities)
    cases += grouped
    if not cases and not refused:
        raise UserError(
            f"no scan in {', '.join(map(str, named)) or 'the inputs'}",
            f"looked for files ending in {', '.join(ENDINGS)}",
        )
    return cases, refused


def expected(modalities: Sequence[str]) -> str:
    """What a model of these modalities takes, in words."""
    scans = "one 3D scan" if len(modalities) == 1 else f"{len(modalities)} 3D scans"
    return f"the model expects {scans} a case: {', '.join(modalities)}"


def _by_modality(case: Case, modalities: Sequence[str], path: Path) -> Case:
    """The case with these modalities alone; where there is only one, its name does not matter."""
    if len(case.images) == len(modalities) == 1:
        return Case(case.id, {modalities[0]: next(iter(case.images.values()))})
    if missing := [name for name in modalities if name not in case.images]:
        raise UserError(
            f"{path} has the modalities {', '.join(case.images)}, not {', '.join(missing)}",
            expected(modalities),
        )
    return Case(case.id, {name: case.images[name] for name in modalities})


def _grouped(files: Iterable[Path], modalities: Sequence[str]) -> tuple[list[Case], dict[str, str]]:
    """Files that differ only in their suffix are the modalities of one case."""
    groups: dict[tuple[Path, str], dict[int | None, Path]] = {}
    for file in files:
        match = re.fullmatch(r"(.+)_(\d{4})", stem(file))
        name, number = (match[1], int(match[2])) if match else (stem(file), None)
        groups.setdefault((file.parent, name), {})[number] = file
    if len(modalities) == 1:  # scan_0001, scan_0002 with no scan_0000: the numbers count cases
        for (folder, name), by_number in list(groups.items()):
            if not {0, None} & set(by_number):
                del groups[folder, name]
                groups |= {(folder, stem(file)): {None: file} for file in by_number.values()}
    cases: list[Case] = []
    refused: dict[str, str] = {}
    for (_, name), by_number in groups.items():
        if set(by_number) == set(range(len(modalities))):
            sources = [Source(by_number[number]) for number in range(len(modalities))]
        elif set(by_number) == {None}:
            channels = [None] if len(modalities) == 1 else range(len(modalities))
            sources = [Source(by_number[None], channel) for channel in channels]
        else:
            found = ", ".join(file.name for file in by_number.values())
            fix = f"{expected(modalities)}, named {_suffixed(name, modalities)}"
            refused[name] = str(UserError(f"case {name}: found {found}", fix))
            continue
        cases.append(Case(name, dict(zip(modalities, sources, strict=True))))
    return cases, refused


def _suffixed(name: str, modalities: Sequence[str]) -> str:
    return ", ".join(f"{name}_{number:04d} ({modality})" for number, modality in enumerate(modalities))
