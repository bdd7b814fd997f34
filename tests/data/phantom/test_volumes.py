"""The phantom is exact, deterministic, and shows in each modality what it promises."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, median_filter
from scipy.spatial import cKDTree

from distilseg.data.phantom.volumes import LABELS, MODALITIES, phantom_case, write_phantom
from distilseg.errors import UserError


def test_a_case_depends_on_seed_and_number_only() -> None:
    first, label = phantom_case(3, seed=7)
    again, same_label = phantom_case(3, seed=7, modalities=("MR",))
    np.testing.assert_array_equal(label, same_label)
    np.testing.assert_array_equal(first["MR"], again["MR"])
    for other in (phantom_case(3, seed=8), phantom_case(4, seed=7)):
        assert (other[1] != label).any()


@pytest.mark.parametrize("shape", [(16, 16, 16), (20, 30, 17), (48, 48, 48), (70, 60, 24)])
def test_any_size_holds_every_structure(shape: tuple[int, ...]) -> None:
    for case in range(3):
        images, label = phantom_case(case, shape=shape)
        assert label.shape == shape
        assert label.dtype == np.uint8
        assert set(np.unique(label)) == set(LABELS)
        assert tuple(images) == MODALITIES
        for image in images.values():
            assert image.shape == shape
            assert np.isfinite(image).all()


def test_the_lesion_shows_in_pet_only() -> None:
    for case in range(4):
        images, label = phantom_case(case)
        liver, lesion = label == 1, label == 5
        inner = distance_transform_edt(lesion) > 1.5
        ct, pet = images["CT"].astype(float), images["PET"]
        assert abs(ct[lesion].mean() - ct[liver].mean()) < 3 * 15 / np.sqrt(lesion.sum()) + 1
        assert pet[inner].mean() > 2 * pet[liver].mean()
        # The bias field differs between places; what is left must stay below its amplitude.
        assert images["MR"][lesion].mean() == pytest.approx(images["MR"][liver].mean(), rel=0.3)


def test_ct_shows_as_much_of_the_lesion_as_it_is_told() -> None:
    """Nothing else changes, and PET not at all."""
    plain, label = phantom_case(2)
    shown, same = phantom_case(2, lesion_hu=20)
    np.testing.assert_array_equal(label, same)
    np.testing.assert_array_equal(shown["CT"].astype(int) - plain["CT"], 20 * (label == 5))
    np.testing.assert_array_equal(plain["PET"], shown["PET"])
    with pytest.raises(UserError, match="2000 HU"):
        phantom_case(2, lesion_hu=2000)


def test_vessels_are_thin() -> None:
    for case in range(3):
        label = phantom_case(case, shape=(64, 64, 64))[1]
        assert distance_transform_edt(label == 4).max() <= 3.5  # radius 2, and where branches leave
        assert (label == 4).sum() > 300


def test_mr_has_no_common_scale() -> None:
    maxima = [phantom_case(case, modalities=("MR",))[0]["MR"].max() for case in range(8)]
    assert max(maxima) > 5 * min(maxima)


def test_organs_can_be_learned() -> None:
    """The nearest neighbours by place and median-filtered CT, from four cases, find the organs of a fifth."""

    def features(ct: np.ndarray) -> np.ndarray:
        place = np.indices(ct.shape).reshape(3, -1).T / 4  # 4 voxels count as much as 40 HU
        return np.column_stack([place, median_filter(ct.astype(float), 3).ravel() / 40])

    cases = [phantom_case(case, shape=(32, 32, 32)) for case in range(5)]
    known = cKDTree(np.concatenate([features(images["CT"]) for images, _ in cases[:4]]))
    answers = np.concatenate([label.ravel() for _, label in cases[:4]])
    images, label = cases[4]
    guess = answers[known.query(features(images["CT"]))[1]].reshape(label.shape)
    for organ in (1, 2, 3):
        found, true = np.isin(guess, (1, 5)) if organ == 1 else guess == organ, label == organ
        if organ == 1:
            true = np.isin(label, (1, 5))  # the CT does not tell the lesion from the liver
        assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.75


def test_decathlon_and_nnunet_hold_the_same(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    options = {"cases": 2, "shape": (20, 18, 16), "spacing_mm": (1, 1.5, 3), "seed": 1}
    msd = write_phantom(tmp_path / "msd", **options, progress=lambda done, n: calls.append((done, n)))  # type: ignore[arg-type]
    nnunet = write_phantom(tmp_path / "nnunet", **options, layout="nnunet")  # type: ignore[arg-type]
    assert calls == [(1, 2), (2, 2)]
    about = json.loads((msd / "dataset.json").read_text())
    assert about["modality"] == {"0": "CT", "1": "PET", "2": "MR"}
    assert [entry["image"] for entry in about["training"]] == [
        f"./imagesTr/phantom_00{i}.nii.gz" for i in range(2)
    ]
    assert json.loads((nnunet / "dataset.json").read_text())["labels"]["lesion"] == 5
    for case in range(2):
        images, label = phantom_case(case, seed=1, shape=(20, 18, 16))
        both = nibabel.load(msd / "imagesTr" / f"phantom_00{case}.nii.gz")
        assert both.shape == (20, 18, 16, 3)
        for channel, name in enumerate(MODALITIES):
            one = nibabel.load(nnunet / "imagesTr" / f"phantom_00{case}_000{channel}.nii.gz")
            assert one.header.get_zooms() == (1, 1.5, 3)
            np.testing.assert_array_equal(np.asarray(one.dataobj), images[name])
            np.testing.assert_array_equal(np.asarray(both.dataobj)[..., channel], images[name])
        stored = nibabel.load(msd / "labelsTr" / f"phantom_00{case}.nii.gz")
        assert stored.get_data_dtype() == np.uint8
        np.testing.assert_array_equal(np.asarray(stored.dataobj), label)


def test_any_orientation_keeps_the_world(tmp_path: Path) -> None:
    options = {"cases": 5, "shape": (20, 18, 16), "modalities": ("CT",)}
    folder = write_phantom(tmp_path / "turned", **options, any_orientation=True)  # type: ignore[arg-type]
    plain = write_phantom(tmp_path / "plain", **options)  # type: ignore[arg-type]
    seen = set()
    for path in sorted((folder / "imagesTr").iterdir()):
        turned, straight = nibabel.load(path), nibabel.load(plain / "imagesTr" / path.name)
        seen.add(nibabel.aff2axcodes(turned.affine))
        back = nibabel.as_closest_canonical(turned)
        np.testing.assert_array_equal(np.asarray(back.dataobj), np.asarray(straight.dataobj))
        np.testing.assert_allclose(back.affine, straight.affine)
        label = nibabel.load(folder / "labelsTr" / path.name)
        np.testing.assert_allclose(label.affine, turned.affine)
    assert len(seen) > 2


def test_the_same_set_is_kept_and_another_refused(tmp_path: Path) -> None:
    folder = write_phantom(tmp_path / "set", cases=1, shape=(16, 16, 16))
    before = (folder / "imagesTr" / "phantom_000.nii.gz").stat().st_mtime_ns
    assert write_phantom(tmp_path / "set", cases=1, shape=(16, 16, 16)) == folder
    assert (folder / "imagesTr" / "phantom_000.nii.gz").stat().st_mtime_ns == before
    with pytest.raises(UserError, match=r"already holds another dataset"):
        write_phantom(tmp_path / "set", cases=1, shape=(16, 16, 16), seed=1)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"not empty"):
        write_phantom(tmp_path / "used", cases=1, shape=(16, 16, 16))
    assert [path.name for path in (tmp_path / "used").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cases": 0}, r"empty"),
        ({"shape": (16, 16)}, r"three axes"),
        ({"shape": (8, 16, 16)}, r"at least 16"),
        ({"spacing_mm": (1, 0, 1)}, r"above 0"),
        ({"layout": "bids"}, r"unknown layout"),
        ({"modalities": ("CT", "MRI")}, r"did you mean 'MR'"),
    ],
)
def test_nonsense_is_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        write_phantom(tmp_path / "set", **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
