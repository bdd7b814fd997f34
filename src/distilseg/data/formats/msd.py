"""Medical Segmentation Decathlon: `dataset.json` lists every case; several modalities share one 4D file.

Also read: MONAI's data lists (an image may be a list of files, one per modality; `validation` counts as
labelled) and nnU-Net v1 (`case.nii.gz` is listed, `case_0000.nii.gz` is on disk).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import UserError
from ..case import Case, Dataset, Source
from ..scans.scan import ending, stem
from .common import description, in_numeric_order, listed, value_to_name


def recognises(folder: Path) -> bool:
    """A `dataset.json` that lists `training` cases."""
    known = description(folder)
    return "training" in known and "channel_names" not in known


def read(folder: Path) -> Dataset:
    """The dataset that `folder/dataset.json` describes; raises `UserError` where it is damaged."""
    path, known = folder / "dataset.json", description(folder)
    modality = known.get("modality") or {"0": "image"}
    if not isinstance(modality, dict):
        raise UserError(f"{path}: 'modality' is {modality!r}", 'it must be an object such as {"0": "MRI"}')
    modalities = in_numeric_order(modality, "the modality", path)
    entries = [*_entries(known, "training", path), *_entries(known, "validation", path)]
    labelled = [_case(folder, entry, modalities) for entry in entries]
    listed = [_case(folder, entry, modalities) for entry in _entries(known, "test", path)]
    return Dataset(
        name=str(known.get("name") or folder.resolve().name),
        folder=folder,
        layout="msd",
        modalities=modalities,
        labels=value_to_name(known.get("labels"), path),
        cases=tuple(case for case in labelled if case.label),
        unlabelled=tuple(case for case in (*labelled, *listed) if not case.label),
        licence=str(known.get("licence") or known.get("license") or ""),
        reference=str(known.get("reference") or ""),
        naming=f'call them CT in "modality" of {path.name}',
    )


def _entries(known: dict[str, Any], part: str, path: Path) -> list[dict[str, Any]]:
    """The cases of one part, each {"image": ..., "label": ...}; a plain string is an image without label."""
    entries = known.get(part) or []
    if not isinstance(entries, list):
        raise UserError(f"{path}: {part!r} is a {type(entries).__name__}", "it must be a list of cases")
    cases = [{"image": entry} if isinstance(entry, str) else entry for entry in entries]
    for number, entry in enumerate(cases):
        image, label = (entry.get("image"), entry.get("label")) if isinstance(entry, dict) else (None, None)
        names = image if isinstance(image, list) else [image]
        if not names or not all(isinstance(name, str) and name for name in names):
            raise UserError(
                f"{path}: case {number} of {part!r} names no image", 'write {"image": ..., "label": ...}'
            )
        if label is not None and not isinstance(label, str):
            raise UserError(f"{path}: the label of {names[0]} is {label!r}", "name one file")
    return [entry for entry in cases if not (isinstance(entry["image"], str) and _is_twin(entry["image"]))]


def _is_twin(name: str) -> bool:
    """macOS writes `._name` beside `name`, and some lists name it."""
    return Path(name).name.startswith("._")


def _case(folder: Path, entry: dict[str, Any], modalities: Sequence[str]) -> Case:
    image, label = entry["image"], entry.get("label")
    images = _images(folder, image if isinstance(image, list) else [image], modalities)
    name = stem(image[0]).removesuffix("_0000") if isinstance(image, list) else stem(image.replace("\\", "/"))
    return Case(name, images, _path(folder, label) if label else None, str(entry.get("patient", "")))


def _images(folder: Path, names: Sequence[str], modalities: Sequence[str]) -> dict[str, Source]:
    """One file per modality, or one file whose channels they are."""
    if len(names) > 1:
        if len(names) != len(modalities):
            raise UserError(
                f"{folder / 'dataset.json'}: {len(names)} images ({names[0]}, ...)"
                f" for {len(modalities)} modalities",
                "list one file per modality, in their order",
            )
        return {m: Source(_path(folder, name)) for m, name in zip(modalities, names, strict=True)}
    path = _path(folder, names[0])
    if len(modalities) == 1 and (path.is_file() or not _numbered(path, 0).is_file()):
        return {modalities[0]: Source(path)}
    if not path.is_file() and _numbered(path, 0).is_file():
        return {m: Source(_numbered(path, number)) for number, m in enumerate(modalities)}
    return {m: Source(path, channel) for channel, m in enumerate(modalities)}


def _numbered(path: Path, number: int) -> Path:
    """nnU-Net v1's file of one modality."""
    return path.with_name(f"{stem(path)}_{number:04d}{ending(path)}")


def _path(folder: Path, name: str) -> Path:
    return listed(folder, name.replace("\\", "/"), folder / "dataset.json")
