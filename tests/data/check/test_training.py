"""What training refuses, check reports: the same datasets are given to both."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from distilseg.cli import main
from distilseg.data.check import check_dataset
from distilseg.data.formats import read_dataset
from distilseg.data.planning.decide import make_plan
from distilseg.data.planning.fingerprint import measure
from distilseg.data.preparing.cache import cache_cases
from distilseg.data.scans.hounsfield import looks_like_hounsfield
from distilseg.data.scans.learnable import MOST, check_classes, check_learnable, unlearnable
from distilseg.errors import UserError

from ..small_datasets import SHAPE, decathlon, image, label, nnunet, write, write_json


def refusal(folder: Path) -> str:
    """What training says before its first step: it measures, plans, and prepares every case."""
    with pytest.raises(UserError) as refused:
        prepare(folder)
    return str(refused.value)


def prepare(folder: Path) -> None:
    dataset = read_dataset(folder)
    plan = make_plan(dataset, measure(dataset))
    cache_cases(dataset, [case.id for case in dataset.cases], plan, folder=folder.parent / "cache")


def told(folder: Path) -> list[tuple[str, str, str]]:
    return [(problem.case, problem.kind, problem.severity) for problem in check_dataset(folder).problems]


# Voxels


@pytest.mark.parametrize(
    ("value", "number_type"),
    [(1e39, np.float64), (-1e39, np.float64), (3e38, np.float32), (-1.7e308, np.float64)],
)
def test_voxels_beyond_32_bit_floats(tmp_path: Path, value: float, number_type: type) -> None:
    folder, spoiled = nnunet(tmp_path / "Dataset001_A"), image(99).astype(number_type)
    spoiled[2, 3, 4] = value
    write(folder / "imagesTr/case_1_0001.nii.gz", spoiled)
    assert "case case_1: PET holds voxels beyond ±8.5e+37, " in refusal(folder)
    (problem,) = check_dataset(folder).problems
    assert (problem.case, problem.kind, problem.severity) == ("case_1", "beyond_float", "error")
    assert (
        "has 1 voxel beyond ±8.5e+37, which is all that 32-bit floats can be scaled from"
        f" (up to {abs(value):.3g})" in problem.message
    )


def test_the_largest_voxels_that_check_passes_are_learned_from(tmp_path: Path) -> None:
    """The differences that every normalisation takes stay finite."""
    folder, wide = nnunet(tmp_path / "Dataset001_A", channels=("MR",)), image(99).astype(np.float64)
    wide[0, 0, 0], wide[1, 1, 1] = MOST, -MOST
    write(folder / "imagesTr/case_1_0000.nii.gz", wide)
    assert told(folder) == []
    dataset = read_dataset(folder)
    measured = measure(dataset)
    for kind in ("zscore", "zscore_damped", "zscore_nonzero", "minmax", "maximum", "percentile", "none"):
        plan = make_plan(dataset, measured, normalisation=kind)
        prepared = cache_cases(dataset, ["case_1"], plan, folder=tmp_path / "cache")["case_1"]
        assert np.isfinite(prepared.image).all()


def test_one_rule_in_two_voices() -> None:
    assert unlearnable(np.array([1, 2], np.uint64), "x") is None
    with pytest.raises(
        UserError, match=r"^case a: CT holds voxels that are NaN or infinite; `distilseg check`"
    ):
        check_learnable(np.array([1.0, np.nan]), "case a: CT")
    kind, error = unlearnable(np.array([np.inf, np.nan, 0.0]), "a.nii") or ("", UserError(""))
    assert (kind, error.cause) == ("non_finite", "a.nii has 2 NaN or infinite voxels of 3")


# Classes


def test_more_classes_than_a_byte_numbers(tmp_path: Path) -> None:
    labels = {"background": 0, **{f"c{value}": value for value in range(1, 256)}}
    folder = nnunet(tmp_path / "Dataset001_Many", labels=labels)
    held = (np.arange(np.prod(SHAPE)).reshape(SHAPE) % 256).astype(np.uint16)
    for case in range(3):
        write(folder / f"labelsTr/case_{case}.nii.gz", held)
    assert "256 classes are named, at most 255 fit" in refusal(folder)
    (problem,) = check_dataset(folder).problems
    assert (problem.case, problem.kind) == ("", "classes")
    assert "256 classes are named, at most 255 fit, the background among them" in problem.message
    check_classes(range(255))


def test_thousands_of_classes_are_not_called_absent(tmp_path: Path) -> None:
    """Label maps of so many values are not counted to their end."""
    labels = {"background": 0, **{f"c{value}": value for value in range(1, 1200)}}
    folder = nnunet(tmp_path / "Dataset001_Many", labels=labels)
    held = np.arange(16 * 16 * 16).reshape(16, 16, 16) % 1200
    for case in range(3):
        for channel in range(2):
            write(
                folder / f"imagesTr/case_{case}_{channel:04d}.nii.gz", image(10 * case + channel, (16,) * 3)
            )
        write(folder / f"labelsTr/case_{case}.nii.gz", held.astype(np.uint16))
    assert told(folder) == [("", "classes", "error")]


def test_no_structure_at_all(tmp_path: Path) -> None:
    for case in "abc":
        write(tmp_path / f"images/{case}.nii.gz", image(ord(case)))
        write(tmp_path / f"labels/{case}.nii.gz", label())
    assert "no case" in refusal(tmp_path)
    kinds = told(tmp_path)
    assert kinds == [(case, "label_empty", "warning") for case in "abc"] + [("", "classes", "error")]


# What is said of label maps that nobody read


def test_classes_are_not_missed_in_label_maps_that_cannot_be_read(tmp_path: Path) -> None:
    folder = nnunet(tmp_path / "Dataset001_A")
    for case in range(3):
        (folder / f"labelsTr/case_{case}.nii.gz").write_text("hello")
    assert told(folder) == [(f"case_{case}", "unreadable", "error") for case in range(3)]


def test_where_some_can_be_read_it_is_said_with_less_certainty(tmp_path: Path) -> None:
    folder = nnunet(tmp_path / "Dataset001_A")
    write(folder / "labelsTr/case_0.nii.gz", label(1))
    write(folder / "labelsTr/case_1.nii.gz", label(1))
    (folder / "labelsTr/case_2.nii.gz").write_text("hello")
    assert told(folder) == [("case_2", "unreadable", "error"), ("", "label_absent", "warning")]
    absent = str(check_dataset(folder).problems[-1])
    assert (
        "none of the 2 label maps that could be read holds 2, the class 'organ'; mend the other 1" in absent
    )


def test_folders_whose_label_maps_cannot_be_read_are_not_said_to_name_no_structure(tmp_path: Path) -> None:
    write(tmp_path / "images/a.nii.gz", image(0))
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.nii.gz").write_text("hello")
    assert told(tmp_path) == [("a", "unreadable", "error")]


def test_an_unreadable_slice_makes_no_volumes_of_the_others(tmp_path: Path) -> None:
    for case in "abc":
        write(tmp_path / f"images/{case}.nii.gz", image(ord(case), (9, 9, 1)))
        write(tmp_path / f"labels/{case}.nii.gz", label(1, shape=(9, 9, 1)))
    (tmp_path / "images/b.nii.gz").write_text("hello")
    assert told(tmp_path) == [("b", "unreadable", "error")]


# The planner


def test_volumes_that_no_plan_fits(tmp_path: Path) -> None:
    folder = nnunet(tmp_path / "Dataset001_Tiny", channels=("MR",))
    for case in range(3):
        write(folder / f"imagesTr/case_{case}_0000.nii.gz", image(case, (2, 3, 2)))
        write(folder / f"labelsTr/case_{case}.nii.gz", label(1, 2, shape=(2, 3, 2)))
    said = refusal(folder)
    (problem,) = check_dataset(folder).problems
    assert (problem.case, problem.kind, problem.severity) == ("", "plan", "error")
    assert str(problem) == f"no plan can be made: {said}"


def test_a_scan_that_would_be_too_large_on_the_grid_of_the_others(tmp_path: Path) -> None:
    folder = nnunet(tmp_path / "Dataset001_A", channels=("MR",))
    for case, mm in enumerate((0.001, 0.001, 90.0)):
        write(folder / f"imagesTr/case_{case}_0000.nii.gz", image(case), np.diag([mm, mm, mm, 1]))
        write(folder / f"labelsTr/case_{case}.nii.gz", label(1, 2), np.diag([mm, mm, mm, 1]))
    assert "case case_2: resampled to 0.001 x 0.001 x 0.001 mm" in refusal(folder)
    (problem,) = check_dataset(folder).problems
    assert problem.kind == "plan"
    assert "case case_2: resampled to 0.001 x 0.001 x 0.001 mm" in problem.message


def test_too_few_patients_are_a_note_as_they_can_be_judged_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = nnunet(tmp_path / "Dataset001_Two", cases=2)
    report = check_dataset(folder)
    assert report.ok
    assert report.notes == (
        "to train on it: 2 patient(s) cannot be dealt into 3 parts by the fractions (0.7, 0.1, 0.2); add"
        " cases, or say in a file which are of which part, of which test may have none: --split",
    )
    assert main(["check", str(folder)]) == 0
    assert report.notes[0] in capsys.readouterr().out
    assert check_dataset(nnunet(tmp_path / "Dataset002_Three")).notes == ()


# CT that is not called so


def ct(seed: int, *, air: int = -1000, bone: int = 700) -> np.ndarray:
    """A body of soft tissue with a bone in air, in Hounsfield units."""
    scan = np.full((12, 12, 12), air, np.int16)
    scan[2:10, 2:10, 2:10] = np.random.default_rng(seed).normal(40, 20, (8, 8, 8))
    scan[5, 5, 5] = bone
    return scan


@pytest.mark.parametrize(
    ("scan", "is_like"),
    [
        (ct(0), True),
        (ct(0, air=-1024), True),
        (ct(0, air=-3024), True),
        (ct(0).astype(np.float32), True),
        (ct(0, bone=1500), True),
        (ct(0, bone=200), False),  # nothing bright: anything that was centred
        (ct(0) - 100.5, False),  # no whole numbers
        (ct(0) + 1024, False),  # stored from 0 on, as MR is
        (image(0), False),  # noise of -1000 to 999
        (np.random.default_rng(0).integers(-4096, 4096, SHAPE).astype(np.int16), False),  # phases
        (np.random.default_rng(0).integers(-2048, 2048, SHAPE).astype(np.int16), False),
        (np.zeros(SHAPE, bool), False),
    ],
)
def test_which_voxels_look_like_hounsfield_units(scan: np.ndarray, is_like: bool) -> None:
    assert looks_like_hounsfield(scan) is is_like


def plain(folder: Path, scans: int = 3, others: int = 0) -> Path:
    for number in range(scans + others):
        voxels = ct(number) if number < scans else ct(number) + 1024
        write(folder / f"images/{number}.nii.gz", voxels)
        write(folder / f"labels/{number}.nii.gz", (voxels > voxels.min()).astype(np.uint8))
    return folder


def warning(folder: Path) -> str:
    (problem,) = check_dataset(folder).problems
    assert (problem.case, problem.kind, problem.severity) == ("", "hounsfield", "warning")
    return str(problem)


def reason(folder: Path) -> str:
    dataset = read_dataset(folder)
    return make_plan(dataset, measure(dataset)).reasons["normalisation"]


IF_CT = "look like CT in Hounsfield units, which {name!r} does not say"


def test_plain_folders_are_told_how_to_name_it_and_then_keep_one_scale(tmp_path: Path) -> None:
    folder = plain(tmp_path)
    fix = 'name them by their numbers in modalities.json beside the two folders, such as {"0": "CT"}'
    for sentence in (warning(folder), reason(folder)):
        assert IF_CT.format(name="image") in sentence
        assert fix in sentence
    write_json(folder / "modalities.json", {"0": "CT"})
    dataset = read_dataset(folder)
    assert dataset.modalities == ("CT",)
    assert check_dataset(folder).problems == ()
    assert make_plan(dataset, measure(dataset)).normalisation["CT"].kind == "window_zscore"


def test_a_table_is_told_the_column(tmp_path: Path) -> None:
    plain(tmp_path)
    rows = [f"{n},images/{n}.nii.gz,labels/{n}.nii.gz" for n in range(3)]
    (tmp_path / "cases.csv").write_text("\n".join(["case,image:scan,label", *rows]))
    for sentence in (warning(tmp_path / "cases.csv"), reason(tmp_path / "cases.csv")):
        assert "if they are CT, call their column image:CT in cases.csv" in sentence


def test_descriptions_are_told_the_field(tmp_path: Path) -> None:
    nnunet(tmp_path / "n", channels=("MRI",))
    decathlon(tmp_path / "d")
    for folder, numbers in (("n", "_0000"), ("d", "")):
        for path in sorted((tmp_path / folder / "imagesTr").iterdir()):
            number = int(path.name[5])
            write(tmp_path / folder / f"imagesTr/case_{number}{numbers}.nii.gz", ct(number))
            write(tmp_path / folder / f"labelsTr/case_{number}.nii.gz", label(1, 2, shape=(12, 12, 12)))
    described = json.loads((tmp_path / "d/dataset.json").read_text())
    write_json(tmp_path / "d/dataset.json", described | {"labels": {"0": "background", "1": "a", "2": "b"}})
    assert 'call them CT in "channel_names" of dataset.json' in warning(tmp_path / "n")
    assert 'call them CT in "modality" of dataset.json' in warning(tmp_path / "d")


def test_most_cases_decide(tmp_path: Path) -> None:
    assert "Hounsfield" in warning(plain(tmp_path / "most", scans=3, others=2))
    half = plain(tmp_path / "half", scans=2, others=2)
    assert told(half) == []
    assert reason(half) == "image: not calibrated: each image by itself"


def test_what_is_given_is_not_doubted(tmp_path: Path) -> None:
    dataset = read_dataset(plain(tmp_path))
    plan = make_plan(dataset, measure(dataset), normalisation="window_zscore")
    assert plan.reasons["normalisation"] == "image: given"


def test_several_modalities_of_plain_folders(tmp_path: Path) -> None:
    for case in "abc":
        write(tmp_path / f"images/{case}_0000.nii.gz", ct(ord(case)))
        write(tmp_path / f"images/{case}_0001.nii.gz", ct(ord(case)) + 1024)
        write(tmp_path / f"labels/{case}.nii.gz", label(1, shape=(12, 12, 12)))
    sentence = warning(tmp_path)
    assert IF_CT.format(name="image_0") in sentence
    assert '{"0": "CT", "1": "PET"}' in sentence
    write_json(tmp_path / "modalities.json", {"1": "PET", "0": "CT"})
    dataset = read_dataset(tmp_path)
    assert dataset.modalities == ("CT", "PET")
    assert dataset.cases[0].images["PET"].path.name == "a_0001.nii.gz"
    assert check_dataset(tmp_path).problems == ()


@pytest.mark.parametrize("named", [{"0": "CT", "1": "PET"}, {"1": "CT"}, {}, {"0": ""}, {"0": 5}])
def test_modalities_that_do_not_fit_the_images(tmp_path: Path, named: object) -> None:
    write_json(plain(tmp_path) / "modalities.json", named)
    with pytest.raises(
        UserError, match=r"modalities\.json names the modalities .*, the images are of 0; name each"
    ):
        read_dataset(tmp_path)
