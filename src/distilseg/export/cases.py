"""The cases that an artefact is compared with its run on, and that both are measured on."""

from __future__ import annotations

from collections.abc import Sequence

from ..data.case import Dataset
from ..data.planning.splits import load_split
from ..data.preparing.single_slices import recorded_dataset
from ..errors import UserError
from ..runs import Run

MOST_CASES = 5  # where none are named


def dataset_of(run: Run, dataset: Dataset | None, *, wanted: str, fix: str) -> Dataset:
    """What the run learned from, where it lies now: `dataset`, if it moved.

    Raises UserError: that the scans `wanted` are not there, and `fix`.
    """
    try:
        return recorded_dataset(run.read(run.experiment)["dataset"], dataset)
    except UserError as error:
        raise UserError(f"the scans {wanted} are not there ({error.cause})", fix) from None


def held_out(run: Run, dataset: Dataset, named: Sequence[str] | None) -> list[str]:
    """The cases that are `named`, or else a few that the weights did not learn from, test cases first."""
    if named is None:
        split = load_split(run.split, dataset.cases)
        named = [*split.test, *split.validation][:MOST_CASES]
    if not named:
        raise UserError(f"{run.name} has no test or validation cases", "name cases with --cases")
    return list(named)
