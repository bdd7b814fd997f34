"""Scans that nobody labelled: a teacher's answers on some stand for labels to choose and judge a student.

    FOLDER/labels/<digest>.nii.gz     a label map that teachers made, in the student's label values
    FOLDER/<digest>/answered.json     the scans, which label map belongs to which, and whose answers they are

Some scans are kept apart, by patient, and learned from by nobody. The teachers' own label maps of these (made
as their makers make them, not by recorded answers) validate and judge; what is measured so is agreement with
the teachers and is called that. A label map is named by the content of its scans, the teachers with their
options, and the classes; it appears whole or not at all, so that what was interrupted goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..claims import Claim, made_once
from ..data.case import Case, Dataset
from ..data.formats import LAYOUTS, answered, read_dataset
from ..data.formats.inputs import find_cases
from ..data.planning.splits import kept_apart
from ..data.scans.detached import files_of
from ..data.scans.reading import read_scan, write_label_map
from ..data.scans.scan import Scan
from ..errors import UserError
from ..names import component
from ..progress import counting
from ..teachers.classes import channels_by_value, match_classes, read_joined, shared_out
from ..teachers.teacher import Teacher
from .experiment import file_digest
from .foreign import Foreign, shown_modalities

VERSION = 1
SHARE = 0.3  # of the patients: as many as a split validates and tests on
_UNNAMED = "scan"  # what a scan is where neither files nor teachers say it
_FOLDERS_OF_IMAGES = ("images", "imagestr", "imagests")


def labelled_by_teacher(
    teachers: Sequence[Teacher],
    scans: Dataset | Path | str | Sequence[Path | str],
    folder: Path,
    *,
    classes: Sequence[str] = (),
    modalities: Sequence[str] = (),
    teacher_modalities: Sequence[str] = (),
    name: str = "",
    share: float = SHARE,
    seed: int = 0,
) -> Dataset:
    """The scans as a dataset of which `share` is labelled by the teachers, and the rest by nobody.

    `scans`: a dataset, whose own labels are not looked at, or files and folders as of `find_cases`.
    `classes`: of the student, and what they are made of, as `--classes` says it; default: all of the
    teachers', the first's before others'. `modalities`: what the scans are, where files do not say it;
    default: what the teachers are shown. `teacher_modalities`: of these, in the teacher's order, where names
    do not say it. `folder`: where label maps and the description are kept, by content. `name`: of the
    dataset; default: the folder's. Raises `UserError` where classes or modalities are not clear, a scan
    cannot be one, or the teachers see no structure in any scan that is kept apart.
    """
    dataset = _dataset(teachers, scans, modalities, name)
    names, foreign = learned_of(teachers, dataset.modalities, classes, teacher_modalities)
    cases = (*dataset.cases, *dataset.unlabelled)
    apart = kept_apart(cases, share=share, seed=seed)
    labels = {case.id: folder / "labels" / f"{_key(case, foreign)}.nii.gz" for case in apart}
    todo = {id: path for id, path in labels.items() if not path.is_file()}

    def make(id: str, mine: Claim) -> None:
        _write_label(dataset.case(id), foreign, mine)

    with counting("teacher's label maps") as move:
        for done, _ in enumerate(made_once(todo, make), start=1):
            move(done, len(todo))
    told = " and ".join(teacher.name for teacher in teachers)
    if not any(read_scan(path).array.any() for path in labels.values()):
        raise UserError(
            f"{told} sees none of {', '.join(names)} in the {len(apart)} scans that are kept apart to judge",
            "are they what it was trained on: the modality, the intensities, the orientation"
            " (--teacher-orientation)?",
        )
    made = replace(
        dataset,
        labels={0: "background", **dict(enumerate(names, start=1))},
        cases=tuple(replace(case.with_label(labels[case.id]), merged={}) for case in apart),
        unlabelled=tuple(case.with_label(None) for case in cases if case.id not in labels),
        unknown=None,
        labelled_by=told,
    )
    described = hashlib.blake2b(repr((VERSION, made, told)).encode(), digest_size=12).hexdigest()
    return answered.write(made, folder / component(described, kind="dataset"))


def holds_labels(data: Path | str, layout: str | None = None) -> bool:
    """Whether a dataset lies at `data` of which somebody labelled a case; else it is scans alone."""
    path = Path(data)
    if layout is not None:
        return bool(read_dataset(path, layout).cases)
    module = next((module for module in LAYOUTS.values() if module.recognises(path)), None)
    return module is not None and bool(module.read(path).cases)


def learned_of(
    teachers: Sequence[Teacher],
    modalities: Sequence[str],
    classes: Sequence[str] = (),
    teacher_modalities: Sequence[str] = (),
) -> tuple[tuple[str, ...], tuple[Foreign, ...]]:
    """The student's classes without the background, and the teachers that answer for them.

    Raises `UserError` for a class that no teacher answers for.
    """
    names, joined = read_joined(classes)
    if not names:
        names = tuple(dict.fromkeys(head.name for one in teachers for head in one.heads if any(head.values)))
    foreign = tuple(
        Foreign(
            teacher,
            match_classes(teacher, ("background", *names), joined=own),
            shown_modalities(teacher, modalities, teacher_modalities or None),
        )
        for teacher, own in zip(teachers, shared_out(teachers, joined), strict=True)
    )
    known = {learned.name for one in foreign for learned in one.classes.learned}
    if lacking := [name for name in names if name not in known]:
        raise UserError(
            f"no teacher answers for {', '.join(lacking)}, and without labels nothing else does",
            "say what it is made of, as in --classes kidney=kidney_left+kidney_right, or leave it out",
        )
    return names, foreign


def _dataset(
    teachers: Sequence[Teacher],
    scans: Dataset | Path | str | Sequence[Path | str],
    modalities: Sequence[str],
    name: str,
) -> Dataset:
    """The scans as a dataset without labels."""
    if isinstance(scans, Dataset):
        return replace(scans, name=name or scans.name)
    shown = dict.fromkeys(modality for teacher in teachers for modality in teacher.modalities)
    chosen = tuple(modalities) or tuple(shown) or (_UNNAMED,)
    found, refused = find_cases(scans, chosen)
    for case, why in refused.items():
        raise UserError(f"the scan {case} cannot be learned from: {why}", "leave it out")
    first = Path(scans if isinstance(scans, (str, Path)) else scans[0]).absolute()
    of_scans = first if first.is_dir() else first.parent
    of_scans = of_scans.parent if of_scans.name.lower() in _FOLDERS_OF_IMAGES else of_scans
    hidden = tuple(case.with_label(None) for case in found)
    return Dataset(name or of_scans.name, of_scans, "answered", chosen, {0: "background"}, (), hidden)


def _write_label(case: Case, foreign: Sequence[Foreign], mine: Claim) -> None:
    label, like = _label(case, foreign)
    with mine.written() as aside:
        write_label_map(aside, label, like)


def _label(case: Case, foreign: Sequence[Foreign]) -> tuple[NDArray[np.unsignedinteger[Any]], Scan]:
    """The student's label values [I J K]: where several teachers see something, the first's."""
    label: NDArray[np.unsignedinteger[Any]] | None = None
    for one in foreign:
        scans = one.scans(case)
        like = next(iter(scans.values()))
        seen = one.teacher.labels(one.teacher.answer(scans, case=case.id), scans)
        if seen.shape != like.array.shape:
            raise ValueError(f"case {case.id}: a label map of {seen.shape} for {like.array.shape} voxels")
        own = channels_by_value(one.teacher.heads, one.classes, int(seen.max()))[seen]
        label = own if label is None else np.where(label == 0, own, label)
    assert label is not None
    return label, like


def _key(case: Case, foreign: Sequence[Foreign]) -> str:
    """Of the content of the case's scans, the teachers with their options, and the classes."""
    images: Mapping[str, Any] = {
        name: [
            [file_digest(file) for file in files_of(source.path, source.series)]
            + [file_digest(file) for file in (files_of(source.onto) if source.onto else ())],
            *source.plain()[1:2],
            *source.plain()[3:],
        ]
        for name, source in sorted(case.images.items())
    }
    parts = [VERSION, images, [one.identity for one in foreign]]
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=20).hexdigest()
