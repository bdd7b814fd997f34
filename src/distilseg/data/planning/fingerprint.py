"""The fingerprint: what is measured of a dataset's labelled cases, before anything is decided.

Lengths and shapes are listed along R A S whatever axes a file stores (its own orientation is noted beside),
so that cases can be compared. Intensities are those of the foreground, where any structure is labelled: at
most 10 000 voxels of each case, taken at equal steps, so that a large case counts no more than a small one
and the same data always gives the same numbers. Voxels that are not finite are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from ...errors import UserError
from ...files import write_text
from ...hardware import usable_cores
from ...json_files import read_object
from ..case import Case, Dataset
from ..readable import readable_json
from ..scans.hounsfield import looks_like_hounsfield
from ..scans.scan import axis_order

if TYPE_CHECKING:
    from ..scans.scan import Scan

SAMPLED_VOXELS = 10_000  # at most, of each case and modality


class CaseMeasures(BaseModel):
    """One labelled case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    orientation: str  # as stored
    shape: tuple[int, ...]  # voxels along R A S
    nonzero_shape: tuple[int, ...]  # of the box around every voxel at which any modality is not 0
    spacing_mm: tuple[float, ...]  # along R A S
    voxel_mm3: float | None = None  # None: the product of the spacing
    voxels: dict[int, int]  # label value -> count
    range: dict[str, tuple[float, float]]  # modality -> least and greatest intensity
    hounsfield: tuple[str, ...] = ()  # modalities whose voxels look like CT's, see `scans/hounsfield.py`
    centres_mm: dict[int, tuple[float, ...]] = {}  # label value -> mean place along R A S

    @property
    def size_mm(self) -> tuple[float, ...]:
        """Edge to edge, along R A S."""
        return tuple(n * mm for n, mm in zip(self.shape, self.spacing_mm, strict=True))

    @property
    def volumes_mm3(self) -> dict[int, float]:
        """Label value -> volume."""
        voxel_mm3 = float(np.prod(self.spacing_mm)) if self.voxel_mm3 is None else self.voxel_mm3
        return {value: count * voxel_mm3 for value, count in self.voxels.items()}


class Intensities(BaseModel):
    """Foreground intensities of one modality, pooled over the cases."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    percentile_00_5: float
    median: float
    percentile_99_5: float
    mean: float
    std: float


class Fingerprint(BaseModel):
    """All that was measured of a dataset."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    cases: tuple[CaseMeasures, ...]
    intensities: dict[str, Intensities]  # by modality


def measure(dataset: Dataset, *, progress: Callable[[int, int], None] | None = None) -> Fingerprint:
    """Measures every labelled case, several at a time; `progress(done, cases)` is called after each.

    Raises `UserError`, naming the case, if one cannot be read or its images and label differ in shape.
    """
    if not dataset.cases:
        raise UserError(
            f"dataset {dataset.name} has no labelled case", "add label maps, or give another folder"
        )
    cases: list[CaseMeasures] = []
    samples: dict[str, list[NDArray[Any]]] = {name: [] for name in dataset.modalities}
    with ThreadPoolExecutor(min(8, usable_cores())) as pool:
        try:
            for case, sample in pool.map(lambda case: _measure_case(case, dataset), dataset.cases):
                cases.append(case)
                for name, values in sample.items():
                    samples[name].append(values)
                if progress:
                    progress(len(cases), len(dataset.cases))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    pooled = {name: np.concatenate(values) for name, values in samples.items()}
    if not all(values.size for values in pooled.values()):
        raise UserError(
            f"no case of dataset {dataset.name} has a labelled voxel", "run `distilseg check` on it"
        )
    intensities = {name: _intensities(values) for name, values in pooled.items()}
    return Fingerprint(dataset=dataset.name, cases=tuple(cases), intensities=intensities)


def save_fingerprint(path: Path, fingerprint: Fingerprint) -> None:
    """Writes the fingerprint as JSON."""
    write_text(path, readable_json(fingerprint.model_dump(mode="json")) + "\n")


def load_fingerprint(path: Path) -> Fingerprint:
    """Reads a fingerprint that `save_fingerprint` wrote."""
    absent = UserError(f"no fingerprint at {path}", "make one with `distilseg plan`")
    other = UserError(f"{path} is not a fingerprint", "delete it and repeat `distilseg plan`")
    value = read_object(path, missing=absent, unlike=other, fix=other.fix)
    try:
        return Fingerprint.model_validate(value)
    except ValidationError:
        raise other from None


def working_shapes(
    fingerprint: Fingerprint,
    orientation: str,
    spacing_mm: Sequence[float],
    *,
    crop: str,
    crop_voxels: Sequence[int] | None = None,
) -> NDArray[np.int64]:
    """Voxels [cases 3] that the cases will have, oriented, cropped as `Plan.crop` says and resampled.

    Single slices stay single.
    """
    order = list(axis_order(orientation))
    shapes = np.array([c.nonzero_shape if crop == "nonzero" else c.shape for c in fingerprint.cases])[
        :, order
    ]
    spacings = np.array([case.spacing_mm for case in fingerprint.cases])[:, order]
    if crop_voxels is not None:
        shapes = np.minimum(shapes, crop_voxels)
    exact = shapes * spacings / np.array(spacing_mm)
    exact[np.array([case.shape for case in fingerprint.cases])[:, order] == 1] = 1
    voxels: NDArray[np.int64] = np.maximum(np.round(exact), 1).astype(np.int64)
    return voxels


def across_single_slices(fingerprint: Fingerprint, orientation: str) -> int | None:
    """The axis of `orientation` along which every case is one voxel thick; None for any other set."""
    shapes = np.array([case.shape for case in fingerprint.cases])[:, list(axis_order(orientation))]
    single = np.flatnonzero((shapes == 1).all(axis=0))
    return int(single[0]) if single.size == 1 else None


def _measure_case(case: Case, dataset: Dataset) -> tuple[CaseMeasures, dict[str, NDArray[Any]]]:
    from ..scans.reading import read_label, read_scans

    missing = [name for name in dataset.modalities if name not in case.images]
    if missing or case.label is None:
        raise UserError(
            f"case {case.id} has no {' and no '.join(missing) or 'label map'}",
            "`distilseg check` lists every such case",
        )
    try:
        scans = read_scans({name: case.images[name] for name in dataset.modalities})
        label = read_label(case)
    except UserError as error:
        raise UserError(f"case {case.id}: {error.cause}", error.fix) from error
    except Exception as error:
        error.add_note(f"while measuring case {case.id}")
        raise
    for name, scan in scans.items():
        if scan.array.shape != label.array.shape:
            raise UserError(
                f"case {case.id}: {name} has {scan.array.shape} voxels, its label map {label.array.shape}",
                "`distilseg check` lists every such case",
            )
    foreground = label.array > 0
    if dataset.unknown is not None:
        foreground &= label.array != dataset.unknown
    sample = {name: _sample(scan.array[foreground]) for name, scan in scans.items()}
    return _measures(case.id, scans, label, dataset.label_values), sample


def _measures(id: str, scans: Mapping[str, Scan], label: Scan, values: Sequence[int]) -> CaseMeasures:
    geometry = label.geometry
    if "?" in geometry.orientation or min(geometry.spacing_mm) <= 0:
        raise UserError(f"case {id}: {label.path.name} has a spacing of zero", "repair its header")
    to_ras = np.argsort(axis_order(geometry.orientation))  # stored axis of R, of A, of S
    box = _nonzero_shape([scan.array for scan in scans.values()])
    return CaseMeasures(
        id=id,
        orientation=geometry.orientation,
        shape=tuple(int(label.array.shape[axis]) for axis in to_ras),
        nonzero_shape=tuple(box[axis] for axis in to_ras),
        spacing_mm=tuple(geometry.spacing_mm[axis] for axis in to_ras),
        voxel_mm3=geometry.voxel_mm3,
        voxels={value: int(np.count_nonzero(label.array == value)) for value in values},
        range={name: _range(scan.array) for name, scan in scans.items()},
        hounsfield=tuple(name for name, scan in scans.items() if looks_like_hounsfield(scan.array)),
        centres_mm=_centres_mm(label, values, to_ras.tolist()),
    )


def _centres_mm(label: Scan, values: Sequence[int], to_ras: Sequence[int]) -> dict[int, tuple[float, ...]]:
    """Label value -> its mean place along R, A and S, from the volume's first voxel; present ones only."""
    voxels = np.nonzero(label.array)
    found = label.array[voxels]
    against = [letter in "LPI" for letter in label.geometry.orientation]
    places = [
        (label.array.shape[axis] - 1 - voxels[axis] if against[axis] else voxels[axis])
        * label.geometry.spacing_mm[axis]
        for axis in to_ras
    ]
    return {
        value: tuple(float(along[own].mean()) for along in places)
        for value in values
        if value and (own := found == value).any()
    }


def _sample(values: NDArray[Any]) -> NDArray[np.float64]:
    steps = np.linspace(0, values.size - 1, min(values.size, SAMPLED_VOXELS)).astype(int)
    return _finite(values[steps]).astype(np.float64)


def _range(array: NDArray[Any]) -> tuple[float, float]:
    finite = array if np.isfinite(np.sum(array, dtype=np.float64)) else _finite(array)
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def _finite(values: NDArray[Any]) -> NDArray[Any]:
    finite: NDArray[Any] = values[np.isfinite(values)]
    return finite


def _nonzero_shape(arrays: Sequence[NDArray[Any]]) -> tuple[int, ...]:
    each = zip(*map(filled_along, arrays), strict=True)
    return box_shape([np.any(filled, axis=0) for filled in each])


def filled_along(array: NDArray[Any]) -> list[NDArray[np.bool_]]:
    """For each axis of [*S], along it: whether any voxel is not 0."""
    axes = range(array.ndim)
    return [np.atleast_1d(array.any(axis=tuple(o for o in axes if o != axis))) for axis in axes]


def box_shape(filled: Sequence[NDArray[np.bool_]]) -> tuple[int, ...]:
    """Voxels of the box around all that `filled_along` found; of the whole where all is 0."""
    places = [np.flatnonzero(along) for along in filled]
    if not all(place.size for place in places):
        return tuple(len(along) for along in filled)
    return tuple(int(place[-1] - place[0]) + 1 for place in places)


def _intensities(values: NDArray[np.float64]) -> Intensities:
    low, median, high = np.percentile(values, (0.5, 50, 99.5))
    return Intensities(
        percentile_00_5=float(low),
        median=float(median),
        percentile_99_5=float(high),
        mean=float(values.mean()),
        std=float(values.std()),
    )
