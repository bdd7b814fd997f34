"""`distilseg plan`: how a dataset will be prepared and cut, and why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..data.case import Dataset
from ..data.formats import read_dataset
from ..data.plan import Plan, save_plan
from ..data.planning import make_plan
from ..training.studies import fingerprint_of, slices_of


def plan(
    data: Path | str | Dataset,
    *,
    out: Path | str | None = None,
    layout: str | None = None,
    modalities: Sequence[str] | None = None,
    one_slice_per_subject: str | None = None,
    split_seed: int = 0,
    **options: Any,
) -> Plan:
    """The plan for a dataset, or for some of its `modalities`, written to `out` if that is given.

    `one_slice_per_subject` plans for one slice of each patient, of the view that it names, drawn by
    `split_seed`.
    `options` are those of `make_plan`: spacing_mm, patch, normalisation, batch_size, levels and the others.
    """
    dataset = data if isinstance(data, Dataset) else read_dataset(data, layout)
    dataset = dataset.seeing(modalities) if modalities else dataset
    if one_slice_per_subject is not None:
        dataset = slices_of(dataset, one_slice_per_subject, split_seed)
    made = make_plan(dataset, fingerprint_of(dataset), **options)
    if out is not None:
        save_plan(Path(out), made)
    return made
