"""`distilseg evaluate`: a run, or several as one, on its test cases; or two folders of label maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data.formats import read_dataset
from ..data.formats.chosen import Chosen, chosen
from ..data.formats.common import (
    MOST_VALUES,
    by_stem,
    image_files,
    labels_beside,
    unknown_value,
    unnamed,
    value_to_name,
    values_held,
)
from ..data.scans.reading import read_scan
from ..data.scans.scan import Scan
from ..errors import UserError
from ..evaluation.evaluate import DEFAULT_METRICS, check_by, evaluate_cases
from ..functional.upright import leans
from ..json_files import read_object
from ..judge import judge, judge_slices
from ..names import check_distinct
from ..runs import check_not_of_a_run, open_run, write_rows
from ..subsets import given
from ..views import fused
from ._joined import joined, write_part
from ._predict import named_runs

Row = dict[str, Any]


@dataclass(frozen=True)
class Evaluation:
    """Metric rows (case, label, metric, value), where a run keeps them, what had no partner, and whose the
    label maps are that stand for labels."""

    rows: list[Row]
    kept: Path | None = None
    without_prediction: tuple[str, ...] = ()
    without_reference: tuple[str, ...] = ()
    sheared: tuple[str, ...] = ()  # whose axes lean: distances in mm are undefined (NaN)
    written: Path | None = None  # the table that was asked for
    told: str = ""  # of a part: "part 3 of 100: 40 of 4,000 cases"
    asked: Mapping[str, Any] = field(default_factory=dict)  # of two folders: how they were judged
    labelled_by: str = ""  # the teacher whose answers stood for labels; its rows are agreement with it


def evaluate(
    run: Path | str | Sequence[Path | str],
    predictions: Path | str | None = None,
    *,
    fuse: str | None = None,
    threshold: float = 0.5,
    data: Path | str | None = None,
    cases: Sequence[str] | None = None,
    modalities: Sequence[str] | None = None,
    weights: str = "best",
    again: bool = False,
    device: str = "auto",
    trust: str | None = None,
    labels: Mapping[int, str] | Path | str | None = None,
    unit: str = "mm",
    tolerance_mm: float = 1.0,
    empty: str = "nan",
    by: str = "case",
    also: Sequence[str] = (),
    slice_axis: int | None = None,
    out: Path | str | None = None,
    part: str | None = None,
    join: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> Evaluation:
    """Judges a run on its test cases (or `cases`); or the folder `predictions` against the folder `run`.

    A run: `modalities` holds all other scans back (networks for any subset only; the results lie in a folder
    `given-...` inside the run, which `compare` finds); `data` says where its dataset lies now, if it moved;
    `trust` names a network of one's own that may be run; results are kept in the run folder, and found there
    unless `again`. Two folders: label maps are matched by file name without ending; `labels` names their
    values ({1: "anterior"}) or the dataset.json that does (default: the one beside the references). Values
    without a name are judged too, as "label 2": all of them, or, where `labels` chooses some, those that
    predictions alone hold. `out` is a CSV table of the rows.

    Several runs, such as one for each view, are judged as one: `fuse` says how they become one ("vote", the
    default, "mean", "threshold", "organs"; see `inference.fusion`). The results lie in a folder `fused-...`
    beside the first of them, which reads like a run (`views.fused`).

    `also` names metrics beside the default ones (`evaluation.evaluate.METRICS`), such as slice_similarity.
    `by="slice"` scores every slice as a case of its own (`evaluation.by_slice`), by Dice and IoU, across
    `slice_axis` or the axis of the largest spacing. Of a run, that lies in its folder `by-slice`.

    Of two folders a `part` such as "3/100" judges its share of the label maps, and writes its rows beside
    `out`, as "metrics.part-3-of-100.csv"; `join` makes `out` of all parts (`_joined.joined`).
    """
    check_by(by, slice_axis, also)
    if out is not None and Path(out).suffix.lower() != ".csv":
        raise UserError(f"{out} is to be a CSV table", "name a file that ends in .csv")
    if out is not None:
        check_not_of_a_run(Path(out))
    ours = chosen(part, None)
    if part is not None and join:
        raise UserError("--part and --join are both given", "first each --part, then --join alone")
    if (part is not None or join) and (predictions is None or out is None):
        raise UserError(
            f"--{'part' if part is not None else 'join'} is for two folders, and writes a table",
            "give REFERENCES, PREDICTIONS and --out metrics.csv: first each --part, then --join",
        )
    if by == "slice" and also:
        raise UserError(f"{also[0]} is asked for, but slices have Dice and IoU", "leave out --also")
    if by == "slice" and (unit, tolerance_mm) != ("mm", 1.0):
        raise UserError(
            "a unit or a tolerance is given, but slices have no distances", "leave them out, or add --by case"
        )
    named = named_runs(run, fuse)
    if len(named) > 1 and (predictions is not None or modalities is not None):
        raise UserError(
            "several runs are judged as one, on all their scans", "leave out --modalities and PREDICTIONS"
        )
    if predictions is None:
        dataset = None if data is None else read_dataset(data)
        judged = fused(named, fuse or "vote", threshold=threshold) if len(named) > 1 else open_run(named[0])
        judged = judged if modalities is None else given(judged, modalities)
        told: dict[str, Any] = {
            "modalities": None if modalities is None else judged.read(judged.experiment)["options"]["given"],
            "cases": cases,
            "weights": weights,
            "empty": empty,
            "device": device,
            "again": again,
            "trust": trust,
        }
        if by == "slice":
            rows, kept = judge_slices(judged, dataset, slice_axis=slice_axis, **told), judged.slices
        else:
            told |= {"also": also, "slice_axis": slice_axis}
            rows, kept = judge(judged, dataset, tolerance_mm=tolerance_mm, **told), judged.folder
        by_teacher = judged.read(kept / "evaluation.json").get("labelled_by", "")
        found = Evaluation(rows, kept / "metrics.csv", labelled_by=by_teacher)
    else:
        found = _folders(
            named[0],
            Path(predictions),
            cases=cases,
            labels=labels,
            unit=unit,
            tolerance_mm=tolerance_mm,
            empty=empty,
            by=by,
            metrics=[*DEFAULT_METRICS, *also] if also else None,
            slice_axis=slice_axis,
            chosen=ours,
            join=Path(out) if join and out is not None else None,
            progress=progress,
        )
    if out is not None:
        table = Path(out).with_name(ours.named(Path(out).name))
        rows = [{**row, "metric": _called(row["metric"], found)} for row in found.rows]
        if part is None:
            write_rows(table, rows)
        else:
            write_part(table, rows, found.asked)
        found = replace(found, written=table)
    return found


def _called(metric: str, found: Evaluation) -> str:
    """A metric's name in a table that leaves the run's folder."""
    return f"agreement_{metric}" if found.labelled_by else metric


def _folders(
    references: Path,
    predictions: Path,
    *,
    cases: Sequence[str] | None,
    labels: Mapping[int, str] | Path | str | None,
    chosen: Chosen,
    join: Path | None,
    progress: Callable[[int, int], object] | None,
    **options: Any,
) -> Evaluation:
    named, unknown = (labels, None) if isinstance(labels, Mapping) else _labels(references, labels)
    truth, made = _label_maps(references), _label_maps(predictions)
    wanted = list(truth if cases is None else cases)
    if strange := [case for case in wanted if case not in truth]:
        raise UserError(f"no label map in {references} is called {', '.join(strange)}", "correct --cases")
    of, wanted = len(wanted), chosen.names(wanted)
    lacking = tuple(case for case in wanted if case not in made)
    strangers = tuple(case for case in made if case not in truth)
    told = chosen.told(len(wanted), of)
    shared = [case for case in wanted if case in made]
    asked = {"labels": {str(value): name for value, name in named.items()}, "unknown": unknown, **options}
    if join is not None:
        rows: list[Row] = [*joined(join, shared, asked)]
        return Evaluation(rows, None, lacking, strangers)
    if chosen.part is not None and not shared:
        return Evaluation([], None, lacking, (), told=told, asked=asked)
    if not shared:
        raise UserError(
            f"no file in {predictions} has the name of one in {references}"
            f" (such as {next(iter(wanted))}; there: {next(iter(made))})",
            "label maps are matched by file name without ending; rename them",
        )
    files = [truth[case] for case in shared], [made[case] for case in shared]
    judged = _with_unnamed(named, unknown, *files, some=labels is not None)
    if chosen.part is not None and (others := [name for value, name in judged.items() if value not in named]):
        raise UserError(
            f"the label maps of {chosen.part} hold values without a name: {', '.join(others)}",
            "name all values, as in --labels 1=anterior,2=posterior: each part is to judge the same",
        )
    done = 0
    sheared: list[str] = []

    def count(case: str) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, len(shared))

    def load(case: str) -> tuple[Any, Any, Sequence[float], float]:
        reference, prediction = read_scan(truth[case], sheared=True), read_scan(made[case], sheared=True)
        _on_one_grid(case, reference, prediction)
        place = reference.geometry
        if leans(place.spacing_mm, place.voxel_mm3):
            sheared.append(case)
        return reference.array, prediction.array, place.spacing_mm, place.voxel_mm3

    rows = evaluate_cases(shared, load, labels=judged, unknown_value=unknown, progress=count, **options)
    others_alone = strangers if chosen.part is None else ()
    return Evaluation(rows, None, lacking, others_alone, tuple(sorted(sheared)), told=told, asked=asked)


def _with_unnamed(
    named: Mapping[int, str],
    unknown: int | None,
    references: Sequence[Path],
    predictions: Sequence[Path],
    *,
    some: bool,
) -> dict[int, str]:
    """`named`, and "label <value>" for each other value in the label maps: all that was drawn is judged.

    `some`: the names were chosen, so that what references hold beside them is left out; what a prediction
    holds and neither references nor names know is an error of the prediction, and counts in any case.
    """
    drawn, predicted = values_held(references), values_held(predictions)
    others = (predicted - drawn if some else predicted | drawn) - {0, unknown, *named}
    if others and min(others) < 0:
        raise UserError(f"the label maps hold the value {min(others)}", "label values start at 0; remap them")
    if len(others) > MOST_VALUES:
        where = predictions if len(predicted) > MOST_VALUES else references
        raise UserError(
            f"the label maps of {where[0].parent} hold {len(others)} values without a name",
            "are they images? otherwise name the classes with --labels",
        )
    both = {**named, **{value: unnamed(value) for value in sorted(others)}}
    check_distinct(((name, f"the value {value}") for value, name in both.items()), kind="class")
    return both


def _label_maps(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}", "give two folders of label maps, or one run folder")
    files = image_files(folder)
    if not files:
        raise UserError(f"{folder} holds no label map", "looked for NIfTI, NRRD, MetaImage and PNG files")
    return by_stem(files)


def _labels(references: Path, given: Path | str | None) -> tuple[dict[int, str], int | None]:
    """Value -> name, as a dataset.json or labels.json says it; the value of voxels that nobody labelled."""
    places = [references / "dataset.json", references.parent / "dataset.json"]
    path = Path(given) if given is not None else next((place for place in places if place.is_file()), None)
    if path is None:
        return labels_beside(references, []), None
    labels_, unknown = unknown_value(read_object(path).get("labels"), path)
    return value_to_name(labels_, path), unknown


def _on_one_grid(case: str, reference: Scan, prediction: Scan) -> None:
    """Refuses label maps whose voxels lie apart: compared index by index they would score too low.

    Half a voxel at any corner; smaller differences come from how a program rounds its header.
    """
    a, b = reference.geometry, prediction.geometry
    if a.shape != b.shape:
        return  # evaluate_case says what came
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in a.shape], [1])).reshape(4, -1)
    apart_mm = np.linalg.norm(((a.affine - b.affine) @ corners)[:3], axis=0).max()
    if apart_mm > 0.5 * min(a.spacing_mm):
        raise UserError(
            f"case {case}: {prediction.path} lies up to {apart_mm:.3g} mm off {reference.path}"
            f" (orientation {b.orientation}, expected {a.orientation})",
            "both must be on the scan's own grid, as `distilseg predict` writes them",
        )
