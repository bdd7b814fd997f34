from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilseg.data.case import Source
from distilseg.data.formats import read_dataset
from distilseg.data.formats.inputs import find_cases
from distilseg.data.scans.reading import read_scans
from distilseg.errors import UserError

from ..small_datasets import SHAPE, decathlon, image, label, nnunet, write, write_json


def ids(cases: object) -> list[str]:
    return [case.id for case in cases]  # type: ignore[attr-defined]


# Decathlon


def test_decathlon(tmp_path: Path) -> None:
    folder = decathlon(
        tmp_path / "Task99",
        numTraining=17,
        test=["./imagesTs/case_8.nii.gz", {"image": "imagesTs/case_9.nii.gz"}],
        licence="CC0",
    )
    dataset = read_dataset(folder)
    assert (dataset.name, dataset.layout, dataset.licence) == ("Small", "msd", "CC0")
    assert dataset.modalities == ("M0",)
    assert dict(dataset.labels) == {0: "background", 1: "tumour"}
    assert ids(dataset.cases) == ["case_0", "case_1"]
    assert ids(dataset.unlabelled) == ["case_8", "case_9"]
    assert dataset.cases[0].images == {"M0": Source(folder / "imagesTr/case_0.nii.gz")}
    assert dataset.cases[0].label == folder / "labelsTr/case_0.nii.gz"


def test_decathlon_modalities_in_one_file_and_in_numeric_order(tmp_path: Path) -> None:
    folder = decathlon(tmp_path, channels=11)
    description = json.loads((folder / "dataset.json").read_text())
    description["modality"] = dict(sorted(description["modality"].items()))  # "0", "1", "10", "2", ...
    write_json(folder / "dataset.json", description)
    dataset = read_dataset(folder)
    assert dataset.modalities == tuple(f"M{m}" for m in range(11))
    scans = read_scans(dataset.cases[0].images)
    assert np.array_equal(scans["M10"].array, image(0, (*SHAPE, 11))[..., 10])


def test_twins_that_macos_leaves_are_passed_over(tmp_path: Path) -> None:
    folder = decathlon(tmp_path / "listed")
    entries = json.loads((folder / "dataset.json").read_text())["training"]
    twin = {"image": "./imagesTr/._case_0.nii.gz", "label": "./labelsTr/._case_0.nii.gz"}
    write_json(
        folder / "dataset.json", {"labels": {"0": "background", "1": "a"}, "training": [twin, *entries]}
    )
    assert ids(read_dataset(folder).cases) == ["case_0", "case_1"]
    folder = nnunet(tmp_path / "found")
    for file in ("imagesTr/._case_0_0000.nii.gz", "labelsTr/._case_0.nii.gz"):
        (folder / file).write_bytes(b"Mac OS X")
    assert ids(read_dataset(folder).cases) == ["case_0", "case_1", "case_2"]


def test_nnunet_version_1_lists_files_without_their_suffix(tmp_path: Path) -> None:
    folder = nnunet(tmp_path, cases=1)
    entry = {"image": "./imagesTr/case_0.nii.gz", "label": "./labelsTr/case_0.nii.gz"}
    labels = {"0": "background", "1": "a", "2": "b"}
    write_json(
        folder / "dataset.json", {"modality": {"0": "CT", "1": "PET"}, "labels": labels, "training": [entry]}
    )
    images = read_dataset(folder).cases[0].images
    assert images["PET"] == Source(folder / "imagesTr/case_0_0001.nii.gz")


def test_a_data_list_with_one_file_per_modality(tmp_path: Path) -> None:
    entry = {"image": ["a_0000.nii", "a_0001.nii"], "label": "a_seg.nii"}
    labels, modality = {"0": "background", "1": "x"}, {"0": "T1", "1": "T2"}
    write_json(tmp_path / "dataset.json", {"labels": labels, "modality": modality, "training": [entry]})
    (case,) = read_dataset(tmp_path).cases
    assert case.id == "a"
    assert case.images == {"T1": Source(tmp_path / "a_0000.nii"), "T2": Source(tmp_path / "a_0001.nii")}


# nnU-Net


def test_nnunet(tmp_path: Path) -> None:
    folder = nnunet(tmp_path / "Dataset007_Pelvis")
    write(folder / "imagesTr" / "case_7_0000.nii.gz", image(0))
    write(folder / "imagesTs" / "case_8_0000.nii.gz", image(0))
    dataset = read_dataset(folder)
    assert (dataset.name, dataset.layout, dataset.modalities) == ("Pelvis", "nnunet", ("CT", "PET"))
    assert dict(dataset.labels) == {0: "background", 1: "tumour", 2: "organ"}
    assert ids(dataset.cases) == ["case_0", "case_1", "case_2"]
    assert ids(dataset.unlabelled) == ["case_7", "case_8"]
    assert dataset.case("case_8").images["CT"].path == folder / "imagesTs/case_8_0000.nii.gz"


def test_nnunet_keeps_a_case_whose_modality_is_missing_for_the_check(tmp_path: Path) -> None:
    folder = nnunet(tmp_path)
    (folder / "imagesTr/case_1_0001.nii.gz").unlink()
    assert read_dataset(folder).case("case_1").images["PET"].path == folder / "imagesTr/case_1_0001.nii.gz"


def test_nnunet_lists_files_under_dataset(tmp_path: Path) -> None:
    entries = {"p1": {"images": ["x/ct.nii.gz", "x/pet.nii.gz"], "label": "y/p1.nii.gz"}}
    folder = nnunet(tmp_path, dataset=entries)
    (case,) = read_dataset(folder).cases
    assert (case.id, case.images["PET"].path, case.label) == (
        "p1",
        folder / "x/pet.nii.gz",
        folder / "y/p1.nii.gz",
    )


def test_nnunet_forgives_a_forgotten_suffix_where_nothing_else_can_be_meant(tmp_path: Path) -> None:
    folder = nnunet(tmp_path, channels=("CT",))
    for file in (folder / "imagesTr").iterdir():
        file.rename(file.with_name(file.name.replace("_0000", "")))
    assert read_dataset(folder).cases[1].images == {"CT": Source(folder / "imagesTr/case_1.nii.gz")}
    assert read_dataset(folder).unlabelled == ()


# Table


def test_table(tmp_path: Path) -> None:
    write(tmp_path / "m/a.nii.gz", label(1, 3))
    text = (
        "\ufeffcase,image:CT,image:PET,label,patient\n"
        "a, i/a_ct.nrrd ,i/a_pet.nrrd,m/a.nii.gz,P1\n\nb,c.mha,d.mha,,P1\n"
    )
    (tmp_path / "cohort.csv").write_text(text, encoding="utf-8")
    for given in (tmp_path, tmp_path / "cohort.csv"):
        dataset = read_dataset(given)
        assert (dataset.name, dataset.layout, dataset.modalities) == ("cohort", "table", ("CT", "PET"))
        assert dict(dataset.labels) == {0: "background", 1: "label 1", 3: "label 3"}
        (case,), (other,) = dataset.cases, dataset.unlabelled
        assert (case.id, case.patient, case.label) == ("a", "P1", tmp_path / "m/a.nii.gz")
        assert case.images["CT"].path == tmp_path / "i/a_ct.nrrd"
        assert (other.id, other.group) == ("b", "P1")
    write_json(tmp_path / "labels.json", {"0": "background", "1": "tumour", "3": "edema"})
    assert read_dataset(tmp_path).classes == ("background", "tumour", "edema")


def test_table_with_semicolons_and_one_image(tmp_path: Path) -> None:
    write(tmp_path / "l.nii.gz", label(1))
    (tmp_path / "t.csv").write_text("case;image;label\na;a.nii.gz;l.nii.gz\n")
    assert read_dataset(tmp_path).modalities == ("image",)


# Folders


@pytest.mark.parametrize("names", [("images", "labels"), ("imagesTr", "labelsTr")])
def test_two_folders(tmp_path: Path, names: tuple[str, str]) -> None:
    for id in ("case_0001", "case_0002"):
        write(tmp_path / names[0] / f"{id}.nii.gz", image(1))
    write(tmp_path / names[1] / "case_0001.nii", label(1))
    dataset = read_dataset(tmp_path)
    assert (dataset.layout, dataset.modalities) == ("folders", ("image",))
    assert (ids(dataset.cases), ids(dataset.unlabelled)) == (["case_0001"], ["case_0002"])
    assert dict(dataset.labels) == {0: "background", 1: "label 1"}


def test_two_folders_with_numbered_modalities(tmp_path: Path) -> None:
    folder = nnunet(tmp_path)
    (folder / "dataset.json").unlink()
    dataset = read_dataset(folder)
    assert dataset.modalities == ("image_0", "image_1")
    assert ids(dataset.cases) == ["case_0", "case_1", "case_2"]
    assert dataset.cases[2].images["image_1"].path == folder / "imagesTr/case_2_0001.nii.gz"


# What cannot be read says so, and what would be right


def broken(tmp_path: Path, name: str) -> tuple[Path, str]:
    """A folder that cannot be read, and what the message must say."""
    described = tmp_path / "dataset.json"
    labels = {"0": "background", "1": "tumour"}
    case = {"image": "a.nii.gz", "label": "b.nii.gz"}
    channels, table = {"0": "CT"}, tmp_path / "t.csv"
    match name:
        case "missing folder":
            return tmp_path / "nowhere", "no such folder"
        case "empty folder":
            return tmp_path, "looked for: dataset.json .*table.*images/ and labels/"
        case "one level too high":
            nnunet(tmp_path / "Dataset001_A")
            return tmp_path, "did you mean .*Dataset001_A"
        case "empty dataset.json":
            described.write_text("")
            return tmp_path, r"dataset.json is not valid JSON \(line 1"
        case "invalid JSON":
            described.write_text('{\n "labels": {},\n "training": [\n}')
            return tmp_path, r"dataset.json is not valid JSON \(line 4"
        case "empty object":
            described.write_text("{}")
            return tmp_path, "'training' .*'channel_names'"
        case "a list":
            described.write_text("[]")
            return tmp_path, "holds a list, an object"
        case "no labelled case":
            return decathlon(tmp_path, training=[]), "has no labelled case"
        case "no labels folder":
            shutil.rmtree(nnunet(tmp_path) / "labelsTr")
            return tmp_path, r"has no labelled case \(read as nnunet\)"
        case "wrong file ending":
            return nnunet(tmp_path, file_ending=".nrrd"), "labelsTr holds no file ending in .nrrd"
        case "unknown file ending":
            return nnunet(
                tmp_path, file_ending=".tif"
            ), "'.tif' cannot be read; convert them to one of .nii.gz"
        case "regions":
            regions = {"background": 0, "whole": [1, 2], "core": [2]}
            return nnunet(tmp_path, labels=regions), "region labels .* not supported"
        case "ignore label":
            labels = {"background": 0, "a": 1, "ignore": "?"}
            return nnunet(tmp_path, labels=labels), "the ignore label '\\?' is not a whole number"
        case "no background":
            return decathlon(tmp_path, labels={"1": "tumour"}), r"no background \(value 0\)"
        case "no labels":
            write_json(described, {"training": [case]})
            return tmp_path, "names no labels"
        case "label value no number":
            return decathlon(
                tmp_path, labels={"0": "background", "one": "a"}
            ), "label value 'one' is not a whole"
        case "one value for two names":
            return nnunet(tmp_path, labels={"background": 0, "a": 1, "b": 1}), "one label value to two names"
        case "modality is a string":
            return decathlon(tmp_path, modality="MRI"), "'modality' is 'MRI'"
        case "modality named twice":
            return nnunet(tmp_path, channel_names={"0": "CT", "1": "CT"}), "not distinct"
        case "training is no list":
            write_json(described, {"labels": labels, "training": {"a": 1}})
            return tmp_path, "'training' is a dict"
        case "a case without image":
            write_json(described, {"labels": labels, "training": [{"label": "x.nii.gz"}]})
            return tmp_path, "case 0 of 'training' names no image"
        case "wrong number of images":
            write_json(
                described, {"labels": labels, "channel_names": channels, "dataset": {"a": {"images": []}}}
            )
            return tmp_path, r"case a must list 1 images \(CT\)"
        case "table with a gap":
            table.write_text("case,image:CT,image:PET,label\na,x.nii,,y.nii\n")
            return tmp_path, "line 2: case a has no PET image"
        case "table with a short line":
            table.write_text("case,image:CT,label\na,x.nii\n")
            return tmp_path, "line 2: 2 columns where the header has 3"
        case "wrong header":
            table.write_text("id,scan\n")
            return table, "it must read: case,image:<modality>,label"
        case "two tables":
            for other in (table, tmp_path / "u.csv"):
                other.write_text("case,image,label\n")
            return tmp_path, "several tables of cases: t.csv, u.csv"
        case "names that do not match":
            write(tmp_path / "images/a_img.nii.gz", image(0))
            write(tmp_path / "labels/a_seg.nii.gz", label(1))
            return tmp_path, "images are called like a_img.nii.gz, the labels like a_seg.nii.gz"
        case "a label without image":
            write(tmp_path / "images/a.nii.gz", image(0))
            for id in "ab":
                write(tmp_path / f"labels/{id}.nii.gz", label(1))
            return tmp_path, "b.nii.gz has no image of that name"
    raise AssertionError(name)


BROKEN = """missing folder|empty folder|one level too high|empty dataset.json|invalid JSON|empty object|a list
no labelled case|no labels folder|wrong file ending|unknown file ending|regions|ignore label|no background
no labels|label value no number|one value for two names|modality is a string|modality named twice
training is no list|a case without image|wrong number of images|table with a gap|table with a short line
wrong header|two tables|names that do not match|a label without image"""


@pytest.mark.parametrize("name", BROKEN.replace("\n", "|").split("|"))
def test_what_cannot_be_read_says_so(tmp_path: Path, name: str) -> None:
    folder, message = broken(tmp_path, name)
    with pytest.raises(UserError, match=message) as caught:
        read_dataset(folder)
    assert "\n" not in str(caught.value)
    assert caught.value.fix


def test_an_unknown_layout_lists_the_known(tmp_path: Path) -> None:
    known = r"did you mean 'nnunet'.* msd, nnunet, brats, hecktor, picai, table, answered, folders"
    with pytest.raises(UserError, match=known):
        read_dataset(tmp_path, layout="nnunett")


@pytest.mark.parametrize("layout", ["msd", "nnunet", "table", "folders"])
def test_a_layout_forced_on_an_empty_folder(tmp_path: Path, layout: str) -> None:
    with pytest.raises(UserError):
        read_dataset(tmp_path, layout=layout)


def test_images_and_labels_swapped_in_plain_folders(tmp_path: Path) -> None:
    write(tmp_path / "images/a.nii.gz", label(1))
    write(tmp_path / "labels/a.nii.gz", image(0))
    with pytest.raises(UserError, match="are the images and labels swapped"):
        read_dataset(tmp_path)


@pytest.mark.real_data
def test_the_real_datasets(real_data: Path) -> None:
    hippocampus = read_dataset(real_data / "Task04_Hippocampus")
    assert (len(hippocampus.cases), hippocampus.classes) == (200, ("background", "Anterior", "Posterior"))
    sarcoma = read_dataset(real_data / "Dataset090_SoftTissueSarcoma")
    assert (len(sarcoma.cases), sarcoma.modalities) == (40, ("CT", "PET", "MR_T1"))
    for dataset in (hippocampus, sarcoma):
        files = [source.path for case in dataset.cases for source in case.images.values()]
        assert all(path.is_file() for path in files)


def test_brats_as_it_is_handed_out(tmp_path: Path) -> None:
    from .brats import write_brats

    folder = write_brats(tmp_path / "Training")
    (folder / "LGG" / "Brats18_TEST_4_1" / "Brats18_TEST_4_1_seg.nii.gz").unlink()
    (folder / "HGG" / "Brats18_TEST_0_1" / "Brats18_TEST_0_1_t2.nii.gz").unlink()
    dataset = read_dataset(folder)
    assert dataset.layout == "brats"
    assert dataset.modalities == ("T1", "T2", "T1ce", "FLAIR")
    assert dataset.labels == {0: "background", 1: "NCR/NET", 2: "ED", 4: "ET"}
    assert [case.id for case in dataset.cases] == [f"Brats18_TEST_{n}_1" for n in range(4)]
    assert [case.id for case in dataset.unlabelled] == ["Brats18_TEST_4_1"]
    case = dataset.cases[1]
    assert case.images["T1ce"].path.name == "Brats18_TEST_1_1_t1ce.nii.gz"
    assert case.label is not None
    assert case.label.name == "Brats18_TEST_1_1_seg.nii.gz"
    # What is absent is still named, so that the check can say which file.
    assert dataset.cases[0].images["T2"].path.name == "Brats18_TEST_0_1_t2.nii.gz"
    assert not dataset.cases[0].images["T2"].path.exists()


def test_brats_without_grades(tmp_path: Path) -> None:
    from .brats import write_brats

    folder = write_brats(tmp_path / "Training", hgg=2, lgg=0)
    assert [case.id for case in read_dataset(folder / "HGG").cases] == [
        "Brats18_TEST_0_1",
        "Brats18_TEST_1_1",
    ]


def test_a_patient_of_both_grades_is_refused(tmp_path: Path) -> None:
    import shutil

    from .brats import write_brats

    folder = write_brats(tmp_path / "Training", hgg=1, lgg=1)
    shutil.copytree(folder / "HGG" / "Brats18_TEST_0_1", folder / "LGG" / "Brats18_TEST_0_1")
    with pytest.raises(UserError, match="holds the patient Brats18_TEST_0_1 twice"):
        read_dataset(folder)


def test_an_nnunet_folder_without_labels_holds_scans_that_a_teacher_can_answer_for(tmp_path: Path) -> None:
    shutil.rmtree(nnunet(tmp_path) / "labelsTr")
    cases, refused = find_cases(tmp_path, ("CT", "PET"))
    assert [case.id for case in cases] == ["case_0", "case_1", "case_2"]
    assert not refused


def test_patients_stay_known_where_scans_are_named_to_be_answered_for(tmp_path: Path) -> None:
    write(tmp_path / "a.nii.gz", image(0))
    (tmp_path / "dataset.csv").write_text("case,image:CT,patient\na,a.nii.gz,anna\n")
    (case,), _ = find_cases(tmp_path, ("CT",))
    assert case.group == "anna"


ANSWERED = {
    "name": "Clinic",
    "labelled_by": "big",
    "modalities": ["CT"],
    "labels": {"0": "background", "1": "liver"},
    "cases": [
        {"case": "a", "patient": "anna", "images": {"CT": ["/scans/a.nii.gz", 1]}, "label": "../l/1.nii.gz"},
        {"case": "b", "patient": "", "images": {"CT": ["/scans/b.nii.gz", None]}, "label": None},
    ],
}


def test_scans_that_a_teacher_answered_for(tmp_path: Path) -> None:
    write_json(tmp_path / "answered.json", ANSWERED)
    dataset = read_dataset(tmp_path)
    assert (dataset.layout, dataset.labelled_by, dataset.classes) == (
        "answered",
        "big",
        ("background", "liver"),
    )
    ((a,), (b,)) = dataset.cases, dataset.unlabelled
    assert (a.id, a.patient, a.label) == ("a", "anna", tmp_path / "../l/1.nii.gz")
    assert (a.images, b.images) == (
        {"CT": Source(Path("/scans/a.nii.gz"), 1)},
        {"CT": Source(Path("/scans/b.nii.gz"))},
    )


@pytest.mark.parametrize("wrong", [{"cases": [{}]}, {"cases": 3}, {"modalities": None}, {"labelled_by": ...}])
def test_a_damaged_description_of_answers_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    known = {name: value for name, value in {**ANSWERED, **wrong}.items() if value is not ...}
    write_json(tmp_path / "answered.json", known)
    with pytest.raises(UserError, match=r"answered.json is damaged"):
        read_dataset(tmp_path)
