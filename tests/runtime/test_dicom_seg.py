"""Labels leave as DICOM SEG: the same voxels in the patient, sound to a validator, naming the artefact."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest

from distilseg.cli import main
from distilseg.data.case import Source
from distilseg.data.scans.dicom.codes import Coded, private, suggested
from distilseg.data.scans.dicom.segmentation import Model, SegWriter
from distilseg.data.scans.dicom.series import found_in
from distilseg.data.scans.reading import read_scan, write_label_map
from distilseg.errors import UserError
from distilseg.predict import predict_files
from distilseg.runtime.artefact import open_artefact
from distilseg.runtime.seg import seg_writer

from ..data.scans.dicom.writing import assert_in_its_place, enhanced, oblique, save, series, volume
from ..test_predict import predictor, scan, write
from .test_dicom import SLOPE, as_series, rounded
from .test_dicom import tilted as tilted_grid
from .test_service import artefact as artefact
from .test_service import run as run

NAMES = {0: "background", 3: "anterior", 7: "posterior", 8: "absent"}


def writer(kind: str = "binary") -> SegWriter:
    codes = {value: private(value, name) for value, name in NAMES.items() if value}
    return SegWriter(NAMES, codes, Model("tiny", "0.2.0", "ab" * 32), kind)


def labels_of(shape: tuple[int, ...]) -> np.ndarray:
    drawn = np.random.default_rng(1).choice([0, 0, 0, 3, 7], shape).astype(np.uint8)
    drawn[:, :, [0, 3]] = 0  # planes without labels
    return drawn


def read_back(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Segment numbers and the affine in RAS, as highdicom reads them."""
    read = highdicom.seg.segread(path)
    found = read.get_volume(combine_segments=True, allow_missing_positions=True)
    return found.array, np.diag([-1.0, -1.0, 1.0, 1.0]) @ found.affine


def validated(path: Path) -> str:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (dicom3tools) is not installed")
    told = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True).stderr
    return "\n".join(line for line in told.splitlines() if line.startswith("Error"))


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
@pytest.mark.parametrize("form", ["slices", "frames", "second echo"])
def test_voxels_are_equal_in_the_patient(kind: str, form: str, tmp_path: Path) -> None:
    affine = oblique()
    images = series(volume(), affine, EchoTime="4")
    if form == "second echo":
        images = [*series(volume(), affine, EchoTime="2"), *images]
    save(images[::-1] if form == "slices" else [enhanced(images)], tmp_path / "study")
    if form == "second echo":
        of_echo = next(one for one in found_in(tmp_path / "study").volumes if one.part == "echo=4")
        given = read_scan(Source(tmp_path / "study", series=of_echo.key))
    else:
        given = read_scan(tmp_path / "study")
    labels = labels_of(given.array.shape)
    writer(kind)(tmp_path / "seg.dcm", labels, given)
    array, at = read_back(tmp_path / "seg.dcm")
    truth = np.searchsorted([3, 7, 8], labels) + 1
    truth[labels == 0] = 0
    assert_in_its_place(array, at, truth, given.geometry.affine)
    assert np.count_nonzero(array) == np.count_nonzero(labels)
    said = pydicom.dcmread(tmp_path / "seg.dcm")
    assert said.SegmentationType == kind.upper()
    segments = [one for one in said.SegmentSequence if one.SegmentNumber]
    assert [one.SegmentLabel for one in segments] == ["anterior", "posterior", "absent"]


def test_the_validator_finds_no_error(tmp_path: Path) -> None:
    save(series(volume(), oblique()), tmp_path / "study")
    given = read_scan(tmp_path / "study")
    writer()(tmp_path / "seg.dcm", labels_of(given.array.shape), given)
    assert validated(tmp_path / "seg.dcm") == ""
    writer()(tmp_path / "nothing.dcm", np.zeros(given.array.shape, np.uint8), given)
    assert validated(tmp_path / "nothing.dcm") == ""


def test_dcmqi_reads_the_same(tmp_path: Path) -> None:
    if (theirs := shutil.which("segimage2itkimage")) is None:
        pytest.skip("segimage2itkimage (dcmqi) is not installed")
    save(series(volume(), oblique()), tmp_path / "study")
    given = read_scan(tmp_path / "study")
    labels = labels_of(given.array.shape)
    writer()(tmp_path / "seg.dcm", labels, given)
    told = ["--inputDICOM", str(tmp_path / "seg.dcm"), "--outputDirectory", str(tmp_path), "-t", "nrrd"]
    subprocess.run([theirs, *told], capture_output=True, check=True)
    for number, value in ((1, 3), (2, 7)):
        read = read_scan(tmp_path / f"{number}.nrrd")
        found, at = read.array > 0, read.geometry.affine
        inside = found.nonzero()
        box = tuple(slice(int(along.min()), int(along.max()) + 1) for along in inside)
        at = at.copy()
        at[:3, 3] += at[:3, :3] @ [one.start for one in box]
        assert_in_its_place(found[box], at, labels == value, given.geometry.affine)
        assert np.count_nonzero(found) == np.count_nonzero(labels == value)


def test_of_the_real_series(real_data: Path, tmp_path: Path) -> None:
    """Which lacks half of what a standard series says."""
    folder = real_data / "dicom_hippocampus"
    if not folder.is_dir():
        pytest.skip("the real series is not there")
    given = read_scan(folder)
    labels = labels_of(given.array.shape)
    writer()(tmp_path / "seg.dcm", labels, given)
    array, at = read_back(tmp_path / "seg.dcm")
    truth = np.searchsorted([0, 3, 7], labels)
    assert_in_its_place(array, at, truth, given.geometry.affine)
    said = pydicom.dcmread(tmp_path / "seg.dcm")
    source = pydicom.dcmread(folder / "1.dcm")
    for keyword in ("StudyInstanceUID", "PatientID", "FrameOfReferenceUID"):
        assert said[keyword].value == source[keyword].value
    assert validated(tmp_path / "seg.dcm") == ""


def test_an_empty_result_says_so(tmp_path: Path) -> None:
    images = as_series(rounded(scan()))
    for image in images:
        image.PixelData = bytes(len(image.PixelData))
    save(images, tmp_path / "study")
    plan = {0: "background", 1: "blob"}
    seg = SegWriter(plan, {1: private(1, "blob")}, Model("tiny", "0.2.0", "ab" * 32))
    summary = predict_files(predictor(), tmp_path / "study", tmp_path / "out", seg=seg)
    assert summary.notes == {"study": "nothing found"}
    said = pydicom.dcmread(summary.written["study"])
    assert said.ContentDescription == "nothing found"
    assert said.NumberOfFrames == 1
    assert not any(said.PixelData)


def test_tilted_slices_keep_their_places(tmp_path: Path) -> None:
    array, affine = tilted_grid(15)
    save(series(array, affine, slopes=[SLOPE] * 20), tmp_path / "study")
    given = read_scan(Source(tmp_path / "study", straight=True))
    labels = (given.array > 0.5).astype(np.uint8) * 3
    writer()(tmp_path / "seg.dcm", labels, given)
    write_label_map(tmp_path / "seg.nii.gz", labels, given)
    said = pydicom.dcmread(tmp_path / "seg.dcm")
    there = read_scan_as_is(tmp_path / "seg.nii.gz")
    source = {tuple(map(float, image.ImagePositionPatient)) for image in series(array, affine)}
    own = [
        tuple(map(float, frame.PlanePositionSequence[0].ImagePositionPatient))
        for frame in said.PerFrameFunctionalGroupsSequence
    ]
    assert set(own) <= source
    assert np.count_nonzero(said.pixel_array) == np.count_nonzero(there)


def read_scan_as_is(path: Path) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj)


def test_from_the_command_line_it_names_the_artefact(
    artefact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(as_series(rounded(scan())), tmp_path / "study")
    command = ["predict", str(artefact), str(tmp_path / "study"), str(tmp_path / "out"), "--as", "seg"]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert "the segments have no SNOMED codes: --codes codes.json suggests some" in told
    said = pydicom.dcmread(tmp_path / "out" / "study.dcm")
    algorithm = said.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmName == "distilseg tiny"
    assert open_artefact(artefact).sha256 in algorithm.AlgorithmParameters
    assert len(open_artefact(artefact).sha256) == 64
    assert main(command) == 0  # it is there already
    assert "1 there already" in capsys.readouterr().out
    assert main(["predict", str(artefact), str(tmp_path / "study"), str(tmp_path / "out")]) == 0
    array, at = read_back(tmp_path / "out" / "study.dcm")
    nifti = read_scan(tmp_path / "out" / "study.nii.gz")
    assert_in_its_place(array, at, nifti.array, nifti.geometry.affine)


def test_what_is_no_dicom_is_refused(artefact: Path, run: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path / "case.nii.gz", scan())
    rest = [str(tmp_path / "case.nii.gz"), str(tmp_path / "out"), "--as", "seg"]
    assert main(["predict", str(artefact), *rest]) == 1
    assert "case case is no DICOM, and a SEG refers to its images; use --as nifti" in capsys.readouterr().err
    assert main(["predict", str(run), *rest]) == 2
    assert "is no artefact, whose SHA-256 a DICOM SEG names" in capsys.readouterr().err


def test_codes_are_suggested_by_equal_names_and_never_guessed() -> None:
    liver = suggested("Liver")
    assert liver is not None
    assert liver.type == ("10200004", "SCT", "Liver")
    assert liver.category == ("123037004", "SCT", "Anatomical Structure")
    left = suggested("parotid_gland_left")
    assert left is not None
    assert (left.type[2], left.laterality) == ("Parotid gland", "left")
    lesion = suggested("neoplasm")
    assert lesion is not None
    assert lesion.category[0] == "49755003"
    for name in ("anterior", "left", "liver tumour", "GTVt", "left right liver", ""):
        assert suggested(name) is None, name


def test_codes_are_looked_through_and_kept(artefact: Path, tmp_path: Path) -> None:
    opened, file = open_artefact(artefact), tmp_path / "codes.json"
    plan = opened.plan.model_copy(update={"labels": {0: "background", 1: "Liver", 2: "blob"}})
    with pytest.raises(
        UserError, match=r"was written: it suggests codes for 1 of 2 classes; look through it"
    ):
        seg_writer([opened], plan, "binary", file)
    told = json.loads(file.read_text())
    assert told == {"Liver": told["Liver"], "blob": None}
    made = seg_writer([opened], plan, "binary", file)
    assert made.codes[1].type == ("10200004", "SCT", "Liver")
    assert made.codes[2].type == ("CLASS-2", "99DISTILSEG", "blob")
    told["Liver"]["type"] = ["10200004", "SCT"]
    file.write_text(json.dumps(told))
    with pytest.raises(UserError, match="the code of 'Liver' makes no sense"):
        seg_writer([opened], plan, "binary", file)
    file.write_text("{}")
    with pytest.raises(UserError, match="has no Liver, blob; add them; null is: no code"):
        seg_writer([opened], plan, "binary", file)
    with pytest.raises(UserError, match="unknown value of --seg 'surface'"):
        seg_writer([opened], plan, "surface", None)


def test_codes_that_the_plan_keeps_are_written_and_corrected(artefact: Path, tmp_path: Path) -> None:
    spleen = {"category": ["123037004", "SCT", "Anatomical Structure"], "type": ["78961009", "SCT", "Spleen"]}
    opened, said = open_artefact(artefact), list[str]()
    labels = {0: "background", 1: "milz", 2: "blob"}
    plan = opened.plan.model_copy(update={"labels": labels, "codes": {"milz": Coded.model_validate(spleen)}})
    made = seg_writer([opened], plan, "binary", None, said.append)
    assert made.codes[1].type == ("78961009", "SCT", "Spleen")
    assert made.codes[2].type == ("CLASS-2", "99DISTILSEG", "blob")
    assert said == ["blob have no SNOMED codes: --codes codes.json suggests some from the classes' names"]
    with pytest.raises(UserError, match="suggests codes for 1 of 2 classes"):
        seg_writer([opened], plan, "binary", tmp_path / "codes.json")
    told = json.loads((tmp_path / "codes.json").read_text())
    assert told == {"milz": spleen, "blob": None}
    told["milz"]["laterality"] = "left"
    (tmp_path / "codes.json").write_text(json.dumps(told))
    assert seg_writer([opened], plan, "binary", tmp_path / "codes.json").codes[1].laterality == "left"


def test_a_report_of_volumes(tmp_path: Path) -> None:
    save(series(volume(), oblique()), tmp_path / "study")
    given = read_scan(tmp_path / "study")
    labels = labels_of(given.array.shape)
    own = writer()
    left = Coded.model_validate(
        {
            "category": ["123037004", "SCT", "Anatomical Structure"],
            "type": ["64033007", "SCT", "Kidney"],
            "laterality": "left",
        }
    )
    own = SegWriter(NAMES, {**own.codes, 3: left}, own.model)
    own(tmp_path / "seg.dcm", labels, given, report=tmp_path / "report.dcm")
    own(tmp_path / "no.dcm", labels * 0, given, report=tmp_path / "nothing.dcm")
    assert validated(tmp_path / "report.dcm") == ""
    assert validated(tmp_path / "nothing.dcm") == ""
    assert volumes_ml(tmp_path / "nothing.dcm") == {"anterior": 0, "posterior": 0, "absent": 0}
    voxel_ml = 0.9 * 1.1 * 2.5 / 1000
    told = volumes_ml(tmp_path / "report.dcm")
    for value, name in NAMES.items():
        if value:
            assert told[name] == pytest.approx((labels == value).sum() * voxel_ml, rel=1e-5)
    read = highdicom.sr.srread(tmp_path / "report.dcm")
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    groups = read.content.get_volumetric_roi_measurement_groups()
    assert {group.referenced_segment.referenced_sop_instance_uid for group in groups} == {seg.SOPInstanceUID}
    assert groups[0].finding_type == highdicom.sr.CodedConcept(*left.type)
    assert b"ab" * 32 in (tmp_path / "report.dcm").read_bytes()
    assert (read.PatientID, read.StudyInstanceUID) == (seg.PatientID, seg.StudyInstanceUID)


def volumes_ml(path: Path) -> dict[str, float]:
    """By the name of the segment."""
    content = highdicom.sr.srread(path).content
    groups = content.get_volumetric_roi_measurement_groups() + content.get_image_measurement_groups()
    return {one.tracking_identifier: one.get_measurements()[0].value for one in groups}


def test_reports_lie_beside_their_segs(artefact: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    save(as_series(rounded(scan())), tmp_path / "study")
    words = ["predict", str(artefact), str(tmp_path / "study"), str(tmp_path / "out"), "--report"]
    assert main(words) == 2
    assert "--seg, --codes and --report say how DICOM SEG is written" in capsys.readouterr().err
    assert main([*words[:-1], "--as", "seg"]) == 0
    assert main([*words, "--as", "seg"]) == 0
    assert "study: no report: its SEG is there already (--overwrite)" in capsys.readouterr().out
    assert main([*words, "--as", "seg", "--overwrite"]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["study.dcm", "study_report.dcm"]
    count = np.count_nonzero(read_back(tmp_path / "out" / "study.dcm")[0])
    voxel_mm3 = float(np.prod(read_scan(tmp_path / "study").geometry.spacing_mm))
    (found,) = volumes_ml(tmp_path / "out" / "study_report.dcm").values()
    assert found == pytest.approx(count * voxel_mm3 / 1000, rel=1e-4)


def test_a_series_that_no_seg_can_be_made_of_is_refused_and_the_others_done(tmp_path: Path) -> None:
    bad = as_series(rounded(scan()))
    for image in bad:
        del image.FrameOfReferenceUID
    save(bad, tmp_path / "disc" / "bad")
    save(as_series(rounded(scan())), tmp_path / "disc" / "good")
    seg = SegWriter({0: "background", 1: "blob"}, {1: private(1, "blob")}, Model("tiny", "0.2.0", "ab" * 32))
    summary = predict_files(predictor(), tmp_path / "disc", tmp_path / "out", seg=seg)
    assert set(summary.written) == {"good"}
    assert "has no frame of reference" in summary.refused["bad"]


def test_regions_that_were_painted_over_one_another_are_no_segments(tmp_path: Path) -> None:
    """What is left of "whole" is not the whole; of our own regions the plan names the classes."""
    about = SimpleNamespace(answers="regions", name="others")
    artefact = SimpleNamespace(about=about, plan=SimpleNamespace(regions={}), path=tmp_path, sha256="00")
    plan = SimpleNamespace(labels={0: "background", 1: "core", 2: "whole"})
    with pytest.raises(UserError, match=r"what is left of one is not what its name says; leave out --as seg"):
        seg_writer([artefact], plan, "binary", None)  # type: ignore[list-item,arg-type]
