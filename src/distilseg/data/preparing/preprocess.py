"""A case and a plan give arrays: oriented, cropped, resampled, normalised; and their `Grid` leads back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from ...types import UNKNOWN
from ..scans.learnable import check_classes, check_learnable
from .grid import Array, Grid, Shape, make_grid
from .normalise import normalise
from .resample import resample, resample_labels

if TYPE_CHECKING:
    from ..planning.plan import Plan
    from ..scans.scan import Scan

VERSION = 1  # part of every cache key: raise it when the same input gives voxels that differ beyond rounding


@dataclass(frozen=True)
class Preprocessed:
    """One case, ready for a network."""

    image: NDArray[np.float32]  # [M *S]
    label: NDArray[np.uint8] | None  # [*S] class indices
    grid: Grid


def preprocess(
    scans: Mapping[str, Scan],
    label: Scan | None,
    plan: Plan,
    *,
    case: str,
    fits: Callable[[Grid], object] = lambda grid: None,
) -> Preprocessed:
    """Orient, crop, resample and normalise one case.

    `scans` by modality, all on one grid; extra modalities are ignored. `label` holds label values, or is None
    where none is known (prediction): the image and the grid do not depend on it. `fits` is asked about the
    grid before anything is resampled, and may refuse it. Raises `UserError`, naming the case, for a modality
    that is missing, grids that differ, voxels that are NaN or infinite, and label values the plan does not
    know.
    """
    missing = [name for name in plan.modalities if name not in scans]
    if missing:
        raise UserError(
            f"case {case}: modality {', '.join(missing)} is missing; it has {', '.join(scans) or 'none'}",
            f"the plan needs {', '.join(plan.modalities)}",
        )
    images = {name: scans[name] for name in plan.modalities}
    same_grid({**images, **({} if label is None else {"label": label})}, case)
    grid = make_grid(list(images.values()), plan, case=case)
    fits(grid)
    # Cropped first, cast second: a scan is never held as float32 beyond its box.
    cropped = {name: grid.crop(scan.array) for name, scan in images.items()}
    for name, array in cropped.items():
        check_learnable(array, f"case {case}: {name}")
    image = np.stack(
        [
            normalise(resample(array, grid.working_shape, plan.interpolation), plan.normalisation[name])
            for name, array in cropped.items()
        ]
    ).astype(np.float32, copy=False)
    for modality, volume in zip(plan.modalities, image, strict=True):
        if not np.isfinite(volume).all():
            raise UserError(
                f"case {case}: {modality} holds voxels that are NaN or infinite",
                "`distilseg check` shows where; repair the scan",
            )
    if label is None:
        return Preprocessed(image, None, grid)
    classes = class_indices(grid.crop(label.array), plan.label_values, unknown=plan.unknown, case=case)
    return Preprocessed(image, resample_labels(classes, grid.working_shape), grid)


def class_indices(
    label: Array, label_values: tuple[int, ...], *, case: str, unknown: int | None = None
) -> NDArray[np.uint8]:
    """Label values -> class indices: index k stands for `label_values[k]`, which ascend.

    UNKNOWN stands for the value `unknown`, of voxels that nobody labelled.
    """
    check_classes(label_values)
    values = np.asarray(label_values)
    if label.dtype.kind == "b":
        label = label.view(np.uint8)
    classes = np.empty(label.shape, np.uint8)
    strange_values: list[Array] = []
    for plane, indices in zip(label, classes, strict=True):  # plane by plane: temporaries stay small
        indices[...] = np.searchsorted(values, plane).clip(max=len(values) - 1)
        strange = values[indices] != plane  # unequal also where it is not a number
        if unknown is not None:
            nobodys = plane == unknown
            indices[nobodys] = UNKNOWN
            strange &= ~nobodys
        strange_values.append(np.unique(plane[strange]))
    strange = np.unique(np.concatenate(strange_values))
    if strange.size:
        shown = ", ".join(f"{value:g}" for value in strange[:5]) + (", ..." if strange.size > 5 else "")
        raise UserError(
            f"case {case}: the label holds {shown}, the plan names the classes "
            + ", ".join(str(value) for value in label_values),
            _guess(strange, label_values),
        )
    return classes


def _guess(strange: Array, label_values: tuple[int, ...]) -> str:
    if np.any(strange != np.round(strange)):
        return "was the label map resampled like an image? resample it again with nearest neighbours"
    if strange.size > 20:
        return "is this file an image instead of a label map?"
    if 255 in strange and len(label_values) == 2:
        return f"did you mean {label_values[1]} by 255? remap it"
    if list(strange) == [4] and max(label_values) == 3:
        return "did you forget to remap BraTS label 4 to 3?"
    return "name them in the dataset's labels or remap them"


def same_grid(scans: Mapping[str, Scan], case: str) -> None:
    """All scans must have one shape, and agree within a voxel on where their voxels are."""
    (first, reference), *others = scans.items()
    shape = tuple(reference.geometry.shape)
    corners = np.array([*np.ndindex(2, 2, 2)]) * (np.array(shape[:3]) - 1) if len(shape) == 3 else None
    for name, scan in others:
        if tuple(scan.geometry.shape) != shape:
            raise UserError(
                f"case {case}: {name} has {_times(scan.geometry.shape)} voxels, {first} {_times(shape)}",
                "resample them to one grid first",
            )
        if corners is None:
            continue
        difference = np.asarray(scan.geometry.affine) - np.asarray(reference.geometry.affine)
        apart_mm = np.linalg.norm(corners @ difference[:3, :3].T + difference[:3, 3], axis=1).max()
        if not apart_mm <= max(reference.geometry.spacing_mm):
            raise UserError(
                f"case {case}: the headers of {name} and {first} put the same voxel {apart_mm:.1f} mm apart",
                "`distilseg check` shows where they differ",
            )


def _times(shape: Shape) -> str:
    return " x ".join(str(size) for size in shape)
