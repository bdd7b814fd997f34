"""DICOM studies whose segmentations are the labels: voxel for voxel on their series, or refused by name."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import generate_uid

from distilseg.cli import main
from distilseg.data.case import Dataset as Cases
from distilseg.data.formats import read_dataset
from distilseg.data.formats.dicom import DicomOptions
from distilseg.data.formats.inputs import find_cases
from distilseg.data.planning.decide import make_plan
from distilseg.data.planning.fingerprint import measure
from distilseg.data.planning.plan import load_plan, save_plan
from distilseg.data.scans.reading import read_label, read_scan
from distilseg.errors import UserError

from ..scans.dicom.segs import KIDNEY, LEFT, LIVER, SPLEEN, seg
from ..scans.dicom.writing import PATIENT_ID, assert_in_its_place, enhanced, oblique, save, series, volume

SHAPE = (9, 7, 8)
NAMES, CODES = {1: "Liver", 2: "Spleen"}, {1: LIVER, 2: SPLEEN}


def labels(seed: int = 0, shape: Sequence[int] = SHAPE) -> np.ndarray:
    drawn = np.random.default_rng(seed).choice([0, 0, 1, 2], shape).astype(np.uint8)
    drawn[:, :, [0, 3]] = 0  # planes without labels, whose frames are left out
    return drawn


def study(
    folder: Path, seed: int = 0, *, patient: str = "", names: dict[int, str] = NAMES, **options: object
) -> tuple[list[Dataset], np.ndarray]:
    """A series and a SEG of it in `folder`."""
    images = series(volume(SHAPE, seed), oblique(seed=seed), PatientID=patient or f"{PATIENT_ID}{seed}")
    truth = labels(seed)
    save(images, folder / "images")
    save([seg(images, truth, names, CODES, **options)], folder, "seg.dcm")  # type: ignore[arg-type]
    return images, truth


def truth_of(folder: Path, images: Sequence[Dataset], truth: np.ndarray, case: str = "") -> None:
    """The label map of the only case, or of `case`, is the truth in its place."""
    dataset = read_dataset(folder)
    one = dataset.case(case) if case else dataset.cases[0]
    scan, read = read_scan(next(iter(one.images.values()))), read_label(one)
    assert read.array.shape == scan.array.shape
    np.testing.assert_array_equal(read.geometry.affine, scan.geometry.affine)
    seed = int(str(images[0].PatientID).removeprefix(PATIENT_ID) or 0)
    assert_in_its_place(read.array, read.geometry.affine, truth, oblique(seed=seed))
    assert np.count_nonzero(read.array) == np.count_nonzero(truth)


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP", "FRACTIONAL"])
@pytest.mark.parametrize("form", ["slices", "frames"])
def test_labels_lie_on_their_series(kind: str, form: str, tmp_path: Path) -> None:
    images = series(volume(SHAPE), oblique(), PatientID=f"{PATIENT_ID}0")
    truth = labels()
    more = {"fractional_type": "PROBABILITY", "max_fractional_value": 1} if kind == "FRACTIONAL" else {}
    save([seg(images, truth, NAMES, CODES, kind=kind, **more)], tmp_path, "seg.dcm")
    save(images[::-1] if form == "slices" else [enhanced(images)], tmp_path, "I{:02d}")
    truth_of(tmp_path, images, truth)
    dataset = read_dataset(tmp_path)
    assert dataset.labels == {0: "background", 1: "Liver", 2: "Spleen"}
    assert dataset.codes["Liver"].type == ("10200004", "SCT", "Liver")
    assert dataset.series == {"MR": "modality=MR"}
    assert dataset.layout == "dicom"


def mirrored(made: Dataset, axis: str) -> None:
    """The same voxels, rows or columns told from the other end, frames in the other order."""
    pixels = made.pixel_array if made.NumberOfFrames > 1 else made.pixel_array[None]
    shared = made.SharedFunctionalGroupsSequence[0]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    spacing = np.array(shared.PixelMeasuresSequence[0].PixelSpacing, float)
    along = cosines[:3] * spacing[1] if axis == "columns" else cosines[3:] * spacing[0]
    far = along * ((made.Columns if axis == "columns" else made.Rows) - 1)
    cosines[slice(0, 3) if axis == "columns" else slice(3, 6)] *= -1
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [f"{one:.10g}" for one in cosines]
    for frame in made.PerFrameFunctionalGroupsSequence:
        place = frame.PlanePositionSequence[0]
        moved = np.array(place.ImagePositionPatient, float) + far
        place.ImagePositionPatient = [f"{one:.9g}"[:16] for one in moved]
    turned = pixels[:, :, ::-1] if axis == "columns" else pixels[:, ::-1]
    order = slice(None, None, -1)
    made.PerFrameFunctionalGroupsSequence = Items(list(made.PerFrameFunctionalGroupsSequence)[order])
    bits = np.packbits(turned[order].reshape(-1), bitorder="little").tobytes()
    made.PixelData = bits + b"\0" * (len(bits) % 2)


@pytest.mark.parametrize("axis", ["rows", "columns"])
def test_frames_in_any_order_and_direction(axis: str, tmp_path: Path) -> None:
    images, truth = study(tmp_path)
    made = pydicom.dcmread(tmp_path / "seg.dcm")  # in which frames share no sequence
    mirrored(made, axis)
    save([made], tmp_path, "seg.dcm")
    truth_of(tmp_path, images, truth)


def test_a_study_of_several_files_and_series_and_one_without_labels(tmp_path: Path) -> None:
    images, truth = study(tmp_path / "a")
    other = series(volume(seed=5), oblique(), study=images[0].StudyInstanceUID, series_number=4)
    save(other, tmp_path / "a" / "other")
    liver, spleen = (np.where(truth == value, 1, 0) for value in (1, 2))
    save([seg(images, liver, {1: "liver"}, {1: LIVER})], tmp_path / "a", "seg.dcm")
    save([seg(images, spleen, {1: "Spleen"}, {1: SPLEEN})], tmp_path / "a", "more.dcm")
    save(series(volume(seed=3), oblique(seed=3)), tmp_path / "b")
    truth_of(tmp_path, images, truth, "a")
    dataset = read_dataset(tmp_path)
    assert [case.id for case in dataset.unlabelled] == ["b"]
    save(series(volume(seed=9), oblique(seed=3), study="1.2.3"), tmp_path / "c" / "1")
    save(series(volume(seed=8), oblique(seed=3), study="1.2.3"), tmp_path / "c" / "2")
    (note,) = read_dataset(tmp_path).notes
    assert note.startswith("c: 2 series fit MR (modality=MR): number=3")


def test_patients_stay_together_and_their_identifiers_stay_where_they_are(tmp_path: Path) -> None:
    for n, patient in enumerate(("P1", "P2", "P1")):
        study(tmp_path / f"s{n}", n, patient=patient)
    dataset = read_dataset(tmp_path)
    assert [case.patient for case in dataset.cases] == [
        {"s0": "s0", "s1": "s1", "s2": "s0"}[case.id] for case in dataset.cases
    ]
    assert "P1" not in repr(dataset)
    (tmp_path / "dicom.json").write_text('{"patients": "study"}')
    assert len({case.patient for case in read_dataset(tmp_path).cases}) == 3


def test_one_identifier_for_all_is_told(tmp_path: Path) -> None:
    for n in range(2):
        study(tmp_path / f"s{n}", n, patient="ANON")
    assert 'all 2 studies are of one PatientID; if that is no patient, say "patients": "study"' in str(
        read_dataset(tmp_path).notes
    )


def refused(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        [read_label(case) for case in read_dataset(folder).cases]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_does_not_lie_on_the_series_is_refused(tmp_path: Path) -> None:
    images, truth = study(tmp_path)
    made = seg(images, truth, NAMES, CODES)
    shared = made.SharedFunctionalGroupsSequence[0]
    shared.PixelMeasuresSequence[0].PixelSpacing = ["1.2", "0.9"]
    save([made], tmp_path, "seg.dcm")
    assert "is no label map of its series: its pixels are not those of the series" in refused(tmp_path)
    made = seg(images, truth, NAMES, CODES)
    for frame in made.PerFrameFunctionalGroupsSequence:
        place = frame.PlanePositionSequence[0]
        step = np.array(images[4].ImagePositionPatient, float) - np.array(
            images[0].ImagePositionPatient, float
        )
        moved = np.array(place.ImagePositionPatient, float) + step
        place.ImagePositionPatient = [f"{one:.9g}"[:16] for one in moved]
    save([made], tmp_path, "seg.dcm")
    assert "of its labelled pixels lie outside the series" in refused(tmp_path)


def test_classes_that_share_voxels_are_refused(tmp_path: Path) -> None:
    images, truth = study(tmp_path)
    made = seg(images, truth, NAMES, CODES)
    again = seg(images, truth * 0 + 1, {1: "Kidney"}, {1: KIDNEY})
    save([again], tmp_path, "again.dcm")
    assert "its classes share" in refused(tmp_path)
    (tmp_path / "again.dcm").unlink()
    frames = made.PerFrameFunctionalGroupsSequence
    for frame in frames:
        number = frame.SegmentIdentificationSequence[0]
        number.ReferencedSegmentNumber = 3 - number.ReferencedSegmentNumber if frame is frames[0] else 2
    save([made], tmp_path, "seg.dcm")
    assert "two of its frames are of one segment and place" in refused(tmp_path)


def test_one_thing_that_two_drew_differently_is_refused(tmp_path: Path) -> None:
    images, truth = study(tmp_path)
    liver = np.where(truth == 1, 1, 0)
    save([seg(images, liver, {1: "liver"}, {1: LIVER})], tmp_path, "other.dcm")
    truth_of(tmp_path, images, truth)  # the same once more
    less = liver.copy()
    less[tuple(np.argwhere(liver)[0])] = 0
    save([seg(images, less, {1: "liver"}, {1: LIVER})], tmp_path, "other.dcm")
    assert "segments 'liver' too, and differs in 1 voxels" in refused(tmp_path)


def test_several_of_a_kind_may_lie_in_several_files(tmp_path: Path) -> None:
    images, truth = study(tmp_path)
    first, second = truth.copy(), truth.copy()
    first[:4], second[4:] = 0, 0
    save([seg(images, first, NAMES, CODES)], tmp_path, "seg.dcm")
    save([seg(images, second, NAMES, CODES)], tmp_path, "other.dcm")
    truth_of(tmp_path, images, truth)


def test_pixels_of_a_segment_that_is_not_described_are_refused(tmp_path: Path) -> None:
    images, truth = study(tmp_path)
    made = seg(images, truth, NAMES, CODES, kind="LABELMAP")
    made.PixelData = made.PixelData.replace(b"\2", b"\3")
    save([made], tmp_path, "seg.dcm")
    assert "it has pixels of 3, and describes no such segment" in refused(tmp_path)


def test_shares_of_voxels_are_no_labels(tmp_path: Path) -> None:
    images, truth = study(tmp_path)
    shares = seg(
        images, truth, NAMES, CODES, kind="FRACTIONAL", fractional_type="PROBABILITY", max_fractional_value=2
    )
    shares.PixelData = shares.PixelData.replace(b"\2", b"\1", 3)
    save([shares], tmp_path, "seg.dcm")
    assert "it holds shares of voxels, which are no labels" in refused(tmp_path)


def test_a_segmentation_of_a_refused_series_says_why(tmp_path: Path) -> None:
    study(tmp_path / "a", 0)
    study(tmp_path / "b", 1)
    (tmp_path / "b" / "images" / "I0003").unlink()
    told = refused(tmp_path)
    assert "1 of 2 studies" in told
    assert "b: seg.dcm: of number=3 modality=MR" in told
    assert "1 slice is missing between" in told
    (tmp_path / "dicom.json").write_text('{"without": ["b"]}')
    assert [case.id for case in read_dataset(tmp_path).cases] == ["a"]


def test_a_segmentation_of_no_series_that_is_here(tmp_path: Path) -> None:
    images, truth = study(tmp_path / "a", 0)
    for image in images:
        image.SeriesInstanceUID = image.FrameOfReferenceUID = "1.2.3.4"
        image.SOPInstanceUID = generate_uid()
    save([seg(images, truth, NAMES, CODES)], tmp_path / "a", "seg.dcm")
    assert "it is of no series that is here" in refused(tmp_path)


def test_a_segmentation_of_a_study_that_is_not_here_is_told(tmp_path: Path) -> None:
    study(tmp_path / "a", 0)
    images, truth = study(tmp_path / "b", 1)
    save([seg(images, truth, NAMES, CODES)], tmp_path / "a", "more.dcm")
    shutil.rmtree(tmp_path / "b")
    dataset = read_dataset(tmp_path)
    assert len(dataset.cases) == 1
    assert dataset.notes == (f"{tmp_path}/a/more.dcm: it is of no series that is here",)


def test_without_references_the_frame_of_reference_and_the_grid_tell(tmp_path: Path) -> None:
    images, truth = study(tmp_path / "a", 0)
    save(
        series(volume(seed=4), oblique(seed=7), study=images[0].StudyInstanceUID, series_number=8),
        tmp_path / "a" / "other",
    )
    made = seg(images, truth, NAMES, CODES)
    del made.ReferencedSeriesSequence
    for frame in made.PerFrameFunctionalGroupsSequence:
        del frame.DerivationImageSequence
    save([made], tmp_path / "a", "seg.dcm")
    truth_of(tmp_path, images, truth)


def test_names_and_codes_that_contradict_each_other_are_refused_and_settled_in_the_file(
    tmp_path: Path,
) -> None:
    study(tmp_path / "a", 0)
    study(tmp_path / "b", 1, names={1: "LIV", 2: "spleen"})
    told = refused(tmp_path)
    assert "are called Liver in 1 files and LIV in 1, and both are Liver (10200004)" in told.replace("'", "")
    settings = tmp_path / "dicom.json"
    settings.write_text(json.dumps({"classes": {"liver": {"segments": ["LIV"]}}}))
    dataset = read_dataset(tmp_path)
    assert dataset.labels == {0: "background", 1: "liver"}
    assert dataset.notes == ("segments of no class are background: Spleen, spleen",)
    assert set(np.unique(read_label(dataset.case("b")).array)) == {0, 1}
    by_code = {"category": ["123037004", "SCT", "structure"], "type": ["10200004", "SCT", "any word"]}
    settings.write_text(json.dumps({"classes": {"milz": {"segments": ["SPLEEN"]}, "leber": by_code}}))
    dataset = read_dataset(tmp_path)
    assert dataset.labels == {0: "background", 1: "milz", 2: "leber"}
    assert {int(read_label(case).array.max()) for case in dataset.cases} == {2}
    assert dataset.codes["leber"].type[2] == "any word"
    study(tmp_path / "b", 1, names={1: "spleen", 2: "liver"})
    settings.unlink()
    assert "have 2 codes: " in refused(tmp_path)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ('{"serie": {}}', "unknown key in"),
        ('{"series": {"MR": "venous"}}', "is no rule"),
        ('{"classes": {"liver": 3}}', "the class 'liver' makes no sense"),
        ('{"classes": {"liver": {"type": ["1", "SCT"]}}}', "the code of 'liver' makes no sense"),
        ('{"without": ["nobody"]}', "unknown study in"),
        ('{"patients": "name"}', "unknown value of patients"),
        ('{"classes": {}}', "the classes must be an object"),
    ],
)
def test_settings_that_make_no_sense(settings: str, told: str, tmp_path: Path) -> None:
    study(tmp_path)
    (tmp_path / "dicom.json").write_text(settings)
    assert told in refused(tmp_path).replace('"', "'")


def test_a_list_of_classes_that_no_segment_is_of_names_the_segments(tmp_path: Path) -> None:
    study(tmp_path)
    (tmp_path / "dicom.json").write_text('{"classes": {"kidney": null}}')
    assert "they are called 'Liver', 'Spleen'; name them there" in refused(tmp_path)


def test_several_modalities_by_rules(tmp_path: Path) -> None:
    images, truth = study(tmp_path / "a", 0)
    uid = images[0].StudyInstanceUID
    second = series(volume(seed=6), oblique(), study=uid, description="T2 fat", series_number=5)
    save(second, tmp_path / "a" / "t2")
    rules = {"T1": "modality=MR,description=^made", "T2": "modality=MR,description=^t2"}
    (tmp_path / "dicom.json").write_text(json.dumps({"series": rules}))
    dataset = read_dataset(tmp_path)
    assert dataset.modalities == ("T1", "T2")
    (case,) = dataset.cases
    assert {name: float(read_scan(source).array[0, 0, 0]) for name, source in case.images.items()} == {
        "T1": float(volume()[0, 0, 0]),
        "T2": float(volume(seed=6)[0, 0, 0]),
    }
    truth_of(tmp_path, images, truth)
    unlabelled, _ = find_cases(tmp_path, dataset.modalities, dicom=DicomOptions(kept=dataset.series))
    assert unlabelled[0].images == case.images


def planned(folder: Path) -> tuple[Cases, Path]:
    dataset = read_dataset(folder)
    save_plan(folder.parent / "plan.json", make_plan(dataset, measure(dataset), patch=(8, 4, 8)))
    return dataset, folder.parent / "plan.json"


def test_rules_and_codes_are_kept_in_the_plan(tmp_path: Path) -> None:
    study(tmp_path / "data" / "a", 0)
    _, path = planned(tmp_path / "data")
    plan = load_plan(path)
    assert plan.series == {"MR": "modality=MR"}
    assert plan.codes["Spleen"].type == ("78961009", "SCT", "Spleen")
    assert json.loads(path.read_text())["codes"]["Liver"]["type"] == ["10200004", "SCT", "Liver"]
    told = path.read_text()
    path.write_text(told.replace("modality=MR", "venous"))
    with pytest.raises(UserError, match="series: MR: 'venous' is no rule"):
        load_plan(path)
    path.write_text(told.replace('"Spleen": {', '"Milz": {'))
    with pytest.raises(UserError, match="unknown name in codes 'Milz'"):
        load_plan(path)


def test_codes_are_stated_and_corrected_by_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study(tmp_path / "data" / "a", 0, names={1: "Liver", 2: "blob"})
    codes, plan = tmp_path / "codes.json", tmp_path / "plan.json"
    words = ["plan", str(tmp_path / "data"), "--patch", "8,4,8", "--out", str(plan), "--series", "number=3"]
    words += ["--codes", str(codes)]
    assert main(words) == 2
    assert "codes.json was written: it suggests codes for 2 of 2 classes" in capsys.readouterr().err
    assert not plan.exists()
    told = json.loads(codes.read_text())
    assert told["blob"]["type"] == ["78961009", "SCT", "Spleen"]  # as its SEG says
    codes.write_text(json.dumps(told | {"blob": None}))
    assert main(words) == 0
    assert list(load_plan(plan).codes) == ["Liver"]
    codes.rename(tmp_path / "data" / "codes.json")  # of the dataset itself
    assert main(words[:-2]) == 0
    assert list(load_plan(plan).codes) == ["Liver"]
    assert load_plan(plan).series == {"MR": "modality=MR,number=3"}
    assert main([*words[:-3], "venous"]) == 2
    assert "--series 'venous' is no rule" in capsys.readouterr().err.replace('"', "'")


def test_a_side_is_part_of_what_a_segment_is(tmp_path: Path) -> None:
    images, truth = study(tmp_path)
    made = seg(images, truth, {1: "kidney l", 2: "kidney r"}, {1: KIDNEY, 2: KIDNEY})
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = LEFT.value, LEFT.scheme_designator, "Left"
    kind = made.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0]
    kind.SegmentedPropertyTypeModifierCodeSequence = Items([item])
    save([made], tmp_path, "seg.dcm")
    codes = read_dataset(tmp_path).codes
    assert (codes["kidney l"].laterality, codes["kidney r"].laterality) == ("left", None)


def test_check_tells_series_and_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for n in range(3):
        study(tmp_path / f"s{n}", n)
    (tmp_path / "dicom.json").write_text('{"series": {"MR": "modality=MR"}}')
    assert main(["check", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert told.count("volume: ") == 3
    assert "no DICOM" not in told  # its own settings are none, and no fault
    assert "3 cases (6 files) checked, 0 errors" in told
    assert main(["check", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["series"]["volumes"]
    truth = np.zeros(SHAPE, np.uint8)
    truth[0, 0, 0] = 1
    images = series(volume(SHAPE, 1), oblique(seed=1))
    save(images, tmp_path / "s1" / "images")
    made = seg(images, truth, NAMES, CODES)
    broken = copy.deepcopy(made)
    broken.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = ["3", "3"]
    save([broken], tmp_path / "s1", "seg.dcm")
    assert main(["check", str(tmp_path), "--json"]) == 2
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert (problem["case"], problem["kind"]) == ("s1", "label")
    assert "its pixels are not those of the series" in problem["message"]
