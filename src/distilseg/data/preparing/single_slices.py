"""One slice of each patient's volumes: datasets of single slices, drawn by seed, nothing copied.

A screening takes one slice to spare dose. From volumes such a dataset is drawn: of each patient one labelled
case and of that one slice, among those that hold foreground. The draw is made by the patient's name and the
seed, so that it depends on no other patient and on no order. Cases keep their names.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import UserError, told_of, unknown
from ...hardware import usable_cores
from ..case import Case, Dataset, SliceDraw
from ..formats import read_dataset
from ..planning.views import VIEWS, view_axis
from ..scans.reading import read_label


def one_slice_each(
    dataset: Dataset,
    *,
    view: str = "axial",
    seed: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> Dataset:
    """The dataset of one labelled slice of each patient, drawn by `seed` among those with foreground.

    `view` is axial, coronal or sagittal: across the axis of the volume nearest to that direction. Patients
    without any foreground are left out, unlabelled cases too. Label maps are read once, several at a time;
    `progress(done, patients)` is called after each. Raises `UserError` if no slice is left, or a label map
    cannot be read.
    """
    if view not in VIEWS:
        raise unknown("view", view, VIEWS)
    patients: dict[str, list[Case]] = defaultdict(list)
    for case in dataset.cases:
        patients[case.group].append(case)
    chosen: list[Case] = []
    with ThreadPoolExecutor(min(8, usable_cores())) as pool:
        try:
            drawn = pool.map(lambda cases: _one_slice(cases, view, seed, dataset.unknown), patients.values())
            for done, one in enumerate(drawn, start=1):
                if one is not None:
                    chosen.append(one)
                if progress is not None:
                    progress(done, len(patients))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if not chosen:
        raise UserError(
            f"no label map of dataset {dataset.name} holds a structure", "run `distilseg check` on it"
        )
    return replace(dataset, cases=tuple(chosen), unlabelled=(), drawn=SliceDraw(view, seed))


def recorded_dataset(told: Mapping[str, Any], dataset: Dataset | None = None) -> Dataset:
    """What a run learned from, by the `dataset` of its experiment.json; `dataset`: where that lies now.

    Raises `UserError` where a run of another version tells no more than a name.
    """
    if not isinstance(told, Mapping):
        raise UserError(f"the run's experiment.json tells of its dataset {told!r} alone", "restore that file")
    dataset = dataset or read_dataset(told["folder"], told["layout"])
    drawn = told.get("one_slice_per_subject")
    return one_slice_each(dataset, **drawn) if drawn and dataset.drawn is None else dataset


def _one_slice(cases: Sequence[Case], view: str, seed: int, unknown: int | None) -> Case | None:
    """One slice of one case of a patient; None if none holds foreground."""
    for case in sorted(cases, key=lambda case: _draw(case.id, seed)):
        with told_of(f"case {case.id}"):
            label = read_label(case)
        if 1 in label.array.shape:
            raise UserError(
                f"case {case.id}: {label.path} is a single slice {list(label.array.shape)}, slices are drawn"
                " from volumes",
                "leave out --one-slice-per-subject",
            )
        if "?" in label.geometry.orientation:
            raise UserError(f"case {case.id}: {label.path.name} has a spacing of zero", "repair its header")
        axis = view_axis(label.geometry.orientation, view)
        others = tuple(n for n in range(3) if n != axis)
        foreground = (label.array > 0) & (label.array != unknown)
        filled = np.flatnonzero(foreground.any(axis=others))
        if filled.size:
            return case.only_slice(axis, int(filled[_draw(case.group, seed) % filled.size]))
    return None


def _draw(name: str, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"slice:{seed}:{name}".encode()).digest())
