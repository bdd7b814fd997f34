"""A run judged on cases it never saw: label maps in the scans' own space, metrics, cost, pictures.

Writes predictions/, metrics.csv, evaluation.json, cost.json and overlays.npz of the run folder.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.orientations import apply_orientation, io_orientation
from numpy.typing import NDArray
from rich.progress import Progress

from .data.case import Case, Dataset
from .data.formats import read_dataset
from .data.image import Scan, read_scan, write_label_map
from .data.plan import load_plan
from .data.splits import load_split
from .errors import UserError
from .evaluation.evaluate import evaluate_case
from .export.cost import measure_cost
from .files import write_json, written_whole
from .predict import Predictor, load_predictor
from .runs import Run, read_rows, write_rows

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
) -> list[dict[str, Any]]:
    """Metric rows of the run's test cases (or of `cases`), in millimetres and in the scans' own space.

    A run already judged in the same way is not judged again, unless `again`. `dataset`: where it lies now,
    if it moved since training; `trust`: a network of one's own that may be run, see `load_network`.
    `modalities`: the scans that are read; the others count as missing, which few networks accept.
    """
    about = run.read(run.experiment)
    if not run.best.is_file():
        raise UserError(
            f"{run.folder} has no trained weights yet", "repeat its `distilseg train` command, it resumes"
        )
    dataset = dataset or read_dataset(about["dataset"]["folder"], about["dataset"]["layout"])
    chosen = list(cases if cases is not None else load_split(run.split, dataset.cases).test)
    if not chosen:
        raise UserError(f"{run.name}: its split holds no test cases", "name cases with --cases")
    way = {"cases": chosen, "weights": weights, "tolerance_mm": tolerance_mm, "empty": empty, "unit": "mm"}
    if modalities is not None:
        way["modalities"] = list(modalities)
    recorded = run.folder / "evaluation.json"
    if (
        not again
        and recorded.is_file()
        and run.metrics.is_file()
        and run.cost.is_file()
        and run.read(recorded) == way
    ):
        return read_rows(run.metrics)

    plan = load_plan(run.plan)
    shown = plan.modalities if modalities is None else tuple(modalities)
    predictor = load_predictor(run.folder, weights=weights, device=device, trust=trust)
    rows: list[dict[str, Any]] = []
    pictures: dict[str, NDArray[Any]] = {}
    with Progress(transient=True, disable=not sys.stderr.isatty()) as bar:
        for n, id in enumerate(bar.track(chosen, description=f"judging {run.name}")):
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
                tolerance_mm=tolerance_mm,
                empty=empty,  # type: ignore[arg-type]
            )
            if n < MOST_OVERLAYS:
                pictures |= _picture(n, id, scans[shown[0]], reference, labels, predictor)
    timed = {id: _files(dataset.case(id), shown) for id in chosen[:TIMED_CASES]}
    cost = measure_cost(run, timed, device=device, trust=trust)
    write_rows(run.metrics, rows)
    write_json(run.cost, cost)
    with written_whole(run.overlays) as aside:
        np.savez_compressed(aside, **pictures)  # type: ignore[arg-type]
    write_json(recorded, way)
    return rows


def _read(case: Case, modalities: Sequence[str]) -> tuple[dict[str, Scan], Scan]:
    if case.label is None:
        raise UserError(f"case {case.id} has no label map", "only labelled cases can be judged")
    return {name: read_scan(case.images[name]) for name in modalities}, read_scan(case.label)


def _files(case: Case, modalities: Sequence[str]) -> dict[str, tuple[str, int | None]]:
    return {name: (str(case.images[name].path), case.images[name].channel) for name in modalities}


def _write_prediction(run: Run, case: Case, labels: NDArray[Any], like: Scan) -> None:
    run.predictions.mkdir(exist_ok=True)
    ending = ".nii.gz" if like.path.name.endswith((".nii", ".nii.gz")) else Path(like.path.name).suffix
    write_label_map(run.predictions / f"{case.id}{ending}", labels, like)


def _picture(
    n: int, title: str, scan: Scan, reference: Scan, labels: NDArray[Any], predictor: Predictor
) -> Mapping[str, NDArray[Any]]:
    """The axial slice with most of the reference, anterior up, as class indices and 8-bit grey."""
    values = np.array(predictor.plan.label_values)
    to_ras = io_orientation(scan.geometry.affine)
    volumes = [apply_orientation(array, to_ras) for array in (scan.array, reference.array, labels)]
    k = int((volumes[1] > 0).sum(axis=(0, 1)).argmax())
    image, truth, predicted = (np.rot90(volume[:, :, k]) for volume in volumes)
    low, high = np.percentile(image, (1, 99))
    grey = np.clip((image.astype(np.float32) - low) / max(high - low, 1e-6), 0, 1) * 255
    return {
        f"image_{n}": grey.astype(np.uint8),
        f"reference_{n}": np.searchsorted(values, truth).astype(np.uint8),
        f"prediction_{n}": np.searchsorted(values, predicted).astype(np.uint8),
        f"title_{n}": np.array(title),
    }
