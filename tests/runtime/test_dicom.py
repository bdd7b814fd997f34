"""DICOM folders are predicted as their scans would be: the same labels at the same places, or a refusal."""

from __future__ import annotations

import copy
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from pydicom import Dataset
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from distilseg.cli import main
from distilseg.cli.predicting import _counted
from distilseg.data.formats.dicom import DicomOptions
from distilseg.data.scans.dicom.series import found_in
from distilseg.data.scans.reading import read_scan
from distilseg.data.scans.scan import Geometry, Scan
from distilseg.errors import UserError
from distilseg.predict import predict_files

from ..data.scans.dicom.segs import LIVER, seg
from ..data.scans.dicom.writing import PATIENT_ID, PATIENT_NAME, assert_in_its_place, enhanced, save, series
from ..test_predict import predictor, scan, write
from .test_service import artefact as artefact
from .test_service import run as run

SLOPE = 1 / 1024  # exact, so that files of both types hold the same voxels


def rounded(given: Scan) -> Scan:
    array = (np.round(given.array / SLOPE) * SLOPE).astype(np.float32)
    return Scan(array, given.geometry, given.path)


def as_series(given: Scan, **tags: object) -> list[Dataset]:
    slopes = [SLOPE] * given.array.shape[2]
    return series(given.array, given.geometry.affine, slopes=slopes, **tags)  # type: ignore[arg-type]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("form", ["slices", "frames"])
def test_labels_equal_those_of_the_nifti(order: tuple[int, ...], form: str, tmp_path: Path) -> None:
    given = rounded(scan(order, (1, -1, 1), spacing_mm=(0.8, 1.9, 3.3)))
    images = as_series(given)
    save([enhanced(images)] if form == "frames" else images[::-1], tmp_path / "study" / "deep" / "down")
    (tmp_path / "study" / "README.TXT").write_text("a disc")
    write(tmp_path / "case.nii.gz", given)
    summary = predict_files(predictor(), [tmp_path / "study", tmp_path / "case.nii.gz"], tmp_path / "out")
    assert set(summary.written) == {"study", "case"}
    assert summary.ignored == (tmp_path / "study" / "README.TXT",)
    ours, theirs = (read_scan(tmp_path / "out" / f"{name}.nii.gz") for name in ("study", "case"))
    assert 0.2 < theirs.array.mean() < 0.8
    assert ours.array.size == theirs.array.size
    assert_in_its_place(ours.array, ours.geometry.affine, theirs.array, theirs.geometry.affine)


def test_an_artefact_predicts_from_the_command_line(
    artefact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = rounded(scan())
    save(as_series(given), tmp_path / "study", "{:d}.dcm")
    write(tmp_path / "case.nii.gz", given)
    out = tmp_path / "out"
    assert (
        main(["predict", str(artefact), str(tmp_path / "study"), str(tmp_path / "case.nii.gz"), str(out)])
        == 0
    )
    ours, theirs = read_scan(out / "study.nii.gz"), read_scan(out / "case.nii.gz")
    assert_in_its_place(ours.array, ours.geometry.affine, theirs.array, theirs.geometry.affine)
    told = "".join(capsys.readouterr())
    assert PATIENT_NAME not in told
    assert PATIENT_ID not in told
    assert all(PATIENT_ID.encode() not in file.read_bytes() for file in out.iterdir())


def test_several_series_are_refused_with_their_list_and_chosen_by_rules(tmp_path: Path) -> None:
    given, study = rounded(scan()), generate_uid()
    for number, words in ((3, "T1 before"), (4, "T1 venous")):
        images = as_series(given, study=study, series_number=number, description=words)
        save(images, tmp_path / "study" / str(number))
    save(series(given.array * 1000, given.geometry.affine, kind="CT", study=study), tmp_path / "study" / "ct")

    def predicted(*rules: str) -> str:
        out = tmp_path / "out"
        shutil.rmtree(out, ignore_errors=True)
        dicom = DicomOptions(rules)
        summary = predict_files(predictor(), tmp_path / "study", out, dicom=dicom)
        return "".join(summary.refused.values()) or "predicted"

    told = predicted()
    assert "case study: 2 series fit MR (modality=MR): number=3" in told
    assert "number=4 modality=MR description='T1 venous' (14 x 11 x 9 voxels, 1 x 2 x 3.001 mm)" in told
    assert told.endswith("choose one by --series, such as --series number=3")
    assert predicted("description=VENOUS") == predicted("number=3") == predicted("modality=CT") == "predicted"
    assert "no series fits MR (modality=MR, description=liver); here are" in predicted("description=liver")


def test_echoes_of_one_series_are_told_apart_by_the_rule_that_is_named(tmp_path: Path) -> None:
    given = rounded(scan())
    images = as_series(given, EchoTime="4.6")
    others = copy.deepcopy(images)
    for image in others:
        image.EchoTime, image.SOPInstanceUID = "9.2", generate_uid()
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        image.PixelData = image.PixelData[::-1]
    save([*images, *others], tmp_path / "study")
    told = predict_files(predictor(), tmp_path / "study", tmp_path / "out").refused["study"]
    rule = told.rpartition("--series ")[2].strip("'")
    assert rule == "part=echo=4.6"
    summary = predict_files(predictor(), tmp_path / "study", tmp_path / "out", dicom=DicomOptions((rule,)))
    assert not summary.refused


def test_what_is_no_volume_is_refused_with_what_to_give(tmp_path: Path) -> None:
    save(as_series(rounded(scan())), tmp_path / "study", "{:d}.dcm")
    one = tmp_path / "study" / "4.dcm"
    (why,) = predict_files(predictor(), one, tmp_path / "out").refused.values()
    assert "it is a single image, no volume" in why
    assert why.endswith("; give the folder with all files of a series")
    scouts = as_series(rounded(scan()), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    save(scouts, tmp_path / "scouts")
    (why,) = predict_files(predictor(), tmp_path / "scouts", tmp_path / "out").refused.values()
    assert "it is made of localizers, no volume" in why
    assert why.endswith("; give the series that was planned on them")


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("venous", "is no rule; write KEY=VALUE with a key of number, modality, description, part"),
        ("colour=red", "is no rule"),
        ("description=(", "is no regular expression"),
        ("PET:number=3", "unknown modality of the model 'PET'"),
    ],
)
def test_rules_that_make_no_sense(rule: str, told: str, tmp_path: Path) -> None:
    save(as_series(rounded(scan())), tmp_path / "study")
    with pytest.raises(UserError, match=told):
        predict_files(predictor(), tmp_path / "study", tmp_path / "out", dicom=DicomOptions((rule,)))


def test_a_good_study_is_done_beside_one_that_lacks_a_slice(
    artefact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The patients of one export, each in a folder of its own."""
    given = rounded(scan())
    save(as_series(given), tmp_path / "disc" / "A")
    save([image for n, image in enumerate(as_series(given)) if n != 4], tmp_path / "disc" / "B")
    assert main(["predict", str(artefact), str(tmp_path / "disc"), str(tmp_path / "out")]) == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["A.nii.gz"]
    told = capsys.readouterr().err.splitlines()
    assert len([line for line in told if line.startswith("refused: case B: ")]) == 1
    assert any("1 slice is missing between" in line for line in told)


def test_studies_in_one_folder_are_called_by_digests(tmp_path: Path) -> None:
    first, second = as_series(rounded(scan())), as_series(rounded(scan(seed=1)))
    save([*first, *second], tmp_path / "flat")
    summary = predict_files(predictor(), tmp_path / "flat", tmp_path / "out")
    assert len(summary.written) == 2
    for name in summary.written:
        assert name.startswith("flat_")
        assert len(name) == len("flat_") + 8


def tilted(degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """A ball of 1 in 0, and the grid of a gantry that leans."""
    affine = np.diag([-1.5, -1.5, 3.0, 1.0])
    affine[1, 2] = 3 * np.tan(np.radians(degrees))
    affine[:3, 3] = (30, 20, -40)
    shape = (32, 30, 20)
    world = affine[:3, :3] @ np.indices(shape).reshape(3, -1) + affine[:3, 3:]
    middle = affine[:3, :3] @ (np.array(shape) / 2) + affine[:3, 3]
    distance = np.linalg.norm(world - middle[:, np.newaxis], axis=0).reshape(shape)
    return np.round(1024 / (1 + np.exp((distance - 14) / 2))) * SLOPE, affine


def test_tilt_is_refused_or_resampled_and_labels_lie_on_the_tilted_slices(tmp_path: Path) -> None:
    array, affine = tilted(15)
    save(series(array, affine, slopes=[SLOPE] * 20), tmp_path / "study")
    summary = predict_files(predictor(spacing_mm=(1.5, 1.5, 3)), tmp_path / "study", tmp_path / "out")
    assert "lean by 15.0 degrees" in summary.refused["study"]
    assert "--dicom-tilt resample" in summary.refused["study"]
    dicom = DicomOptions(tilt="resample")
    summary = predict_files(
        predictor(spacing_mm=(1.5, 1.5, 3)), tmp_path / "study", tmp_path / "out", dicom=dicom
    )
    labels = nibabel.load(summary.written["study"])
    found = np.asarray(labels.dataobj)
    (stack,) = found_in(tmp_path / "study").volumes
    np.testing.assert_allclose(labels.affine, stack.geometry.affine, atol=1e-4)  # on the tilted slices
    true = (array > 0.5).astype(np.uint8)
    dice = 2 * (found * true).sum() / (found.sum() + true.sum())
    assert dice > 0.97
    wrong = found != true  # nowhere but at the surface
    assert not wrong[(array > 0.62) | (array < 0.38)].any()


def test_a_value_of_dicom_tilt_that_there_is_not() -> None:
    with pytest.raises(UserError, match="unknown value of --dicom-tilt 'drop'"):
        DicomOptions(tilt="drop")


def test_what_was_left_out_is_said(tmp_path: Path) -> None:
    images = as_series(rounded(scan()))
    scout = copy.deepcopy(images[0])
    scout.SOPInstanceUID = generate_uid()
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    save([*images, scout], tmp_path / "study")
    summary = predict_files(predictor(), tmp_path / "study", tmp_path / "out")
    assert summary.notes == {"study": "1 localizer images left out"}


def test_two_modalities_by_their_names_and_by_rules(tmp_path: Path) -> None:
    given, study = rounded(scan()), generate_uid()
    save(as_series(given, study=study, description="a"), tmp_path / "study" / "a")
    save(as_series(given, study=study, description="b"), tmp_path / "study" / "b")
    save(as_series(given, study=study, description="c", kind="PT"), tmp_path / "study" / "c")
    two = predictor(modalities=("MR_T1", "PET"))
    summary = predict_files(two, tmp_path / "study", tmp_path / "out")
    assert "2 series fit MR_T1" in summary.refused["study"]
    with pytest.raises(UserError, match="does not say for which of MR_T1, PET it is; write it as"):
        predict_files(two, tmp_path / "study", tmp_path / "out", dicom=DicomOptions(("number=3",)))
    summary = predict_files(
        two, tmp_path / "study", tmp_path / "out", dicom=DicomOptions(("MR_T1:description=^b$",))
    )
    assert set(summary.written) == {"study"}


def test_activity_is_no_suv(tmp_path: Path) -> None:
    given = rounded(scan())
    save(as_series(given, kind="PT", Units="BQML"), tmp_path / "study")
    model = predictor(modalities=("SUV",))
    summary = predict_files(model, tmp_path / "study", tmp_path / "out")
    assert "is in BQML, and SUV in SUV; convert it to SUV" in summary.refused["study"]
    save(as_series(given, kind="PT", Units="GML"), tmp_path / "study")
    assert set(predict_files(model, tmp_path / "study", tmp_path / "out").written) == {"study"}


def test_check_tells_series_and_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = rounded(scan())
    save(as_series(given, description="good"), tmp_path / "disc" / "A")
    assert main(["check", str(tmp_path / "disc")]) == 0
    told = capsys.readouterr().out
    assert "volume: number=3 modality=MR description='good' (14 x 11 x 9 voxels, 1 x 2 x 3.001 mm)" in told
    assert "1 volumes, 0 refused" in told
    save([image for n, image in enumerate(as_series(given)) if n != 4], tmp_path / "disc" / "B")
    assert main(["check", str(tmp_path / "disc"), "--json"]) == 2
    assert '"ok": false' in capsys.readouterr().out


def test_what_check_cannot_do_with_dicom_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(as_series(rounded(scan())), tmp_path / "disc")
    for option in (["--fix", str(tmp_path / "copy")], ["--layout", "msd"]):
        assert main(["check", str(tmp_path / "disc"), *option]) == 2
        assert "is DICOM without labels; leave out --fix and --layout" in capsys.readouterr().err
    assert main(["plan", str(tmp_path / "disc")]) == 2
    assert "holds DICOM and no segmentation (SEG), which would be its labels" in capsys.readouterr().err


def test_dicom_beside_scans_of_other_types_is_told(tmp_path: Path) -> None:
    given = rounded(scan())
    write(tmp_path / "mixed" / "case.nii.gz", given)
    save(as_series(given), tmp_path / "mixed" / "study")
    summary = predict_files(predictor(), tmp_path / "mixed", tmp_path / "out")
    assert set(summary.written) == {"case"}
    (told,) = summary.refused.values()
    assert (
        "mixed holds DICOM beside scans of other types, which alone are predicted; give the DICOM in" in told
    )


def test_a_segmentation_beside_its_series_is_left_alone(tmp_path: Path) -> None:
    images = as_series(rounded(scan()))
    labels = (images[0].Columns, images[0].Rows, len(images))
    save([seg(images, np.ones(labels, np.uint8), {1: "liver"}, {1: LIVER})], tmp_path / "study", "seg.dcm")
    save(images, tmp_path / "study" / "images")
    summary = predict_files(predictor(), tmp_path / "study", tmp_path / "out")
    assert set(summary.written) == {"study"}
    assert [file.name for file in summary.ignored] == ["seg.dcm"]


def test_the_rules_of_the_model_choose_and_the_users_go_before_them(tmp_path: Path) -> None:
    given, study = rounded(scan()), generate_uid()
    for number, words in ((3, "T1 before"), (4, "T1 venous")):
        images = as_series(given, study=study, series_number=number, description=words)
        save(images, tmp_path / "study" / str(number))
    model = predictor()
    rules = {"MR": "modality=MR,description=venous"}
    model = replace(model, plan=model.plan.model_copy(update={"series": rules}))
    assert set(predict_files(model, tmp_path / "study", tmp_path / "out").written) == {"study"}
    summary = predict_files(model, tmp_path / "study", tmp_path / "no", dicom=DicomOptions(("number=9",)))
    assert "no series fits MR (modality=MR, number=9)" in "".join(summary.refused.values())


def test_a_table_of_a_folder_with_two_series_is_told_by_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for n in range(2):
        save(as_series(rounded(scan(seed=n))), tmp_path / "dicom" / str(n))
    write(tmp_path / "label.nii.gz", scan())
    (tmp_path / "dataset.csv").write_text("case,image:MR,label\np,dicom,label.nii.gz\n")
    assert main(["check", str(tmp_path)]) == 2
    assert "holds 2 series" in " ".join(capsys.readouterr().out.split())


def test_a_table_may_name_dicom_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Then `check`, `plan` and `train` take them as any other scan."""
    for n in range(4):
        given = rounded(scan(seed=n, tilt=np.eye(3)))
        save(as_series(given), tmp_path / f"dicom_{n}")
        place = read_scan(tmp_path / f"dicom_{n}")
        labels = (place.array > 0.5).astype(np.uint8)
        as_labels = Scan(labels, Geometry(labels.shape, place.geometry.affine), place.path)
        write(tmp_path / f"label_{n}.nii.gz", as_labels)
    rows = [f"p{n},dicom_{n},label_{n}.nii.gz" for n in range(4)]
    (tmp_path / "dataset.csv").write_text("\n".join(["case,image:MR,label", *rows]) + "\n")
    assert main(["check", str(tmp_path)]) == 0, capsys.readouterr().out
    assert main(["plan", str(tmp_path), "--patch", "8,8,8", "--out", str(tmp_path / "plan.json")]) == 0


def test_files_of_one_name_are_told_once() -> None:
    assert _counted(["letter.pdf", *["seg.dcm"] * 1200]) == "letter.pdf, seg.dcm (1,200)"
    assert _counted([f"{n}.dcm" for n in range(25)]).endswith("9.dcm and 15 more")


def test_a_dicomdir_is_refused_and_its_folder_named(
    artefact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "study" / "DICOMDIR"
    table.parent.mkdir()
    shutil.copy(get_testdata_file("DICOMDIR"), table)
    assert main(["predict", str(artefact), str(table), str(tmp_path / "out")]) == 2
    assert f"give the folder {table.parent}" in capsys.readouterr().err
