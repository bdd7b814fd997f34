"""`distilseg plan`: how a dataset will be prepared and cut, and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.case import Dataset
from ..data.formats import read_dataset
from ..data.formats.dicom import rules_to_keep
from ..data.planning.coded import with_codes
from ..data.planning.decide import make_plan
from ..data.planning.plan import Plan, save_plan
from ..errors import UserError
from ..training.studies import fingerprint_of, narrowed, tell_notes
from ..user_cache import user_cache

if TYPE_CHECKING:
    from ..export.within_budget import WithinBudget


def plan(
    data: Path | str | Dataset,
    *,
    out: Path | str | None = None,
    layout: str | None = None,
    modalities: Sequence[str] | None = None,
    one_slice_per_subject: str | None = None,
    split_seed: int = 0,
    max_seconds: float | None = None,
    max_memory: str | float | None = None,
    measure_again: bool = False,
    codes: Path | str | None = None,
    series: Sequence[str] = (),
    **options: Any,
) -> Plan:
    """The plan for a dataset, or for some of its `modalities`, written to `out` if that is given.

    `one_slice_per_subject` plans for one slice of each patient, of the view that it names, drawn by
    `split_seed`. `max_seconds`, of the case of median size, and `max_memory`, for the largest, in bytes or as
    "1GB", make it the best plan that this machine predicts within them: see `within_budget`.
    `codes` says what the classes are in SNOMED CT, see `data.planning.coded`: a file that is not there yet is
    suggested. `series` are rules by which artefacts choose series of DICOM, see `data.formats.dicom`.
    `options` are those of `make_plan`: spacing_mm, patch, normalisation, batch_size, levels and
    the others.
    """
    dataset = _dataset(data, layout, modalities, one_slice_per_subject, split_seed)
    if max_seconds is not None or max_memory is not None:
        made = within_budget(
            dataset, max_seconds=max_seconds, max_memory=max_memory, measure_again=measure_again, **options
        ).plan
    elif measure_again:
        raise UserError("nothing is measured without a budget", "give --max-seconds or --max-memory too")
    else:
        made = make_plan(dataset, fingerprint_of(dataset), **options)
    if codes is not None:
        made = with_codes(made, Path(codes))
    if series:
        kept = rules_to_keep(series, made.modalities, made.series)
        made = made.model_copy(update={"series": kept})
    if out is not None:
        save_plan(Path(out), made)
    return made


def within_budget(
    data: Path | str | Dataset,
    *,
    max_seconds: float | None = None,
    max_memory: str | float | None = None,
    layout: str | None = None,
    modalities: Sequence[str] | None = None,
    one_slice_per_subject: str | None = None,
    split_seed: int = 0,
    measure_again: bool = False,
    cache: Path | None = None,
    progress: Callable[[int, int], object] | None = None,
    **options: Any,
) -> WithinBudget:
    """The plan for a budget, with all candidates, and what it costs by prediction and by measurement.

    `max_seconds`: of the dataset's case of median size, from the first byte read to the last one written, the
    network being loaded. `max_memory`: of the predicting process at its peak, for the largest case. What is
    measured is kept in `cache` (the user's), until `measure_again`. See `export.within_budget`.
    """
    from ..export.cost_probe import Machine, engine_here
    from ..export.within_budget import limits_of, plan_within

    limits = limits_of(max_seconds, max_memory)
    dataset = _dataset(data, layout, modalities, one_slice_per_subject, split_seed)
    machine = Machine(engine_here(), cache or user_cache(), measure_again)
    return plan_within(dataset, fingerprint_of(dataset), limits, machine, progress=progress, **options)


def _dataset(
    data: Path | str | Dataset,
    layout: str | None,
    modalities: Sequence[str] | None,
    one_slice_per_subject: str | None,
    split_seed: int,
) -> Dataset:
    dataset = data if isinstance(data, Dataset) else read_dataset(data, layout)
    tell_notes(dataset)
    return narrowed(dataset, modalities, one_slice_per_subject, split_seed)
