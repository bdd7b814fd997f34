"""Whether the whole can be learned from: what training asks of a dataset before it prepares a case.

The planner and the split are asked themselves, about what was measured while the files were read, so that
they refuse here what they would refuse there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import UserError
from ..case import Dataset
from ..planning.decide import called_otherwise, like_ct, make_plan, named_ct
from ..planning.fingerprint import CaseMeasures, Fingerprint, Intensities, box_shape
from ..planning.splits import split_cases, split_of_judges
from ..scans.learnable import check_classes
from ..scans.scan import axis_order
from .report import Findings, Problem


def of_classes(dataset: Dataset, findings: Sequence[Findings]) -> list[Problem]:
    """Too many classes, or none; of names that were taken from label maps only where all could be read."""
    if len(dataset.labels) < 2 and not all(found.label_read for found in _labelled(findings)):
        return []
    try:
        check_classes(dataset.labels)
    except UserError as error:
        return [Problem("", "classes", f"{dataset.name}: {error.cause}", error.fix)]
    return []


def of_plan(dataset: Dataset, findings: Sequence[Findings]) -> list[Problem]:
    """Why no plan can be made of cases in which nothing is wrong."""
    try:
        make_plan(dataset, _fingerprint(dataset, findings), normalisation="none")
    except UserError as error:
        return [Problem("", "plan", f"no plan can be made: {error.cause}", error.fix)]
    return []


def of_hounsfield(dataset: Dataset, findings: Sequence[Findings]) -> list[Problem]:
    """CT that is not called so: each image would be scaled by itself, and nobody would know."""
    seen = [found.hounsfield for found in findings if found.ranges]
    return [
        Problem(
            "",
            "hounsfield",
            f"{like_ct(name)}: each image would be scaled by itself",
            named_ct(dataset, name),
            "warning",
        )
        for name in called_otherwise(dataset.modalities, seen)
    ]


def notes(dataset: Dataset) -> tuple[str, ...]:
    """What training wants to be told: few patients are enough to judge on, and for a split of one's own."""
    try:
        if dataset.labelled_by:
            split_of_judges(dataset.cases)
        else:
            split_cases(dataset.cases)
    except UserError as error:
        return (f"to train on it: {error}",)
    return ()


def _labelled(findings: Sequence[Findings]) -> list[Findings]:
    return [found for found in findings if found.case.label is not None]


def _fingerprint(dataset: Dataset, findings: Sequence[Findings]) -> Fingerprint:
    """What was seen, as the planner takes it: intensities are of all voxels, and unused."""
    labelled = _labelled(findings)
    intensities = {}
    for name in dataset.modalities:
        low, high = np.transpose([found.ranges[name] for found in labelled])
        middle = float(np.median((low + high) / 2))
        intensities[name] = Intensities(
            percentile_00_5=float(low.min()),
            median=middle,
            percentile_99_5=float(high.max()),
            mean=middle,
            std=float((high - low).mean()),
        )
    cases = tuple(_measures(dataset, found) for found in labelled)
    return Fingerprint(dataset=dataset.name, cases=cases, intensities=intensities)


def _measures(dataset: Dataset, found: Findings) -> CaseMeasures:
    grid = found.grid
    assert grid is not None  # of a case without an error there is one
    to_ras = np.argsort(axis_order(grid.orientation)).tolist()  # stored axis of R, of A, of S
    box = box_shape(found.filled)
    return CaseMeasures(
        id=found.case.id,
        orientation=grid.orientation,
        shape=tuple(grid.shape[axis] for axis in to_ras),
        nonzero_shape=tuple(box[axis] for axis in to_ras),
        spacing_mm=tuple(grid.spacing_mm[axis] for axis in to_ras),
        voxel_mm3=grid.voxel_mm3,
        voxels={value: found.counts.get(value, 0) for value in dataset.label_values},
        range=found.ranges,
    )
