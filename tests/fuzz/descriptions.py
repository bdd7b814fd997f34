"""Descriptions of datasets, splits and tables whose text somebody changed, by seed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from distilseg.data.formats import read_dataset
from distilseg.data.planning.fingerprint import load_fingerprint, measure, save_fingerprint
from distilseg.data.planning.splits import load_split

from ..data.small_datasets import decathlon, nnunet
from .ending import ending
from .mutations import mutated, mutated_json

TRIES = 250  # a kind


def _decathlon(folder: Path) -> tuple[Path, Callable[[], object]]:
    decathlon(folder)
    return folder / "dataset.json", lambda: read_dataset(folder, layout="msd")


def _nnunet(folder: Path) -> tuple[Path, Callable[[], object]]:
    nnunet(folder)
    return folder / "dataset.json", lambda: read_dataset(folder, layout="nnunet")


def _table(folder: Path) -> tuple[Path, Callable[[], object]]:
    nnunet(folder, channels=("CT",))
    (folder / "dataset.json").unlink()
    table = folder / "dataset.csv"
    rows = [f"case_{c},imagesTr/case_{c}_0000.nii.gz,labelsTr/case_{c}.nii.gz,p{c}" for c in range(3)]
    table.write_text("\n".join(["case,image:CT,label,patient", *rows]) + "\n")
    return table, lambda: read_dataset(folder, layout="table")


def _labels(folder: Path) -> tuple[Path, Callable[[], object]]:
    table, read = _table(folder)
    names = table.with_name("labels.json")
    names.write_text(json.dumps({"0": "background", "1": "tumour", "2": "organ"}))
    return names, read


def _split(folder: Path) -> tuple[Path, Callable[[], object]]:
    cases = read_dataset(decathlon(folder)).cases
    split = folder / "split.json"
    split.write_text(json.dumps({"train": [cases[0].id], "validation": [cases[1].id], "test": []}))
    return split, lambda: load_split(split, cases)


def _fingerprint(folder: Path) -> tuple[Path, Callable[[], object]]:
    kept = folder / "fingerprint.json"
    save_fingerprint(kept, measure(read_dataset(decathlon(folder))))
    return kept, lambda: load_fingerprint(kept)


KINDS = {
    kind.__name__.lstrip("_"): kind for kind in (_decathlon, _nnunet, _table, _labels, _split, _fingerprint)
}


def sweep(folder: Path, kind: str, tries: int = TRIES) -> Iterator[tuple[int, str]]:
    """The try and what became of it."""
    path, read = KINDS[kind](folder)
    sound = path.read_bytes()
    read()
    for number in range(tries):
        rng = Random(f"_{kind} {number}")
        value: Any = json.loads(sound) if path.suffix == ".json" else None
        path.write_bytes(mutated(sound, rng) if value is None else mutated_json(value, rng))
        yield number, ending(read)
