"""Whether an artefact gives what its run gives: compared case by case, from the files on.

Logits are compared where they were made, on the working grid; label maps where they are used, in the scan's
own space. A run that averages the probabilities of regions answers with the logits of their mean, whose last
digits near 0 and 1 are rounding: beyond ±8, where a sigmoid is within 0.0004 of 0 or 1, they count as equal.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.case import Source
from ..data.scans.reading import read_scans
from ..errors import UserError
from ..evaluation.overlap import count, dice
from ..predict import Segmenter

TOLERANCE = 0.01
_SATURATED = 8.0


@dataclass(frozen=True)
class Parity:
    """One case, by the run and by its artefact."""

    case: str
    logit_difference: float  # the largest, over classes and voxels
    dice: float  # the least, over the structures
    voxels: int  # with another label
    of_voxels: int
    run_s: float = math.nan  # from scans in memory to the label map
    artefact_s: float = math.nan

    def within(self, tolerance: float) -> bool:
        """Whether no logit differs by more, and no structure's Dice is further below 1."""
        return self.logit_difference <= tolerance and self.dice >= 1 - tolerance


def compare(
    run: Segmenter,
    artefact: Segmenter,
    cases: Mapping[str, Mapping[str, Source]],
    *,
    regions: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> list[Parity]:
    """Each case (its images by modality) through both; `regions`: the logits are of regions."""
    found = []
    for done, (case, images) in enumerate(cases.items(), start=1):
        scans = read_scans(images)
        (logits, labels, run_s), (others, other_labels, artefact_s) = (
            _answer(segmenter, scans, case) for segmenter in (run, artefact)
        )
        parity = parity_of(case, logits, labels, others, other_labels, regions)
        found.append(replace(parity, run_s=run_s, artefact_s=artefact_s))
        if progress is not None:
            progress(done, len(cases))
    return found


def refuse_beyond(found: list[Parity], tolerance: float, target: str) -> None:
    """Raises UserError, naming the worst case, unless all are within the tolerance."""
    beyond = [parity for parity in found if not parity.within(tolerance)]
    if not beyond:
        return
    worst = max(beyond, key=lambda parity: max(parity.logit_difference, 1 - parity.dice))
    raise UserError(
        f"the artefact for {target} does not give what the run gives: case {worst.case} differs by"
        f" {worst.logit_difference:.2g} in a logit, Dice {worst.dice:.4f}"
        f" ({len(beyond)} of {len(found)} cases beyond {tolerance:g}); nothing was written",
        "try another target, or allow it with --tolerance",
    )


def record(found: Sequence[Parity], tolerance: float) -> dict[str, Any]:
    """For the artefact, which leaves the house: cases are counted and not named."""
    return {
        "cases": len(found),
        "largest_logit_difference": max(parity.logit_difference for parity in found),
        "least_dice": min(parity.dice for parity in found),
        "voxels_that_differ": sum(parity.voxels for parity in found),
        "of_voxels": sum(parity.of_voxels for parity in found),
        "tolerance": tolerance,
    }


def seconds_in_turns(
    run: Segmenter, artefact: Segmenter, cases: Mapping[str, Mapping[str, Source]]
) -> tuple[list[float], list[float]]:
    """What each of them takes for each case, as `compare` times it; what else the machine does meets both."""
    run_s, artefact_s = [], []
    for case, images in cases.items():
        scans = read_scans(images)
        run_s.append(_answer(run, scans, case)[2])
        artefact_s.append(_answer(artefact, scans, case)[2])
    return run_s, artefact_s


def _answer(
    segmenter: Segmenter, scans: Mapping[str, Any], case: str
) -> tuple[NDArray[Any], NDArray[Any], float]:
    """Logits [K *s], label values [I J K], and the seconds that they took."""
    start = time.perf_counter()
    prepared = segmenter.prepare(scans, case=case)
    logits = segmenter.logits(prepared.image, case=case)
    labels = segmenter.labels(logits, prepared.grid)
    spent_s = time.perf_counter() - start
    return (logits.cpu().numpy() if isinstance(logits, torch.Tensor) else logits), labels, spent_s


def parity_of(
    case: str,
    logits: NDArray[Any],
    labels: NDArray[Any],
    other_logits: NDArray[Any],
    other_labels: NDArray[Any],
    regions: bool,
) -> Parity:
    """Two answers to one case: logits [K *s] and label values [I J K] of each.

    `regions`: the logits are of regions.
    """
    if logits.shape != other_logits.shape:
        raise ValueError(f"case {case}: logits {logits.shape} and {other_logits.shape}")
    most = np.inf if not regions else _SATURATED
    apart = max(  # head by head: there may be a hundred of them
        float(np.abs(one.clip(-most, most) - other.clip(-most, most)).max())
        for one, other in zip(logits, other_logits, strict=True)
    )
    structures = np.union1d(np.unique(labels), np.unique(other_labels))
    return Parity(
        case,
        apart,
        min((dice(count(labels == k, other_labels == k)) for k in structures if k), default=1.0),
        int(np.count_nonzero(labels != other_labels)),
        int(labels.size),
    )
