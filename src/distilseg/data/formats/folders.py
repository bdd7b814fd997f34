"""Two plain folders, `images` and `labels` (or `imagesTr` and `labelsTr`), matched by file name.

`images/a.nii.gz` belongs to `labels/a.nii.gz`. Several modalities carry nnU-Net's suffixes (`a_0000.nii.gz`,
`a_0001.nii.gz` for label `a.nii.gz`). Beside the folders `labels.json` may name the label values and
`modalities.json`, such as {"0": "CT", "1": "PET"}, the modalities; without it they are called image, or
image_0, image_1, ...
"""

from __future__ import annotations

import re
from pathlib import Path

from ...errors import UserError
from ...json_files import read_object
from ..case import Case, Dataset, Source
from ..scans.scan import stem
from .common import by_stem, image_files, in_numeric_order, labels_beside

MODALITIES = "modalities.json"
_PAIRS = (("images", "labels"), ("imagesTr", "labelsTr"))


def recognises(folder: Path) -> bool:
    """Two such folders, and no `dataset.json` that would say more."""
    return not (folder / "dataset.json").is_file() and any(_has(folder, *pair) for pair in _PAIRS)


def read(folder: Path) -> Dataset:
    """The dataset in the two folders; raises `UserError` where names do not match."""
    pair = next((pair for pair in _PAIRS if _has(folder, *pair)), None)
    if pair is None:
        raise UserError(f"{folder} has no folders images/ and labels/", "name its folders so")
    files, labels = image_files(folder / pair[0]), by_stem(image_files(folder / pair[1]))
    plain = {id: path for id, path in by_stem(files).items() if id in labels}
    several = {_unnumbered(path) for path in files if stem(path) not in labels} & set(labels) - set(plain)
    if labels and not plain and not several:
        raise UserError(
            f"no label belongs to an image in {folder}: the images are called like"
            f" {files[0].name if files else '(none)'}, the labels like {next(iter(labels.values())).name}",
            "give an image and its label the same file name",
        )
    if plain and several:
        raise UserError(
            f"{folder / pair[0]}: {min(plain)} is one image, {min(several)} has numbered modalities (_0000)",
            "name all images in one way",
        )
    return _several(folder, files, labels) if several else _single(folder, files, labels)


def _single(folder: Path, files: list[Path], labels: dict[str, Path]) -> Dataset:
    """One image per case."""
    (name,) = _names(folder, [0]) or ["image"]
    unlabelled = [Case(stem(path), {name: Source(path)}) for path in files if stem(path) not in labels]
    images = by_stem(files)
    absent = sorted(set(labels) - set(images))
    if absent:
        raise UserError(f"{labels[absent[0]]} has no image of that name", "add the image or remove the label")
    cases = [Case(id, {name: Source(images[id])}, path) for id, path in labels.items()]
    return _dataset(folder, (name,), cases, unlabelled, labels)


def _several(folder: Path, files: list[Path], labels: dict[str, Path]) -> Dataset:
    """Numbered modalities; a case may lack a file, which the check reports."""
    numbers = sorted({int(stem(path)[-4:]) for path in files if _unnumbered(path) != stem(path)})
    given = _names(folder, numbers) or [f"image_{number}" for number in numbers]
    names = dict(zip(numbers, given, strict=True))
    first = files[0]
    ids = dict.fromkeys([*labels, *(_unnumbered(path) for path in files)])

    def image(id: str, number: int) -> Source:
        return Source(first.with_name(f"{id}_{number:04d}{first.name.removeprefix(stem(first))}"))

    cases = [Case(id, {name: image(id, n) for n, name in names.items()}, labels.get(id)) for id in ids]
    labelled = [case for case in cases if case.label]
    return _dataset(folder, tuple(names.values()), labelled, [c for c in cases if not c.label], labels)


def _names(folder: Path, numbers: list[int]) -> list[str]:
    """The modalities of these numbers as `modalities.json` beside the folders calls them; none without it."""
    path = folder / MODALITIES
    if not path.is_file():
        return []
    known = read_object(path)
    wanted = {str(number) for number in numbers}
    if set(known) != wanted or not all(isinstance(name, str) and name for name in known.values()):
        example = ", ".join(f'"{number}": "CT"' for number in numbers[:1])
        raise UserError(
            f"{path} names the modalities {', '.join(known) or 'none'}, the images are of"
            f" {', '.join(sorted(wanted))}",
            f"name each of them once, such as {{{example}}}",
        )
    return list(in_numeric_order(known, "the modality", path))


def _dataset(
    folder: Path,
    modalities: tuple[str, ...],
    cases: list[Case],
    unlabelled: list[Case],
    labels: dict[str, Path],
) -> Dataset:
    return Dataset(
        name=folder.resolve().name,
        folder=folder,
        layout="folders",
        modalities=modalities,
        labels=labels_beside(folder, list(labels.values())),
        cases=tuple(cases),
        unlabelled=tuple(unlabelled),
        naming=f"name them by their numbers in {MODALITIES} beside the two folders, such as"
        + (' {"0": "CT"}' if len(modalities) == 1 else ' {"0": "CT", "1": "PET"}'),
    )


def _has(folder: Path, images: str, labels: str) -> bool:
    return (folder / images).is_dir() and (folder / labels).is_dir()


def _unnumbered(path: Path) -> str:
    return re.sub(r"_\d{4}$", "", stem(path))
