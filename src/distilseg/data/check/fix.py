"""A repaired copy of a dataset: only what is safe, only in the copy."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ...errors import UserError
from ...files import folder_written_whole
from ...hardware import usable_cores
from ..case import Case, Dataset, Source
from ..formats import LAYOUTS
from ..scans.reading import read_stored, scan_of, write_array, write_label_map
from ..scans.scan import Scan
from .report import CheckReport, Problem


def fix_dataset(dataset: Dataset, report: CheckReport, out: Path | str) -> list[str]:
    """Copies the dataset's folder to `out`, in the same layout, with every fixable problem repaired.

    A file whose affine is off within the tolerance gets that of the case's first image; a label map of whole
    numbers stored as floats becomes the smallest unsigned integer type. Everything else is copied as it is.
    The source is never touched, and `out` appears whole or not at all. Returns one line per repaired file;
    with nothing to repair it is empty and nothing is written. Raises `UserError` if `out` holds anything,
    lies in the dataset or around it, or if the dataset names files by other than relative paths within.
    """
    if dataset.layout == "dicom":
        raise UserError(f"{dataset.folder} is DICOM, of which no copy is repaired", "leave out --fix")
    out = Path(out)
    source = dataset.folder if dataset.folder.is_dir() else dataset.folder.parent
    _refuse_unsafe(source, out)
    repairs: dict[Path, list[Problem]] = defaultdict(list)
    for problem in report.problems:
        if problem.fixable and problem.path is not None:
            repairs[problem.path].append(problem)
    if not repairs:
        return []
    cases = {case.id: case for case in dataset.cases}
    with folder_written_whole(out) as aside:
        shutil.copytree(source, aside, dirs_exist_ok=True, ignore=shutil.ignore_patterns("._*"))
        table = aside if source == dataset.folder else aside / dataset.folder.name
        _refuse_foreign(LAYOUTS[dataset.layout].read(table), aside)

        def repair(path: Path) -> str:
            return _repair(
                path, repairs[path], cases[repairs[path][0].case], aside / path.relative_to(source)
            )

        with ThreadPoolExecutor(usable_cores()) as pool:
            return list(pool.map(repair, repairs))


def _repair(path: Path, problems: Sequence[Problem], case: Case, target: Path) -> str:
    """Rewrites the copy `target` of `path`; says what was done."""
    kinds = {problem.kind for problem in problems}
    scan = _stored(Source(path))
    like = _stored(next(iter(case.images.values()))) if "affine" in kinds else scan
    if "label_type" in kinds:
        write_label_map(target, scan.array, like)
    else:
        write_array(target, scan.array, like)
    done = {"affine": f"given the affine of {like.path.name}", "label_type": "stored as unsigned integers"}
    return f"{case.id}: {path.name} {' and '.join(done[kind] for kind in sorted(kinds))}"


def _stored(source: Source) -> Scan:
    """As it is, whatever else is wrong with it."""
    return scan_of(read_stored(source.path), source)


def _refuse_unsafe(source: Path, out: Path) -> None:
    inner, outer = out.resolve(), source.resolve()
    if inner == outer or outer in inner.parents or inner in outer.parents:
        raise UserError(
            f"the repaired copy {out} would lie in the dataset {source} or around it",
            "name a folder elsewhere",
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists and is not empty", "name a new folder for the repaired copy")


def _refuse_foreign(copy: Dataset, aside: Path) -> None:
    """The copied description must name the copied files, not the source's by absolute or upward paths."""
    for case in (*copy.cases, *copy.unlabelled):
        for path in (*(image.path for image in case.images.values()), case.label):
            if path is not None and aside.absolute() not in Path(os.path.abspath(path)).parents:
                raise UserError(
                    f"case {case.id}: the copy would still use {path}",
                    "a repaired copy needs all files in the dataset's folder, named by relative paths",
                )
