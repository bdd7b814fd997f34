"""Descriptions of datasets, splits and tables whose text was changed are read or refused, naming the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from distilseg.data.formats import read_dataset
from distilseg.data.planning.fingerprint import load_fingerprint, measure, save_fingerprint
from distilseg.data.planning.splits import load_split
from distilseg.errors import UserError

from ..data.small_datasets import decathlon, nnunet
from .mutations import mutated, mutated_json

INPUTS = 250  # a kind


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


KINDS = {kind.__name__: kind for kind in (_decathlon, _nnunet, _table, _labels, _split, _fingerprint)}


@pytest.mark.parametrize("kind", KINDS)
def test_read_or_refused(kind: str, tmp_path: Path) -> None:
    path, read = KINDS[kind](tmp_path / "data")
    sound = path.read_bytes()
    read()
    refused = 0
    for number in range(INPUTS):
        rng = Random(f"{kind} {number}")
        value: Any = json.loads(sound) if path.suffix == ".json" else None
        path.write_bytes(mutated(sound, rng) if value is None else mutated_json(value, rng))
        try:
            read()
        except UserError:
            refused += 1
        except Exception as error:
            error.add_note(f"{kind} {number}: {path.read_bytes()[:2000]!r}")
            raise
    assert refused > INPUTS / 20
