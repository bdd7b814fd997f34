"""From a folder of labelled scans to a study: dataset, plan, split, seed."""

from __future__ import annotations

import filecmp
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import progress
from ..data.case import Case, Dataset, Source
from ..data.formats import read_dataset
from ..data.formats.dicom import DicomOptions
from ..data.formats.inputs import find_cases
from ..data.planning.decide import like_ct, make_plan, named_ct, unnamed_ct
from ..data.planning.fingerprint import Fingerprint, load_fingerprint, measure, save_fingerprint
from ..data.planning.plan import Plan, load_plan
from ..data.planning.splits import Split, folds, load_split, split_cases, split_of_judges, subset
from ..data.preparing.single_slices import one_slice_each
from ..data.scans.detached import files_of
from ..data.scans.scan import ENDINGS
from ..errors import UserError
from ..names import identity
from ..user_cache import kept_if_possible, user_cache
from .experiment import Study

OWN, REST = "own", "rest"  # in place of a folder of scans without labels
MEASURES = 4  # raise it when more is measured: kept fingerprints are then measured again


def make_study(
    data: Path | str | Dataset,
    *,
    layout: str | None = None,
    modalities: Sequence[str] | None = None,
    one_slice_per_subject: str | None = None,
    plan: Path | Plan | None = None,
    split: Path | Split | None = None,
    folds_: int | None = None,
    fold: int | None = None,
    seed: int = 0,
    split_seed: int = 0,
    unlabelled: Sequence[Path | str] = (),
    **plan_options: Any,
) -> Study:
    """Reads the dataset, measures and plans it unless `plan` is given, splits it unless `split` is.

    The split is 70/10/20 by patient, drawn by `split_seed` and not by `seed`, so that runs of several seeds
    are judged on the same cases; or fold `fold` of `folds_`. Of the dataset's modalities only `modalities`
    count, else those of the plan that is given. `one_slice_per_subject` names the view of which one slice of
    each patient is kept, drawn by `split_seed` too. `unlabelled`: scans without labels that a teacher answers
    for, see `with_unlabelled`. Where a teacher made the label maps (`agreement.labelled_by_teacher`), these
    validate and test, and all other scans are learned from without labels.
    """
    dataset = data if isinstance(data, Dataset) else read_dataset(data, layout)
    tell_notes(dataset)
    if modalities is None and plan is not None:
        modalities = load_plan(plan).modalities if isinstance(plan, Path) else plan.modalities
        modalities = [name for name in modalities if name in dataset.modalities]
    dataset = narrowed(dataset, modalities, one_slice_per_subject, split_seed)
    if fold is not None and folds_ is None:
        raise UserError(
            f"fold {fold} is asked for, but not of how many", "add the number of folds, --folds 5"
        )
    if folds_ is not None and split is not None:
        raise UserError("a split is given, and also a number of folds", "leave one of them out")
    if isinstance(split, Path):
        split = load_split(split, dataset.cases, trains=not (unlabelled or dataset.labelled_by))
    elif dataset.labelled_by and split is None:
        if folds_ is not None:
            raise UserError(
                f"dataset {dataset.name} has no labels to fold, its label maps are {dataset.labelled_by}'s",
                "leave out --folds",
            )
        split = split_of_judges(dataset.cases, seed=split_seed)
    elif split is None and folds_ is not None:
        split = folds(dataset.cases, n=folds_, fold=fold or 0, seed=split_seed)
    if split is None:
        split = split_cases(dataset.cases, seed=split_seed)
    # Last, as it reads every scan.
    if isinstance(plan, Path):
        plan = load_plan(plan, fingerprint_of(dataset))
    if plan is None:
        measured = fingerprint_of(dataset)
        plan = make_plan(dataset, measured, **plan_options)
        for name in unnamed_ct(dataset, measured):
            from .observers import warn  # with torch, which a plan does without

            warn(f"{like_ct(name)}; {named_ct(dataset, name)}")
    elif plan_options:
        raise UserError(
            f"a plan is given, and also {sorted(plan_options)}", "edit the plan, or leave one out"
        )
    if dataset.labelled_by and OWN not in unlabelled:
        unlabelled = (*unlabelled, OWN)
    named = tuple(str(one) for one in unlabelled)
    return with_unlabelled(Study(dataset, plan, split, seed, unlabelled_from=named), unlabelled)


def with_unlabelled(study: Study, named: Sequence[Path | str]) -> Study:
    """The study with scans without labels: those of the dataset itself ("own"), of files and folders; "rest"
    is for `of_subjects`.

    Raises UserError for a scan that has the name of one of the dataset or is a copy of a labelled one, and
    where nothing is found.
    """
    dataset = study.dataset
    places = [Path(one) for one in named if one not in (OWN, REST)]
    own = [case.id for case in dataset.unlabelled] if OWN in named else []
    if OWN in named and not own:
        raise UserError(f"dataset {dataset.name} has no scans without labels", "name a folder of some")
    if places:
        found, refused = find_cases(places, dataset.modalities, dicom=DicomOptions(kept=dataset.series))
        for case, why in refused.items():
            raise UserError(f"the scan {case} cannot be learned from: {why}", "leave it out of --unlabelled")
        known = {identity(case.id, ENDINGS): case for case in (*dataset.cases, *dataset.unlabelled)}
        if twice := next((case for case in found if identity(case.id, ENDINGS) in known), None):
            other = known[identity(twice.id, ENDINGS)]
            raise UserError(
                f"{twice.id} is the name of a case of {dataset.name} and of a scan without a label"
                f" ({_first_file(other)}, {_first_file(twice)})",
                "rename the scan, or leave it out where it is the same: a case that judges must not teach",
            )
        _check_copies(dataset.cases, found)
        hidden = tuple(case.with_label(None) for case in found)
        dataset = replace(dataset, unlabelled=(*dataset.unlabelled, *hidden))
        own += [case.id for case in hidden]
    return replace(study, dataset=dataset, unlabelled=tuple(own)) if own else study


def _first_file(case: Case) -> Path:
    return next(iter(case.images.values())).path


def _check_copies(labelled: Sequence[Case], found: Sequence[Case]) -> None:
    """Refuses a labelled scan under another name; it is found byte by byte, not if it was compressed anew."""
    by_size: dict[tuple[int, ...], list[tuple[Case, list[Path]]]] = {}
    for case in labelled:
        by_size.setdefault(_sizes(own := _files(case)), []).append((case, own))
    for case in found:
        files = _files(case)
        for original, own in by_size.get(_sizes(files), ()):
            if all(filecmp.cmp(*pair, shallow=False) for pair in zip(files, own, strict=True)):
                raise UserError(
                    f"the scan {case.id} without a label is a copy of the labelled case {original.id}",
                    "leave it out: a case that judges must not teach",
                )


def _files(case: Case) -> list[Path]:
    """What its voxels lie in, modality by modality."""
    sources = [case.images[name] for name in sorted(case.images)]
    return [file for one in sources if one.path.exists() for file in files_of(one.path, one.series)]


def _sizes(files: Sequence[Path]) -> tuple[int, ...]:
    return tuple(file.stat().st_size for file in files)


def of_subjects(study: Study, n: int | None, seed: int = 0, *, rest: bool = False) -> Study:
    """The study with `n` of its training subjects, drawn by `seed`; with all of them for None.

    With `rest` the others' scans are learned from as if nobody had labelled them.
    """
    if n is None:
        return study
    split = subset(study.split, study.dataset.cases, n, seed)
    others = tuple(id for id in study.split.train if id not in split.train) if rest else ()
    return replace(study, split=split, subjects=n, unlabelled=(*study.unlabelled, *others))


def tell_notes(dataset: Dataset) -> None:
    """Says what of the dataset's folder is no case, and why."""
    for note in dataset.notes:
        progress.say(note)


def narrowed(dataset: Dataset, modalities: Sequence[str] | None, view: str | None, seed: int) -> Dataset:
    """Of its modalities those that are named; one slice of each patient, drawn by `seed`, where a view is."""
    dataset = dataset.seeing(modalities) if modalities else dataset
    return dataset if view is None else _slices_of(dataset, view, seed)


def _slices_of(dataset: Dataset, view: str, seed: int) -> Dataset:
    """One slice of each patient, see `one_slice_each`; says how many patients have none."""
    patients = len({case.group for case in dataset.cases})
    with progress.counting("drawing slices") as move:
        drawn = one_slice_each(dataset, view=view, seed=seed, progress=move)
    if without := patients - len(drawn.cases):
        progress.say(f"{without} of {patients} patients have no labelled structure and are left out")
    return drawn


def _looked_at(source: Source) -> tuple[Path, ...]:
    """The files that change where the scan does; of what cannot be read, its path."""
    if not source.series and not source.path.is_dir():
        return (source.path,)
    try:
        return files_of(source.path, source.series)
    except UserError:  # told where it is read
        return (source.path,)


def fingerprint_of(dataset: Dataset, cache: Path | None = None) -> Fingerprint:
    """The dataset's measures; kept in the user's cache until one of its files changes."""
    files = sorted({file for case in dataset.cases for s in case.images.values() for file in _looked_at(s)})
    files += sorted(case.label for case in dataset.cases if case.label)
    files += sorted(file for case in dataset.cases if case.painted for file in case.painted.files)
    state = [(str(f.absolute()), f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.exists()]
    changed = [
        (case.id, [(str(s.onto), s.box_mm) for s in case.images.values()], dict(case.merged))
        + ((case.slice,) if case.slice else ())
        + ((case.painted.values, [s.series for s in case.images.values()]) if case.painted else ())
        for case in dataset.cases
    ]
    key = hashlib.blake2b(
        repr((MEASURES, dataset.name, dataset.modalities, dict(dataset.labels), state, changed)).encode(),
        digest_size=12,
    ).hexdigest()
    kept = (cache or user_cache()) / "fingerprints" / f"{key}.json"
    if kept.is_file():
        return load_fingerprint(kept)
    with progress.counting("measuring the scans") as move:
        found = measure(dataset, progress=move)
    with kept_if_possible("what was measured of the scans", kept.parent):
        save_fingerprint(kept, found)
    return found
