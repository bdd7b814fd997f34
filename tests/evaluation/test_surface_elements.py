"""NSD by area: known solids, a slow transcription of its definition, and MONAI's form of DeepMind's code."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from monai.metrics import compute_surface_dice
from monai.metrics.utils import get_code_to_measure_table
from scipy import ndimage

from distilseg.evaluation.surface_elements import element_areas, neighbour_codes, nsd

from .masks import SPACINGS, batch, blobs


def surface_area(mask: np.ndarray, spacing: tuple[float, ...]) -> float:
    return float(element_areas(spacing)[neighbour_codes(mask)].sum())


def slow_nsd(
    reference: np.ndarray, prediction: np.ndarray, spacing: tuple[float, ...], tolerance: float
) -> float:
    """Cell by cell and with distance transforms, as the definition reads."""
    areas = {code: element_areas(spacing)[code] for code in range(2 ** (2**reference.ndim))}
    cells = [size - 1 for size in reference.shape]
    code_maps = []
    for mask in (reference, prediction):
        codes = np.zeros(cells, int)
        for cell in np.ndindex(*cells):
            for corner in itertools.product((0, 1), repeat=mask.ndim):
                inside = mask[tuple(np.add(cell, corner))]
                codes[cell] += int(inside) << sum(c << axis for axis, c in enumerate(corner))
        code_maps.append(codes)
    surfaces = [(codes > 0) & (codes < len(areas) - 1) for codes in code_maps]
    close = total = 0.0
    for own, other in ((0, 1), (1, 0)):
        distance = ndimage.distance_transform_edt(~surfaces[other], sampling=spacing)
        for cell in np.argwhere(surfaces[own]):
            area = areas[code_maps[own][tuple(cell)]]
            total += area
            close += area * (distance[tuple(cell)] <= tolerance)
    return close / total


def test_area_of_a_voxel() -> None:
    mask = np.zeros((3, 3, 3), bool)
    mask[1, 1, 1] = True
    # Eight corners cut off a cube: an octahedron with vertices half a spacing from the centre.
    a, b, c = np.array((1.0, 2.0, 3.0)) / 2
    triangle = math.sqrt((a * b) ** 2 + (b * c) ** 2 + (a * c) ** 2) / 2
    assert surface_area(mask, (1.0, 2.0, 3.0)) == pytest.approx(8 * triangle)


def test_length_around_a_pixel() -> None:
    mask = np.zeros((3, 3), bool)
    mask[1, 1] = True
    assert surface_area(mask, (3.0, 4.0)) == pytest.approx(4 * 2.5)  # a rhombus with half axes 1.5 and 2


def test_area_of_a_box_approaches_its_faces() -> None:
    mask = np.zeros((42, 52, 32), bool)
    mask[1:-1, 1:-1, 1:-1] = True
    spacing = (0.5, 1.0, 2.0)
    faces = 2 * (20 * 50 + 50 * 60 + 20 * 60)  # 40 x 50 x 30 voxels: 20 x 50 x 60 mm
    assert surface_area(mask, spacing) == pytest.approx(faces, rel=0.03)


@pytest.mark.parametrize("spacing", [*SPACINGS, (3.0, 0.2, 1.0), (0.8, 1.7)])
def test_area_of_every_cell_equals_deepminds(spacing: tuple[float, ...]) -> None:
    n = len(spacing)
    measures, kernel = get_code_to_measure_table(spacing)
    kernel = kernel.numpy().reshape((2,) * n)
    for code, area in enumerate(element_areas(spacing)):
        theirs = 0
        for corner in itertools.product((0, 1), repeat=n):
            if code >> sum(c << axis for axis, c in enumerate(corner)) & 1:
                theirs += int(kernel[corner])
        assert area == pytest.approx(float(measures[theirs]), rel=1e-6), f"cell {code:b}"


@pytest.mark.parametrize("spacing", [(1.0, 2.0, 3.0)])
def test_inside_and_outside_are_cut_by_one_surface(spacing: tuple[float, ...]) -> None:
    areas = element_areas(spacing)
    np.testing.assert_allclose(areas, areas[::-1])
    assert areas[0] == 0
    assert (areas[1:-1] > 0).all()


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("tolerance", [0.0, 0.7, 1.0, 2.0])
def test_equals_the_definition_and_monai_3d(spacing: tuple[float, ...], tolerance: float) -> None:
    reference, prediction = blobs(1, (9, 8, 7))
    ours = nsd(reference, prediction, spacing, tolerance)
    assert ours == pytest.approx(slow_nsd(reference, prediction, spacing, tolerance), rel=1e-9)
    monai = compute_surface_dice(
        batch(prediction),
        batch(reference),
        [tolerance],
        include_background=True,
        spacing=spacing,
        use_subvoxels=True,
    )
    assert ours == pytest.approx(float(monai), rel=1e-5)


@pytest.mark.parametrize("tolerance", [0.0, 0.8, 2.0])
def test_equals_the_definition_and_monai_2d(tolerance: float) -> None:
    reference, prediction = blobs(2, (30, 25))
    ours = nsd(reference, prediction, (0.8, 1.7), tolerance)
    assert ours == pytest.approx(slow_nsd(reference, prediction, (0.8, 1.7), tolerance), rel=1e-9)
    monai = compute_surface_dice(
        batch(prediction),
        batch(reference),
        [tolerance],
        include_background=True,
        spacing=(0.8, 1.7),
        use_subvoxels=True,
    )
    assert ours == pytest.approx(float(monai), rel=1e-5)


def test_two_voxels_two_mm_away() -> None:
    reference, prediction = np.zeros((3, 3, 5), bool), np.zeros((3, 3, 5), bool)
    reference[1, 1, 1] = prediction[1, 1, 3] = True
    # Half of either octahedron faces the other voxel, at corners 1 mm from the other's.
    assert nsd(reference, prediction, (1.0, 1.0, 1.0), 0.9) == 0
    assert nsd(reference, prediction, (1.0, 1.0, 1.0), 1.0) == 0.5
    assert nsd(reference, prediction, (1.0, 1.0, 1.0), 2.0) == 1
