"""The grid leads there and back exactly; resampling keeps the extent; mistakes are named."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings

from distilseg.data.planning.plan import Normalisation, Plan
from distilseg.data.preparing.preprocess import (
    Grid,
    class_indices,
    make_grid,
    preprocess,
    resample,
    resample_labels,
)
from distilseg.data.scans.scan import Geometry, Scan
from distilseg.errors import UserError


def plan(**changes: Any) -> Plan:
    values: dict[str, Any] = {
        "dataset": "made up",
        "modalities": ("MR",),
        "labels": {0: "background", 1: "one", 4: "four"},
        "spacing_mm": (1.0, 1.0, 1.0),
        "normalisation": {"MR": Normalisation(kind="none"), "CT": Normalisation(kind="none")},
        "patch": (8, 8, 8),
        "strides": ((1, 1, 1), (2, 2, 2)),
    }
    return Plan(**{**values, **changes})


def scan(array: np.ndarray, affine: np.ndarray | None = None) -> Scan:
    affine = np.eye(4) if affine is None else affine
    return Scan(array, Geometry(array.shape, affine), Path("scan.nii.gz"))


def oblique_affine(axes: tuple[int, ...], signs: tuple[int, ...], spacing: tuple[float, ...], angle: float):
    """Array axis a runs along signs[a] * world axis axes[a], all turned by `angle` about an oblique line."""
    line = np.array([1.0, 2.0, 2.0]) / 3
    cross = np.cross(np.eye(3), line)
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    affine = np.eye(4)
    for axis in range(3):
        affine[:3, axis] = turn[:, axes[axis]] * signs[axis] * spacing[axis]
    affine[:3, 3] = (-20.0, 5.0, 33.0)
    return affine


@settings(deadline=None, max_examples=60)
@given(
    axes=st.permutations([0, 1, 2]),
    signs=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    wanted=st.sampled_from(
        [
            "".join(p)
            for a, b, c in itertools.product("LR", "AP", "IS")
            for p in itertools.permutations(a + b + c)
        ]
    ),
    shape=st.tuples(*[st.integers(1, 7)] * 3),
    angle=st.floats(-0.4, 0.4),
    seed=st.integers(0, 10**6),
)
def test_restore_inverts_orientation_and_crop(axes, signs, wanted, shape, angle, seed):
    affine = oblique_affine(tuple(axes), signs, (0.5, 1.5, 3.0), angle)
    rng = np.random.default_rng(seed)
    image = (rng.random(shape) < 0.2).astype(np.int16)
    grid = make_grid([scan(image, affine)], plan(orientation=wanted, crop="nonzero"), case="a")
    assert grid == Grid.from_dict(json.loads(json.dumps(grid.to_dict())))

    labels = rng.integers(0, 200, grid.cropped_shape).astype(np.uint8)
    restored = grid.restore(labels)
    assert restored.shape == shape
    np.testing.assert_array_equal(grid.crop(restored), labels)
    # Nothing outside the box, and nothing that is not zero was cropped away.
    assert restored.astype(int).sum() == labels.astype(int).sum()
    np.testing.assert_array_equal(grid.restore(np.ascontiguousarray(grid.crop(image))), image)

    # Independent check of the directions: walk along each oriented axis and look where the world goes.
    indices = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"))
    for world in range(3):
        mm = sum(affine[world, axis] * indices[axis] for axis in range(3)) + affine[world, 3]
        oriented = grid.orient(mm)
        positive = {0: "R", 1: "A", 2: "S"}[world]
        letter = next(name for name in wanted if name in {0: "RL", 1: "AP", 2: "SI"}[world])
        axis = wanted.index(letter)
        if oriented.shape[axis] > 1:
            steps = np.diff(oriented, axis=axis)
            assert (steps > 0).all() if letter == positive else (steps < 0).all()


def test_orientation_by_hand():
    array = np.arange(24).reshape(2, 3, 4)
    # Stored P S L: axis 0 runs to posterior, axis 1 to superior, axis 2 to left.
    affine = np.array([[0, 0, -3.0, 0], [-1.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, 0, 1]])
    grid = make_grid([scan(array, affine)], plan(), case="a")
    np.testing.assert_array_equal(grid.orient(array), array.transpose(2, 0, 1)[::-1, ::-1, :])
    assert grid.cropped_spacing_mm == (3.0, 1.0, 2.0)
    assert grid.working_shape == (12, 2, 6)
    assert grid.spacing_mm == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("shape", [(33, 20, 40), (7, 60, 17), (1, 5, 90)])
def test_linear_resampling_has_the_geometry_of_interpolate(shape):
    image = np.random.default_rng(0).standard_normal((20, 31, 17)).astype(np.float32)
    expected = F.interpolate(torch.from_numpy(image)[None, None], size=shape, mode="trilinear")[0, 0].numpy()
    np.testing.assert_allclose(resample(image, shape), expected, atol=2e-5)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_no_black_border_and_no_shift(interpolation):
    assert np.allclose(resample(np.full((5, 6, 7), 3, np.int16), (11, 3, 29), interpolation), 3, atol=1e-4)
    ramp = np.broadcast_to(np.arange(24.0)[:, None, None], (24, 4, 4))
    fine = resample(ramp, (48, 4, 4), interpolation)
    # Half-pixel centres: voxel i of the fine grid lies at (i + 1/2) / 2 - 1/2 of the coarse one.
    np.testing.assert_allclose(fine[12:36, 1, 1], (np.arange(12, 36) + 0.5) / 2 - 0.5, atol=2e-3)


def test_cubic_is_not_linear_and_follows_a_smooth_curve_better():
    coarse = np.cos(2 * np.pi * (np.arange(24) + 0.5) / 8)
    fine = np.cos(2 * np.pi * (np.arange(72) + 0.5) / 24)
    volume = np.broadcast_to(coarse[:, None, None], (24, 3, 3))
    errors = {
        kind: np.abs(resample(volume, (72, 3, 3), kind)[18:54, 1, 1] - fine[18:54]).max()
        for kind in ("linear", "cubic")
    }
    assert errors["cubic"] < errors["linear"] / 4


def test_labels_take_the_class_with_the_largest_interpolated_indicator():
    rng = np.random.default_rng(1)
    blobs = (
        resample(rng.standard_normal((6, 6, 6)), (24, 24, 24)),
        resample(rng.standard_normal((6, 6, 6)), (24,) * 3),
    )
    labels = (np.stack([np.zeros((24,) * 3, np.float32), *blobs]).argmax(0)).astype(np.uint8)
    shape = (35, 16, 50)
    indicators = torch.from_numpy(np.stack([labels == k for k in range(3)]).astype(np.float32))
    scores = F.interpolate(indicators[None], size=shape, mode="trilinear")[0]
    best = scores.topk(2, dim=0)
    clear = ((best.values[0] - best.values[1]) > 1e-4).numpy()
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(resample_labels(labels, shape)[clear], best.indices[0].numpy()[clear])


def test_preprocess_gives_what_was_planned():
    rng = np.random.default_rng(2)
    mr = np.zeros((10, 12, 9), np.uint8)
    mr[2:8, 3:9, 1:6] = rng.integers(1, 255, (6, 6, 5))
    ct = np.zeros((10, 12, 9), np.float32)
    ct[3, 3, 7] = -5
    label = np.zeros((10, 12, 9), np.float64)
    label[4:6, 4:6, 2:4] = 4
    affine = np.diag([1.0, 2.0, 1.0, 1.0])
    scans = {"MR": scan(mr, affine), "extra": scan(mr[:3]), "CT": scan(ct, affine)}
    wanted = plan(modalities=("CT", "MR"), crop="nonzero", spacing_mm=(1.0, 1.0, 1.0))

    done = preprocess(scans, scan(label, affine), wanted, case="a")
    assert done.grid.box == ((2, 8), (3, 9), (1, 8))
    assert done.image.shape == (2, 6, 12, 7)
    assert done.image.dtype == np.float32
    assert done.label is not None
    assert done.label.dtype == np.uint8
    assert set(np.unique(done.label)) == {0, 2}  # value 4 is class 2
    np.testing.assert_allclose(done.image[0, 1], resample(ct[2:8, 3:9, 1:8], (6, 12, 7))[1])
    np.testing.assert_allclose(done.image[1], resample(mr[2:8, 3:9, 1:8], (6, 12, 7)))

    unlabelled = preprocess(scans, None, wanted, case="a")
    assert unlabelled.label is None
    assert unlabelled.grid == done.grid
    np.testing.assert_array_equal(unlabelled.image, done.image)


def test_an_image_of_zeros_is_not_cropped_to_nothing():
    grid = make_grid([scan(np.zeros((3, 4, 5)))], plan(crop="nonzero"), case="a")
    assert grid.cropped_shape == (3, 4, 5)


def refused(*args: Any, **keywords: Any) -> str:
    with pytest.raises(UserError) as caught:
        preprocess(*args, **keywords)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_missing_modality_is_named():
    message = refused({"T1": scan(np.ones((3, 3, 3)))}, None, plan(modalities=("MR", "CT")), case="p7")
    assert "case p7: modality MR, CT is missing; it has T1" in message


def test_shapes_that_differ_are_named():
    small, large = scan(np.ones((3, 3, 3))), scan(np.ones((3, 3, 4)))
    message = refused({"MR": large, "CT": small}, None, plan(modalities=("MR", "CT")), case="p7")
    assert "case p7: CT has 3 x 3 x 3 voxels, MR 3 x 3 x 4" in message
    assert "label has 3 x 3 x 3" in refused({"MR": large}, small, plan(), case="p7")


def test_headers_that_contradict_are_named():
    turned = scan(np.ones((9, 9, 9)), np.diag([-1.0, 1.0, 1.0, 1.0]))
    message = refused({"MR": scan(np.ones((9, 9, 9)))}, turned, plan(), case="p7")
    assert "case p7: the headers of label and MR put the same voxel 16.0 mm apart" in message


def test_scans_without_three_axes_or_with_a_flat_header_are_refused():
    assert "three axes" in refused({"MR": scan(np.ones((9, 9)))}, None, plan(), case="p7")
    flat = scan(np.ones((9, 9, 9)), np.diag([1.0, 0.0, 1.0, 1.0]))
    assert "spacing zero" in refused({"MR": flat}, None, plan(), case="p7")
    assert "'RRS'" in refused({"MR": scan(np.ones((2, 2, 2)))}, None, plan(orientation="RRS"), case="p7")


@pytest.mark.parametrize(
    ("values", "known", "words"),
    [
        (
            [0, 4],
            (0, 1, 2, 3),
            "the label holds 4, the plan names the classes 0, 1, 2, 3; did you forget to remap BraTS",
        ),
        ([0, 255], (0, 1), "did you mean 1 by 255"),
        ([0, 0.5], (0, 1), "the label holds 0.5"),
        ([0, np.nan], (0, 1), "the label holds nan"),
        ([-1, 7], (0, 1), "the label holds -1, 7"),
        (list(range(30)), (0, 1), "is this file an image"),
    ],
)
def test_unknown_label_values_are_named_with_a_guess(values, known, words):
    with pytest.raises(UserError, match="case p7") as caught:
        class_indices(np.array([[values]]), known, case="p7")
    assert words in str(caught.value)


def test_label_values_become_class_indices():
    label = np.array([[[0, 500, 205], [205, 0, -3]]], np.int16)
    np.testing.assert_array_equal(class_indices(label, (-3, 0, 205, 500), case="a"), [[[1, 3, 2], [2, 1, 0]]])
    assert class_indices(np.array([[[True, False]]]), (0, 1), case="a").tolist() == [[[1, 0]]]
    with pytest.raises(UserError, match="at most 255"):
        class_indices(label, tuple(range(300)), case="a")


def test_a_voxel_that_is_no_number_is_named_before_anything_is_learned():
    holed = np.ones((4, 4, 4))
    holed[1, 2, 3] = np.nan
    message = refused({"MR": scan(holed)}, None, plan(modalities=("MR",)), case="p7")
    assert "case p7: MR holds voxels that are NaN or infinite" in message
    assert "distilseg check" in message


def test_a_centre_crop_keeps_the_middle_and_leads_back() -> None:
    array = np.zeros((12, 9, 5), np.float32)
    array[4:8, 2:8, 0:5] = 1
    centre = plan(crop="center", crop_voxels=(4, 6, 8))
    done = preprocess({"MR": scan(array)}, None, centre, case="x")
    # (12 - 4) // 2 = 4, (9 - 6) // 2 = 1, and all 5 voxels of the axis that is shorter than the crop
    assert done.grid.box == ((4, 8), (1, 7), (0, 5))
    np.testing.assert_array_equal(done.image[0], array[4:8, 1:7, 0:5])
    restored = done.grid.restore(np.ones((4, 6, 5), np.uint8))
    assert restored.shape == array.shape
    assert restored.sum() == 4 * 6 * 5
    assert restored[4:8, 1:7].all()


def test_a_centre_crop_is_of_the_oriented_scan_at_its_own_spacing() -> None:
    affine = np.diag([-1.0, 1.0, 2.0, 1.0])[[2, 1, 0, 3]]  # the first array axis runs along the patient's S
    centre = plan(crop="center", crop_voxels=(4, 6, 2), spacing_mm=(2.0, 2.0, 2.0))
    done = preprocess({"MR": scan(np.zeros((6, 8, 10), np.float32), affine)}, None, centre, case="x")
    assert [stop - start for start, stop in done.grid.box] == [4, 6, 2]


def test_crop_and_its_size_come_together() -> None:
    from distilseg.data.planning.plan import check_plan

    for changes in ({"crop": "center"}, {"crop_voxels": (4, 4, 4)}):
        with pytest.raises(UserError, match="a centre crop needs both"):
            check_plan(plan(normalisation={"MR": Normalisation(kind="none")}, **changes))
    assert "crop_voxels" not in plan().preprocessing()
    assert plan(crop="center", crop_voxels=(4, 4, 4)).preprocessing()["crop_voxels"] == [4, 4, 4]
