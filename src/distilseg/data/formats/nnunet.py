"""nnU-Net v2 raw: `channel_names`, `labels` and `file_ending` in `dataset.json`; one file per modality.

`imagesTr/CASE_0000.nii.gz`, `CASE_0001.nii.gz`, ... with `labelsTr/CASE.nii.gz`, or the paths under an
optional `dataset` in the description. Images without a label, and those in `imagesTs`, are the unlabelled.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import UserError
from ..case import Case, Dataset, Source
from ..scans.scan import ENDINGS, stem
from .common import (
    check_twins,
    description,
    image_files,
    in_numeric_order,
    listed,
    unknown_value,
    value_to_name,
)

_CHANNELS = "channel_names"


def recognises(folder: Path) -> bool:
    """A `dataset.json` that names channels and lists no training cases."""
    known = description(folder)
    return "channel_names" in known or ("modality" in known and "training" not in known)


def read(folder: Path) -> Dataset:
    """The dataset in `folder`; raises `UserError` where its description is damaged or unsupported."""
    path, known = folder / "dataset.json", description(folder)
    channels = known.get("channel_names") or known.get("modality")
    if not isinstance(channels, dict) or not channels:
        raise UserError(f"{path} names no channels", 'add "channel_names", such as {"0": "CT"}')
    modalities = in_numeric_order(channels, "the channel", path)
    labels, unknown = unknown_value(known.get("labels"), path)
    cases = (
        _listed(folder, known["dataset"], modalities)
        if "dataset" in known
        else _found(folder, known, modalities)
    )
    return Dataset(
        name=str(known.get("name") or re.sub(r"^Dataset\d+_", "", folder.resolve().name)),
        folder=folder,
        layout="nnunet",
        modalities=modalities,
        labels=value_to_name(labels, path),
        cases=tuple(case for case in cases if case.label),
        unlabelled=tuple(case for case in cases if not case.label),
        licence=str(known.get("licence") or known.get("license") or ""),
        reference=str(known.get("reference") or ""),
        unknown=unknown,
        naming=f'call them CT in "{_CHANNELS if _CHANNELS in known else "modality"}" of {path.name}',
    )


def _listed(folder: Path, entries: Any, modalities: Sequence[str]) -> list[Case]:
    """The cases of `dataset`: {CASE: {"images": [...], "label": ...}}, paths as `listed` reads them."""
    path, cases = folder / "dataset.json", []
    if not isinstance(entries, dict):
        raise UserError(
            f"{path}: 'dataset' is a {type(entries).__name__}", "it must map each case to its files"
        )
    for id, entry in entries.items():
        images = entry.get("images") if isinstance(entry, dict) else None
        if not isinstance(images, list) or len(images) != len(modalities):
            raise UserError(
                f"{path}: case {id} must list {len(modalities)} images ({', '.join(modalities)})",
                "correct its entry",
            )
        sources = {
            m: Source(listed(folder, str(name), path)) for m, name in zip(modalities, images, strict=True)
        }
        label = entry.get("label")
        cases.append(Case(str(id), sources, listed(folder, str(label), path) if label else None))
    return cases


def _found(folder: Path, known: dict[str, Any], modalities: Sequence[str]) -> list[Case]:
    """The cases that lie in imagesTr, labelsTr and imagesTs."""
    ending = _ending(folder, known)
    for part in ("imagesTr", "labelsTr", "imagesTs"):
        check_twins(image_files(folder / part))

    def stems(part: str) -> list[str]:
        return [stem(file) for file in image_files(folder / part) if file.name.endswith(ending)]

    def case(id: str, part: str, label: Path | None) -> Case:
        paths = [folder / part / f"{id}_{number:04d}{ending}" for number in range(len(modalities))]
        plain = folder / part / f"{id}{ending}"
        if len(paths) == 1 and not paths[0].is_file() and plain.is_file():
            paths = [plain]  # one modality, its suffix forgotten: nothing else can be meant
        return Case(id, {m: Source(path) for m, path in zip(modalities, paths, strict=True)}, label)

    def ids(part: str) -> list[str]:
        return list(dict.fromkeys(re.sub(r"_\d{4}$", "", name) for name in stems(part)))

    labelled = stems("labelsTr")
    if not labelled and (folder / "labelsTr").is_dir():
        raise UserError(
            f"{folder} has no labelled case: labelsTr holds no file ending in {ending}",
            "add the label maps or correct 'file_ending' in dataset.json",
        )
    waiting = [id for id in ids("imagesTr") if id not in set(labelled) and not _belongs(id, labelled)]
    return [
        *(case(id, "imagesTr", folder / "labelsTr" / f"{id}{ending}") for id in labelled),
        *(case(id, "imagesTr", None) for id in waiting),
        *(case(id, "imagesTs", None) for id in ids("imagesTs")),
    ]


def _belongs(id: str, labelled: Sequence[str]) -> bool:
    """`id` lost a number that was part of a labelled case's name (`case_0001` without its channel suffix)."""
    return any(re.fullmatch(re.escape(id) + r"_\d{4}", known) for known in labelled)


def _ending(folder: Path, known: dict[str, Any]) -> str:
    """The files' ending, as described, or the one that the label maps have."""
    found = image_files(folder / "labelsTr")
    ending = str(
        known.get("file_ending") or (found[0].name.removeprefix(stem(found[0])) if found else ".nii.gz")
    )
    if ending not in ENDINGS:
        raise UserError(
            f"{folder / 'dataset.json'}: files ending in {ending!r} cannot be read",
            f"convert them to one of {', '.join(ENDINGS)} and correct 'file_ending'",
        )
    return ending
