"""A run judged on cases it never saw: label maps in the scans' own space, metrics, cost, pictures.

Writes predictions/, metrics.csv, evaluation.json, cost.json and overlays.npz of the run folder. Slices, where
they are asked for, are judged in by-slice/, and nothing else of the run is touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.orientations import apply_orientation, io_orientation
from numpy.typing import NDArray

from . import progress
from .data.case import Case, Dataset
from .data.planning.plan import load_plan
from .data.planning.splits import load_split
from .data.planning.views import slice_axis as across_single_slice
from .data.preparing.single_slices import recorded_dataset
from .data.scans.reading import read_label, read_scan, write_label_map
from .data.scans.scan import NIFTI_ENDINGS, Scan, ending
from .errors import UserError
from .evaluation.by_slice import evaluate_slices
from .evaluation.evaluate import DEFAULT_METRICS, check_by, evaluate_case
from .export.cost import MOST_AT_ONCE, Model, measure_costs
from .files import write_json, written_whole
from .names import component
from .predict import Segmenter
from .runs import Run, write_rows
from .training.experiment import file_digest
from .views import is_fused, load_segmenter, members

MOST_OVERLAYS = 24
TIMED_CASES = 20  # at most; the measurement stops by the clock


def judge(
    run: Run,
    dataset: Dataset | None = None,
    *,
    cases: Sequence[str] | None = None,
    weights: str = "best",
    tolerance_mm: float = 1.0,
    empty: str = "nan",
    device: str = "auto",
    again: bool = False,
    trust: str | None = None,
    modalities: Sequence[str] | None = None,
    also: Sequence[str] = (),
    slice_axis: int | None = None,
    timed: bool = True,
) -> list[dict[str, Any]]:
    """Metric rows of the run's test cases (or of `cases`), in millimetres and in the scans' own space.

    A run already judged in the same way is not judged again, unless `again`. `dataset`: where it lies now,
    if it moved since training; `trust`: a network of one's own that may be run, see `load_network`.
    `modalities`: the scans that are read; the others count as missing, which few networks accept.
    `also`: metrics beside the default ones; `slice_axis`: that of slice_similarity. `timed`: the run's cost
    is measured, alone; runs that are compared are left to `time_in_turns`.
    """
    dataset, chosen = _asked(run, dataset, cases)
    way: dict[str, Any] = {
        "cases": chosen,
        "weights": weights,
        "weights_digest": _digest(run, weights),
        "tolerance_mm": tolerance_mm,
        "empty": empty,
        "unit": "mm",
    }
    if modalities is not None:
        way["modalities"] = list(modalities)
    if dataset.labelled_by:
        way["labelled_by"] = dataset.labelled_by
    if also:
        check_by("case", slice_axis, also)
        way |= {"also": list(also), "slice_axis": slice_axis}
    recorded = run.folder / "evaluation.json"
    if not again and recorded.is_file() and run.metrics.is_file() and _alike(run.read(recorded), way):
        if timed and not run.cost.is_file():
            _time([to_time(run, dataset, trust=trust)], device)
        return run.scored()

    plan = load_plan(run.plan)
    shown = plan.modalities if modalities is None else tuple(modalities)
    predictor = load_segmenter(run, weights=weights, device=device, trust=trust)
    rows: list[dict[str, Any]] = []
    pictures: dict[str, NDArray[Any]] = {}
    progress.say(f"{run.name}: judging {_count(chosen)}")
    for n, id in enumerate(progress.counted(chosen, f"judging {run.name}")):
        case = dataset.case(id)
        scans, reference = _read(case, shown)
        labels = predictor.segment(scans, case=id)
        _write_prediction(run, case, labels, reference)
        rows += evaluate_case(
            reference.array,
            labels,
            case=id,
            labels=plan.regions or plan.labels,
            spacing_mm=reference.geometry.spacing_mm,
            voxel_mm3=reference.geometry.voxel_mm3,
            tolerance_mm=tolerance_mm,
            empty=empty,  # type: ignore[arg-type]
            unknown_value=plan.unknown,
            metrics=[*DEFAULT_METRICS, *also] if also else None,
            slice_axis=slice_axis,
        )
        if n < MOST_OVERLAYS:
            pictures |= _picture(n, id, scans[shown[0]], reference, labels, predictor)
    for former in (recorded, run.cost):  # first: numbers never stand under the record of others
        former.unlink(missing_ok=True)
    write_rows(run.metrics, rows)
    with written_whole(run.overlays) as aside:
        np.savez_compressed(aside, **pictures)  # type: ignore[arg-type]
    write_json(recorded, way)
    if timed:
        _time([to_time(run, dataset, trust=trust)], device)
    return rows


def to_time(run: Run, dataset: Dataset | None = None, *, trust: str | None = None) -> Model:
    """What is measured of a run that was judged: some of its test cases, by the scans that it was shown."""
    way = run.read(run.folder / "evaluation.json")
    dataset, chosen = _asked(run, dataset, way["cases"])
    shown = way.get("modalities") or load_plan(run.plan).modalities
    return Model(run.folder, {id: _files(dataset.case(id), shown) for id in chosen[:TIMED_CASES]}, trust)


def time_in_turns(judged: Sequence[Model], *, device: str = "auto") -> None:
    """Writes cost.json of runs that were judged and will be compared: their seconds are measured in turns.

    Those that were measured together before are not measured again. Up to `MOST_AT_ONCE` are held in memory
    at a time.
    """
    for first in range(0, len(judged), MOST_AT_ONCE):
        group = judged[first : first + MOST_AT_ONCE]
        if not _timed_together([Run(model.path) for model in group]):
            _time(group, device)


def _time(models: Sequence[Model], device: str) -> None:
    names = ", ".join(model.path.name for model in models)
    progress.say(f"{names}: measuring what a case costs{', in turns' * (len(models) > 1)}")
    for model, cost in zip(models, measure_costs(models, device=device), strict=True):
        write_json(Run(model.path).cost, cost)


def _timed_together(runs: Sequence[Run]) -> bool:
    costs = [run.read(run.cost) if run.cost.is_file() else None for run in runs]
    names = {run.name for run in runs}
    return all(
        cost is not None and names <= {run.name, *cost.get("in_turns_with", ())}
        for run, cost in zip(runs, costs, strict=True)
    )


def judge_slices(
    run: Run,
    dataset: Dataset | None = None,
    *,
    cases: Sequence[str] | None = None,
    weights: str = "best",
    empty: str = "nan",
    slice_axis: int | None = None,
    device: str = "auto",
    again: bool = False,
    trust: str | None = None,
    modalities: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Rows of every slice of the run's test cases (or of `cases`): see `evaluation.by_slice`.

    Options as of `judge`. Label maps that `judge` left are read, where it was asked for the same weights and
    modalities; what is missing is predicted, and not kept.
    """
    dataset, chosen = _asked(run, dataset, cases)
    digest = _digest(run, weights)
    way: dict[str, Any] = {"cases": chosen, "weights": weights, "weights_digest": digest, "empty": empty}
    way |= {"by": "slice", "slice_axis": slice_axis}
    if modalities is not None:
        way["modalities"] = list(modalities)
    if dataset.labelled_by:
        way["labelled_by"] = dataset.labelled_by
    metrics, recorded = run.slices / "metrics.csv", run.slices / "evaluation.json"
    if not again and recorded.is_file() and metrics.is_file() and _alike(run.read(recorded), way):
        return run.scored("slice")

    plan = load_plan(run.plan)
    shown = plan.modalities if modalities is None else tuple(modalities)
    predictor: Segmenter | None = None
    rows: list[dict[str, Any]] = []
    progress.say(f"{run.name}: judging {_count(chosen)} by slice")
    for id in progress.counted(chosen, f"judging {run.name} by slice"):
        case = dataset.case(id)
        _, reference = _read(case, ())
        written = _prediction(run, case, reference)
        if not again and _is_of(run, written, id, way):
            labels = read_scan(written).array
        else:
            predictor = predictor or load_segmenter(run, weights=weights, device=device, trust=trust)
            labels = predictor.segment(_read(case, shown)[0], case=id)
        rows += evaluate_slices(
            reference.array,
            labels,
            case=id,
            labels=plan.regions or plan.labels,
            spacing_mm=reference.geometry.spacing_mm,
            axis=slice_axis,
            empty=empty,  # type: ignore[arg-type]
            unknown_value=plan.unknown,
        )
    run.own(run.slices)
    recorded.unlink(missing_ok=True)  # first, as above
    write_rows(metrics, rows)
    write_json(recorded, way)
    return rows


def _asked(run: Run, dataset: Dataset | None, cases: Sequence[str] | None) -> tuple[Dataset, list[str]]:
    """Where the cases are, and which; raises UserError for a run that cannot be judged."""
    about = run.read(run.experiment)
    if not (run.best.is_file() or is_fused(run)):
        raise UserError(
            f"{run.folder} has no trained weights yet", "repeat its `distilseg train` command, it resumes"
        )
    dataset = recorded_dataset(about["dataset"], dataset).of_labels(load_plan(run.plan).label_values)
    chosen = list(cases if cases is not None else load_split(run.split, dataset.cases).test)
    for id in chosen:
        dataset.case(id)  # there, before anything is said or done
    if not chosen:
        raise UserError(f"{run.name}: its split holds no test cases", "name cases with --cases")
    return dataset, chosen


def _count(cases: Sequence[str]) -> str:
    return f"{len(cases)} case{'s' * (len(cases) > 1)}"


def _digest(run: Run, weights: str) -> list[str]:
    """Of the weights that are judged: a run that trained on is judged anew."""
    files = [each.best if weights == "best" else each.last for each in members(run)]
    return [file_digest(file) for file in files if file.is_file()]


def _alike(recorded: Mapping[str, Any], way: Mapping[str, Any]) -> bool:
    """Whether a judgement was made as it is asked for; earlier versions recorded no digest of the weights."""
    return {"weights_digest": way["weights_digest"], **recorded} == way


def _is_of(run: Run, written: Path, id: str, asked: Mapping[str, Any]) -> bool:
    """Whether the run's last judgement left this label map, and was of these weights and modalities."""
    recorded = run.folder / "evaluation.json"
    if not (written.is_file() and recorded.is_file()):
        return False
    way = run.read(recorded)
    of = ("weights", "weights_digest", "modalities")
    same = all({"weights_digest": asked["weights_digest"], **way}.get(one) == asked.get(one) for one in of)
    # A judgement that was cut short has left label maps younger than the record of the one before.
    return same and id in way["cases"] and written.stat().st_mtime_ns <= recorded.stat().st_mtime_ns


def _read(case: Case, modalities: Sequence[str]) -> tuple[dict[str, Scan], Scan]:
    if case.label is None:
        raise UserError(f"case {case.id} has no label map", "only labelled cases can be judged")
    return {name: read_scan(case.images[name]) for name in modalities}, read_label(case)


def _files(case: Case, modalities: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    return {name: case.images[name].plain() for name in modalities}


def _write_prediction(run: Run, case: Case, labels: NDArray[Any], like: Scan) -> None:
    run.own(run.predictions)
    write_label_map(_prediction(run, case, like), labels, like)


def _prediction(run: Run, case: Case, like: Scan) -> Path:
    """In NIfTI where the label map is in NIfTI or DICOM, else in the type that it has."""
    own = ending(like.path)
    own = ".nii.gz" if own.lower() in ("", *NIFTI_ENDINGS) else own
    return run.predictions / component(case.id, own, kind="case")


def _picture(
    n: int, title: str, scan: Scan, reference: Scan, labels: NDArray[Any], predictor: Segmenter
) -> Mapping[str, NDArray[Any]]:
    """The axial slice with most of the reference, anterior up, as class indices and 8-bit grey.

    Of a single slice that slice, whatever its view.
    """
    values = np.array(predictor.plan.label_values)
    to_ras = io_orientation(scan.geometry.affine)
    volumes = [apply_orientation(array, to_ras) for array in (scan.array, reference.array, labels)]
    across = across_single_slice(volumes[0].shape)
    if across is None:
        across = 2
    in_slice = tuple(axis for axis in range(3) if axis != across)
    k = int((volumes[1] > 0).sum(axis=in_slice).argmax())
    image, truth, predicted = (np.rot90(volume.take(k, across)) for volume in volumes)
    low, high = np.percentile(image, (1, 99))
    grey = np.clip((image.astype(np.float32) - low) / max(high - low, 1e-6), 0, 1) * 255
    return {
        f"image_{n}": grey.astype(np.uint8),
        f"reference_{n}": np.searchsorted(values, truth).astype(np.uint8),
        f"prediction_{n}": np.searchsorted(values, predicted).astype(np.uint8),
        f"title_{n}": np.array(title),
    }
