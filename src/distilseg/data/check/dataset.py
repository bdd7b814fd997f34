"""The pass over all cases, and what only shows between them: duplicates, classes that no case holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from ...hardware import usable_cores
from ..case import Dataset
from ..formats import read_dataset
from ..scans.scan import ending
from . import training
from .case import check_case
from .report import CheckReport, Findings, Problem, Severity

TOLERANCE_MM = 0.01
_FOR_TRAINING = ("imagesTr", "images")


def check_dataset(
    dataset: Dataset | Path | str,
    *,
    tolerance_mm: float = TOLERANCE_MM,
    progress: Callable[[str], None] = lambda case: None,
) -> CheckReport:
    """Every problem of a dataset, unlabelled cases included.

    Two grids of one case may put a voxel up to `tolerance_mm` apart (measured at the corners of the volume)
    before that is an error; smaller differences are fixable warnings. `progress(case)` is called as cases
    are done. Raises `UserError` only where the dataset's description cannot be read at all.
    """
    if not isinstance(dataset, Dataset):
        dataset = read_dataset(dataset)
    cases = (*dataset.cases, *dataset.unlabelled)
    with ThreadPoolExecutor(usable_cores()) as pool:
        futures = [pool.submit(check_case, case, dataset, tolerance_mm) for case in cases]
        ids = {future: case.id for future, case in zip(futures, cases, strict=True)}
        for future in as_completed(futures):
            if (error := future.exception()) is not None:
                pool.shutdown(cancel_futures=True)
                raise RuntimeError(f"checking case {ids[future]} failed: {error}") from error
            progress(ids[future])
    findings = [future.result() for future in futures]
    between = [*_same_images(findings), *_unlabelled(dataset)]
    order = {case.id: number for number, case in reversed(list(enumerate(cases)))}
    problems = [problem for found in findings for problem in found.problems]
    between += _single_among_volumes(findings)
    problems = sorted([*problems, *between], key=lambda problem: order[problem.case])  # stable
    problems += [
        *training.of_classes(dataset, findings),
        *_absent_classes(dataset, findings),
        *_without_spacing(dataset),
        *training.of_hounsfield(dataset, findings),
    ]
    if not any(problem.severity == "error" for problem in problems):
        problems += training.of_plan(dataset, findings)
    return CheckReport(
        dataset=dataset.name,
        folder=dataset.folder,
        cases_checked=len(cases),
        files_checked=sum(found.files for found in findings),
        tolerance_mm=tolerance_mm,
        problems=tuple(problems),
        notes=(*dataset.notes, *training.notes(dataset)),
    )


def _same_images(findings: Sequence[Findings]) -> list[Problem]:
    """One image under two ids: between training and test cases it would spoil every number."""
    holders: dict[str, list[tuple[Findings, str]]] = defaultdict(list)
    for found in findings:
        for modality, fingerprint in found.fingerprints.items():
            holders[fingerprint].append((found, modality))
    problems, reported = [], set()
    for held in holders.values():
        first, modality = held[0]
        for other, _ in held[1:]:
            pair = (first.case.id, other.case.id)
            if pair[0] == pair[1] or pair in reported:
                continue
            reported.add(pair)
            path = other.case.images[next(m for f, m in held if f is other)].path
            message = (
                f"the image {path} holds the same voxels as the {modality} image of case {first.case.id}"
            )
            same_patient = first.case.group == other.case.group
            fix = "remove one of the two"
            fix += "" if same_patient else ", or give both the same patient so that no split separates them"
            severity: Severity = "warning" if same_patient else "error"
            problems.append(Problem(other.case.id, "duplicate", message, fix, severity, path=path))
    return problems


def _single_among_volumes(findings: Sequence[Findings]) -> list[Problem]:
    """Single slices are a kind of dataset, but among volumes they are probably mistaken for one."""
    if all(found.single for found in findings if found.grids):
        return []
    fix = "is it a 2D image? 3D networks need volumes"
    return [
        Problem(
            found.case.id, "dimension", f"{path} has a single slice {list(shape)}", fix, "warning", path=path
        )
        for found in findings
        for path, shape in found.single
    ]


def _without_spacing(dataset: Dataset) -> list[Problem]:
    """A PNG cannot say how large its pixels are."""
    images = [source.path for case in dataset.cases for source in case.images.values()]
    png = next((path for path in images if ending(path).lower() == ".png"), None)
    if png is None:
        return []
    message = f"PNG images such as {png.name} have no spacing: 1 mm a pixel is assumed"
    fix = "read millimetres as pixels, or convert to NIfTI with the true spacing"
    return [Problem("", "spacing", message, fix, "warning")]


def _unlabelled(dataset: Dataset) -> list[Problem]:
    """Images that lie among the training images and have no label: perhaps one was forgotten."""
    problems = []
    for case in dataset.unlabelled:
        path = next(iter(case.images.values())).path
        if path.parent.name in _FOR_TRAINING and dataset.layout in ("nnunet", "folders"):
            fix = "it is taken as unlabelled; add the label if one was forgotten"
            problems.append(Problem(case.id, "unlabelled", f"{path} has no label", fix, "warning", path=path))
    return problems


def _absent_classes(dataset: Dataset, findings: Sequence[Findings]) -> list[Problem]:
    """Classes that no label map holds; said with less certainty where some could not be read."""
    labelled = [found for found in findings if found.case.label is not None]
    read = [found for found in labelled if found.label_read]
    if not read:
        return []
    held: set[int] = set().union(*(found.counts for found in labelled))
    strange = sorted(held - set(dataset.labels))
    others = (
        f" (they hold {', '.join(map(str, strange[:5]))}, which no class is named for)" if strange else ""
    )
    fix = "correct the dataset's labels: what no case shows cannot be learned"
    severity: Severity = "error"
    which = "no label map"
    if len(read) < len(labelled):
        which, severity = f"none of the {len(read)} label maps that could be read", "warning"
        fix = f"mend the other {len(labelled) - len(read)} and check again: {fix}"
    return [
        Problem("", "label_absent", f"{which} holds {value}, the class {name!r}{others}", fix, severity)
        for value, name in sorted(dataset.labels.items())
        if value != 0 and value not in held
    ]
