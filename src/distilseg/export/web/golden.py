"""The golden case of a page: a made-up scan, and what this machine's own prediction of it is.

It is stored in another orientation than the plan's, obliquely and at another spacing, so that each step from
the file to the label map shows. A page segments it when it is opened and compares every voxel. Of a few such
scans the one with the most structures is taken: a label map of background alone would prove little.
"""

from __future__ import annotations

import base64
import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data.case import Source
from ...data.planning.normalisation import Normalisation
from ...data.planning.plan import Plan
from ...data.planning.views import in_plane
from ...data.scans.reading import read_scans, write_array, write_label_map
from ...data.scans.scan import Geometry, Scan, axis_order
from ...functional.window_options import SlabsOptions, SlicesOptions
from ...runtime.artefact import Artefact, View
from ...runtime.inferers import make_inferer
from ...runtime.views import load_shipped

NAME = "golden"
_SEEDS = 6
_LARGE = 2**18  # voxels: of larger windows one is enough, a person waits for it
_TURN = math.radians(11)
_STRETCH = (0.93, 1.0, 1.08)  # of the plan's spacing, along its axes


def golden_case(artefact: Artefact) -> bytes:
    """`GoldenCase` of `web/src/worker/golden.ts`, as JSON."""
    predictor = load_shipped(artefact)
    best: tuple[tuple[int, int], dict[str, Any]] | None = None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed in range(_SEEDS):
            paths = _write(folder, artefact, seed)
            scans = read_scans({modality: Source(path) for modality, path in paths.items()})
            labels = predictor.segment(scans, case=NAME)
            out = folder / f"labels_{seed}.nii.gz"
            write_label_map(out, labels, next(iter(scans.values())))
            worth = len(np.unique(labels)), int(np.count_nonzero(labels))
            if best is None or worth > best[0]:
                scans_64 = {modality: _base64(path) for modality, path in paths.items()}
                best = worth, {"name": NAME, "scans": scans_64, "labels": _base64(out)}
            if worth[0] == len(artefact.plan.labels):
                break
    assert best is not None
    return json.dumps(best[1]).encode()


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode("ascii")


def _write(folder: Path, artefact: Artefact, seed: int) -> dict[str, Path]:
    """A scan of each modality."""
    plan, rng = artefact.plan, np.random.default_rng(seed)
    geometry = _geometry(plan, _working_shape(artefact.views[0]))
    paths = {}
    for n, modality in enumerate(plan.modalities):
        array = _intensities(geometry.shape, plan.normalisation[modality], rng)
        paths[modality] = folder / f"scan_{seed}_{n}.nii.gz"
        write_array(paths[modality], array, Scan(array, geometry, paths[modality]))
    return paths


def _working_shape(view: View) -> tuple[int, ...]:
    """About so many voxels on the working grid: two windows where they are small."""
    options = make_inferer(view.inferer).options
    if isinstance(options, SlicesOptions | SlabsOptions):
        sides = options.patch if isinstance(options, SlicesOptions) else in_plane(options.patch, options.axis)
        across = 3 if isinstance(options, SlicesOptions) else options.thickness + 2 * options.stride
        plane = [min(size + 5, 48) for size in sides]
        return (*plane[: options.axis], across, *plane[options.axis :])
    patch = options.patch
    if math.prod(patch) > _LARGE:
        return tuple(min(size - 3, 64) if size > 6 else size for size in patch)
    return (patch[0] + max(2, patch[0] // 4), *(size - 1 if size > 6 else size for size in patch[1:]))


def _geometry(plan: Plan, working: Sequence[int]) -> Geometry:
    """A grid whose axes run otherwise than the plan's: in reverse order, two against it, turned a little."""
    along = axis_order(plan.orientation)
    spacing = [mm * by for mm, by in zip(plan.spacing_mm, _STRETCH, strict=True)]
    shape = [
        max(1, round(n * mm / new)) for n, mm, new in zip(working, plan.spacing_mm, spacing, strict=True)
    ]
    affine = np.zeros((4, 4))
    for stored, axis in enumerate(reversed(range(3))):
        towards = 1 if plan.orientation[axis] in "RAS" else -1
        affine[along[axis], stored] = spacing[axis] * (towards if axis == 1 else -towards)
    turn = np.eye(4)
    turn[:2, :2] = [[math.cos(_TURN), -math.sin(_TURN)], [math.sin(_TURN), math.cos(_TURN)]]
    affine[3, 3] = 1
    affine[:3, 3] = 17.0, -23.0, 5.0
    return Geometry(tuple(reversed(shape)), turn @ affine)


def _intensities(shape: Sequence[int], how: Normalisation, rng: np.random.Generator) -> NDArray[Any]:
    """Smooth blobs over noise, in the range that the plan keeps; nothing at the rim."""
    low, high = (0.0, 1000.0) if how.low is None or how.high is None else (how.low, how.high)
    places = np.stack(np.meshgrid(*(np.linspace(-1, 1, max(2, n))[:n] for n in shape), indexing="ij"))
    image = 0.15 * rng.random(tuple(shape))
    for _ in range(7):
        centre, size = rng.uniform(-0.6, 0.6, 3), rng.uniform(0.15, 0.5, 3)
        apart = (places - centre.reshape(3, 1, 1, 1)) / size.reshape(3, 1, 1, 1)
        image += rng.uniform(0.2, 1.0) * (np.square(apart).sum(0) < 1)
    scaled = low + (high - low) * np.clip(image / max(image.max(), 1e-6), 0, 1)
    if min(shape) > 8:
        kept = np.zeros(tuple(shape), bool)
        kept[tuple(slice(2, -1) for _ in shape)] = True
        scaled[~kept] = 0 if low <= 0 <= high else low
    if 50 < np.abs(scaled).max() < 32000:  # as scanners store them
        return np.asarray(np.round(scaled), np.int16)
    return np.asarray(scaled, np.float32)
