"""A case becomes what the plan says; mistakes are named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from distilseg.data.planning.normalisation import Normalisation
from distilseg.data.preparing.preprocess import class_indices, preprocess
from distilseg.data.preparing.resample import resample
from distilseg.errors import UserError

from .made_up import plan, scan


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
