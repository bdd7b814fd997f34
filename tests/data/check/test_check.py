from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from distilseg.data.check import Problem, check_dataset, fix_dataset
from distilseg.data.check.grid import displacement_mm
from distilseg.data.formats import read_dataset
from distilseg.data.scans.reading import read_scan, write_array
from distilseg.data.scans.scan import Geometry
from distilseg.errors import UserError

from ..small_datasets import OBLIQUE, SHAPE, decathlon, image, label, nnunet, write, write_json

PLAIN = np.diag([1.0, 1.0, 2.0, 1.0])


def problems(folder: Path) -> list[Problem]:
    return list(check_dataset(folder).problems)


def kinds(folder: Path) -> list[tuple[str, str, str]]:
    return [(problem.case, problem.kind, problem.severity) for problem in problems(folder)]


def moved(mm: float) -> np.ndarray:
    affine = PLAIN.copy()
    affine[0, 3] += mm
    return affine


def tilted(mm: float) -> np.ndarray:
    affine = PLAIN.copy()
    affine[1, 2] = mm
    return affine


# A catalogue of broken datasets. Each entry breaks one thing in a sound nnU-Net dataset of three cases (CT,
# PET; tumour 1, organ 2) and says what the check must find: case, kind, severity, words of message and fix.

Breaks = Callable[[Path], object]
CATALOGUE: dict[str, tuple[Breaks, str, str, str, str]] = {
    "missing modality": (
        lambda f: (f / "imagesTr/case_1_0001.nii.gz").unlink(),
        *("case_1", "missing", "error", "case_1_0001.nii.gz.*no such file.*restore"),
    ),
    "truncated": (
        lambda f: cut(f / "imagesTr/case_1_0000.nii.gz"),
        *("case_1", "truncated", "error", "case_1_0000.nii.gz ends too early.*again"),
    ),
    "header only": (
        lambda f: header_only(f / "imagesTr/case_1_0000.nii.gz"),
        *("case_1", "header_only", "error", "a header and no voxels"),
    ),
    "unreadable": (
        lambda f: (f / "labelsTr/case_2.nii.gz").write_text("hello"),
        *("case_2", "unreadable", "error", "case_2.nii.gz is not a NIfTI file"),
    ),
    "2D": (
        lambda f: write(f / "imagesTr/case_1_0000.nii.gz", image(99, (8, 7))),
        *("case_1", "shape", "error", r"PET image .*\[8, 7, 6\], case_1_0000.nii.gz has \[8, 7, 1\]"),
    ),
    "4D": (
        lambda f: write(f / "imagesTr/case_1_0000.nii.gz", image(99, (*SHAPE, 3))),
        *("case_1", "dimension", "error", "is 4D.*one volume per file"),
    ),
    "shape of the label": (
        lambda f: write(f / "labelsTr/case_0.nii.gz", label(1, 2, shape=(8, 7, 5))),
        *("case_0", "shape", "error", r"label .*\[8, 7, 5\], case_0_0000.nii.gz has \[8, 7, 6\]"),
    ),
    "shape of a modality": (
        lambda f: write(f / "imagesTr/case_0_0001.nii.gz", image(99, (8, 7, 5))),
        *("case_0", "shape", "error", "the PET image .*resample"),
    ),
    "spacing of the label": (
        lambda f: write(f / "labelsTr/case_0.nii.gz", label(1, 2), np.diag([1.0, 1.0, 3.0, 1.0])),
        *("case_0", "affine", "error", "mm off .*tolerance 0.01 mm.*spacing 1, 1, 3 instead of 1, 1, 2 mm"),
    ),
    "orientation of the label": (
        lambda f: write(f / "labelsTr/case_0.nii.gz", label(1, 2), np.diag([-1.0, -1.0, 2.0, 1.0])),
        *("case_0", "affine", "error", "orientation LPS instead of RAS"),
    ),
    "label moved": (
        lambda f: write(f / "labelsTr/case_0.nii.gz", label(1, 2), moved(0.5)),
        *("case_0", "affine", "error", "label .*lies 0.5 mm off"),
    ),
    "label moved a little": (
        lambda f: write(f / "labelsTr/case_0.nii.gz", label(1, 2), moved(1e-4)),
        *("case_0", "affine", "warning", "lies 0.0001 mm off .*within the tolerance.*harmless"),
    ),
    "NaN": (
        lambda f: write(f / "imagesTr/case_1_0001.nii.gz", spoiled(np.nan)),
        *("case_1", "non_finite", "error", "case_1_0001.nii.gz has 1 NaN or infinite voxel of 336"),
    ),
    "infinite": (
        lambda f: write(f / "imagesTr/case_1_0001.nii.gz", spoiled(-np.inf)),
        *("case_1", "non_finite", "error", "1 NaN or infinite voxel"),
    ),
    "NaN in the label": (
        lambda f: write(f / "labelsTr/case_1.nii.gz", spoiled(np.nan, label(1, 2))),
        *("case_1", "non_finite", "error", "label .* 1 NaN"),
    ),
    "unknown value": (
        lambda f: write(f / "labelsTr/case_1.nii.gz", label(1, 2, 7)),
        *("case_1", "label_value", "error", r"holds 7 \(48 voxels\), the dataset names 0 to 2; name"),
    ),
    "mask of 255": (
        lambda f: write(f / "labelsTr/case_1.nii.gz", label(255)),
        *("case_1", "label_value", "error", "a mask stored as 0 and 255.*write 1 for 255"),
    ),
    "an image for a label": (
        lambda f: write(f / "labelsTr/case_1.nii.gz", image(4)),
        *("case_1", "label_value", "error", "is it an image instead of a label map"),
    ),
    "an image of floats for a label": (
        lambda f: write(f / "labelsTr/case_1.nii.gz", np.random.default_rng(0).normal(size=SHAPE)),
        *("case_1", "label_value", "error", "and .* more, whole numbers were expected"),
    ),
    "resampled label": (
        lambda f: write(f / "labelsTr/case_1.nii.gz", label(1, 2) * np.float32(0.5)),
        *("case_1", "label_value", "error", "holds 0.5, whole numbers were expected.*nearest neighbour"),
    ),
    "whole numbers as floats": (
        lambda f: write(f / "labelsTr/case_1.nii.gz", label(1, 2).astype(np.float32)),
        *("case_1", "label_type", "warning", "whole numbers as float32.*--fix"),
    ),
    "empty label": (
        lambda f: write(f / "labelsTr/case_1.nii.gz", label()),
        *("case_1", "label_empty", "warning", "is empty"),
    ),
    "duplicate case": (
        lambda f: duplicate(f, "case_0", "case_2"),
        *(
            "case_2",
            "duplicate",
            "error",
            "case_2_0000.nii.gz holds the same voxels as the CT image of case case_0",
        ),
    ),
    "one modality twice": (
        lambda f: shutil.copy(f / "imagesTr/case_0_0000.nii.gz", f / "imagesTr/case_0_0001.nii.gz"),
        *("case_0", "duplicate", "warning", "the PET image holds the same voxels as the CT image"),
    ),
    "constant image": (
        lambda f: write(f / "imagesTr/case_1_0001.nii.gz", np.full(SHAPE, 7, np.int16)),
        *("case_1", "constant", "warning", "all voxels of .* are 7"),
    ),
    "zero spacing": (
        lambda f: patch_pixdim(f / "imagesTr/case_1_0000.nii.gz", 0.0),
        *("case_1", "spacing", "error", r"the voxel size \(pixdim\) 1, 1, 0; write the true voxel size"),
    ),
    "negative spacing": (
        lambda f: patch_pixdim(f / "imagesTr/case_1_0000.nii.gz", -2.0),
        *("case_1", "spacing", "error", r"pixdim\) 1, 1, -2"),
    ),
    "affine without extent": (
        lambda f: write_codes(f / "imagesTr/case_1_0000.nii.gz", np.diag([1.0, 0.0, 2.0, 1.0])),
        *("case_1", "spacing", "error", "has the spacing 1, 0, 2 mm"),
    ),
    "affine of NaN": (
        lambda f: write_codes(f / "imagesTr/case_1_0000.nii.gz", np.diag([1.0, np.nan, 2.0, 1.0])),
        *("case_1", "geometry", "error", "NaN or infinite"),
    ),
    "two voxel sizes": (
        lambda f: write_codes(f / "imagesTr/case_1_0000.nii.gz", PLAIN),
        *("case_1", "spacing", "error", "two voxel sizes: 1, 1, 1 mm .* and 1, 1, 2 mm .*correct the other"),
    ),
    "a gantry tilt": (
        lambda f: write(f / "imagesTr/case_1_0000.nii.gz", image(99), tilted(0.9)),
        *("case_1", "geometry", "error", "sheared: its axes lean up to 24.2 degrees"),
    ),
    "one slice": (
        lambda f: (
            [write(f / f"imagesTr/case_1_{m:04d}.nii.gz", image(70 + m, (9, 9, 1))) for m in range(2)]
            and write(f / "labelsTr/case_1.nii.gz", label(1, 2, shape=(9, 9, 1)))
        ),
        *("case_1", "dimension", "warning", r"a single slice \[9, 9, 1\]"),
    ),
    "image without label": (
        lambda f: (f / "labelsTr/case_1.nii.gz").unlink(),
        *("case_1", "unlabelled", "warning", "has no label.*forgotten"),
    ),
    "a class that no case holds": (
        lambda f: [write(f / f"labelsTr/case_{c}.nii.gz", label(1)) for c in range(3)],
        *("", "label_absent", "error", "no label map holds 2, the class 'organ'"),
    ),
}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


def header_only(path: Path) -> None:
    import gzip

    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:352]))


def spoiled(value: float, array: np.ndarray | None = None) -> np.ndarray:
    spoiled = (image(99) if array is None else array).astype(np.float32)
    spoiled[2, 3, 4] = value
    return spoiled


def duplicate(folder: Path, source: str, target: str) -> None:
    for file in [
        f"imagesTr/{source}_0000.nii.gz",
        f"imagesTr/{source}_0001.nii.gz",
        f"labelsTr/{source}.nii.gz",
    ]:
        shutil.copy(folder / file, folder / file.replace(source, target))


def patch_pixdim(path: Path, value: float) -> None:
    import gzip

    content = bytearray(gzip.decompress(path.read_bytes()))
    content[88:92] = np.float32(value).tobytes()  # pixdim[3]
    path.write_bytes(gzip.compress(content))


def write_codes(path: Path, affine: np.ndarray) -> None:
    """`affine` as sform, whatever nibabel would say of it as qform."""
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_sform(affine, 1)
    nib.save(nib.Nifti1Image(image(99), None, header), path)


@pytest.mark.parametrize("name", CATALOGUE)
def test_each_problem_is_named_by_case_with_its_fix(tmp_path: Path, name: str) -> None:
    breaks, case, kind, severity, words = CATALOGUE[name]
    folder = nnunet(tmp_path / "Dataset001_A")
    breaks(folder)
    report = check_dataset(folder)
    wanted = [problem for problem in report.problems if (problem.case, problem.kind) == (case, kind)]
    assert wanted, report.problems
    assert wanted[0].severity == severity
    assert re.search(words, str(wanted[0])), str(wanted[0])
    assert "\n" not in str(wanted[0])
    assert wanted[0].fix
    # Nothing is wrong with the others, and a warning alone leaves the dataset fit for use.
    assert {problem.case for problem in report.problems} <= {case}
    assert report.ok == (severity == "warning")


def test_sound_datasets_have_no_problems(tmp_path: Path) -> None:
    assert problems(nnunet(tmp_path / "a")) == []
    assert problems(decathlon(tmp_path / "b", channels=3)) == []


def test_every_problem_is_reported_in_one_pass(tmp_path: Path) -> None:
    folder = nnunet(tmp_path)
    (folder / "imagesTr/case_0_0000.nii.gz").unlink()
    write(folder / "imagesTr/case_1_0001.nii.gz", spoiled(np.nan))
    write(folder / "labelsTr/case_1.nii.gz", label(1, 2, 9).astype(np.float64), moved(3))
    write(folder / "labelsTr/case_2.nii.gz", label())
    assert kinds(folder) == [
        ("case_0", "missing", "error"),
        ("case_1", "non_finite", "error"),
        ("case_1", "label_value", "error"),
        ("case_1", "label_type", "warning"),
        ("case_1", "affine", "error"),
        ("case_2", "label_empty", "warning"),
    ]


def test_the_forgotten_remapping_of_brats(tmp_path: Path) -> None:
    labels = {"background": 0, "necrosis": 1, "edema": 2, "enhancing": 3}
    folder = nnunet(tmp_path, labels=labels)
    for c in range(3):
        write(folder / f"labelsTr/case_{c}.nii.gz", label(1, 2, 4))
    found = problems(folder)
    assert [problem.kind for problem in found] == ["label_value"] * 3 + ["label_absent"]
    assert re.search(
        r"holds 4 \(48 voxels\), the dataset names 0 to 3; did you forget to remap BraTS label 4 to 3\?",
        str(found[0]),
    )
    assert "no label map holds 3, the class 'enhancing' (they hold 4, which no class is named for)" in str(
        found[3]
    )


def test_a_case_listed_twice(tmp_path: Path) -> None:
    folder = decathlon(tmp_path)
    entries = json.loads((folder / "dataset.json").read_text())
    write_json(
        folder / "dataset.json", entries | {"training": [*entries["training"], entries["training"][0]]}
    )
    with pytest.raises(UserError, match=r"the case name 'case_0' stands twice"):
        kinds(folder)


def test_one_image_under_two_ids_of_one_patient_is_only_a_warning(tmp_path: Path) -> None:
    for id in "ab":
        write(tmp_path / f"{id}.nii.gz", image(0))
        write(tmp_path / f"l_{id}.nii.gz", label(1))
    table = tmp_path / "t.csv"
    table.write_text("case,image:CT,label,patient\na,a.nii.gz,l_a.nii.gz,P\nb,b.nii.gz,l_b.nii.gz,P\n")
    assert kinds(tmp_path) == [("b", "duplicate", "warning")]
    assert [problem.fix for problem in problems(tmp_path)] == ["remove one of the two"]
    table.write_text("case,image:CT,label,patient\na,a.nii.gz,l_a.nii.gz,P\nb,b.nii.gz,l_b.nii.gz,Q\n")
    assert kinds(tmp_path) == [("b", "duplicate", "error")]


def test_channels_and_modalities_that_do_not_match(tmp_path: Path) -> None:
    folder = decathlon(tmp_path, channels=2)
    write(folder / "imagesTr/case_0.nii.gz", image(5, (*SHAPE, 3)))
    write(folder / "imagesTr/case_1.nii.gz", image(6))
    assert kinds(folder) == [("case_0", "modality", "warning"), ("case_1", "modality", "error")]


def test_unlabelled_cases_are_checked_too(tmp_path: Path) -> None:
    folder = nnunet(tmp_path)
    write(folder / "imagesTs/case_9_0000.nii.gz", image(90))
    report = check_dataset(folder)
    assert [(problem.case, problem.kind) for problem in report.problems] == [("case_9", "missing")]
    assert (report.cases_checked, report.files_checked) == (4, 11)


def test_the_tolerance_is_the_users(tmp_path: Path) -> None:
    folder = nnunet(tmp_path)
    write(folder / "labelsTr/case_0.nii.gz", label(1, 2), moved(0.5))
    assert not check_dataset(folder).ok
    assert check_dataset(folder, tolerance_mm=1.0).ok


def test_direction_cosines_that_differ_in_the_eighth_digit_are_no_failure(tmp_path: Path) -> None:
    folder = nnunet(tmp_path)
    tilted = PLAIN + 1e-8 * np.eye(4)[[1, 0, 2, 3]]
    write(folder / "labelsTr/case_0.nii.gz", label(1, 2), tilted)
    assert check_dataset(folder).ok


def test_displacement_is_measured_at_the_corners() -> None:
    turned = np.eye(4)
    turned[0, 0] = 1.001  # one voxel of 100 along I is 0.001 mm too wide: 0.1 mm at the far corner, about
    apart = displacement_mm(Geometry((100, 10, 10), turned), Geometry((100, 10, 10), np.eye(4)))
    assert apart == pytest.approx(0.0995)


def test_each_file_is_read_once_and_on_several_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distilseg.data.scans import nifti

    folder, real, reads, threads = decathlon(tmp_path, cases=8, channels=4), nifti.read, [], set()
    together = threading.Barrier(2, timeout=20)  # breaks if two files are never read at the same time

    def read(path: Path) -> object:
        if len(reads) < 2:
            reads.append(path)
            together.wait()
        else:
            reads.append(path)
        threads.add(threading.get_ident())
        return real(path)

    monkeypatch.setattr(nifti, "read", read)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert check_dataset(folder).ok
    assert len(reads) == len(set(reads)) == 16
    assert len(threads) == 2


def test_an_error_of_ours_names_its_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise MemoryError("full")

    monkeypatch.setattr("distilseg.data.check.case.check_label", fails)
    with pytest.raises(RuntimeError, match=r"checking case case_\d failed: full"):
        check_dataset(nnunet(tmp_path))


def test_progress_and_json(tmp_path: Path) -> None:
    folder, seen = nnunet(tmp_path), []
    (folder / "imagesTr/case_0_0000.nii.gz").unlink()
    report = check_dataset(folder, progress=seen.append)
    assert sorted(seen) == ["case_0", "case_1", "case_2"]
    value = json.loads(json.dumps(report.to_dict()))
    assert (value["ok"], value["cases_checked"], value["tolerance_mm"]) == (False, 3, 0.01)
    assert value["problems"][0] | {"message": "", "fix": ""} == {
        "case": "case_0",
        "kind": "missing",
        "message": "",
        "fix": "",
        "severity": "error",
        "fixable": False,
        "path": str(folder / "imagesTr/case_0_0000.nii.gz"),
    }


def test_a_description_that_cannot_be_read_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(UserError, match="line 1"):
        check_dataset(tmp_path)


# Repairing


def fixable(folder: Path) -> Path:
    """Case 0: a label slightly off; case 1: a label of floats, off; case 2: PET slightly off; notes."""
    nnunet(folder)
    write(folder / "labelsTr/case_0.nii.gz", label(1, 2).astype(np.int32), moved(1e-4))
    write(folder / "labelsTr/case_1.nii.gz", label(1, 2).astype(np.float64), moved(1e-4))
    write(folder / "imagesTr/case_2_0001.nii.gz", image(21), moved(1e-4))
    (folder / "README.txt").write_text("ours")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_repaired_copy_is_clean_and_the_source_untouched(tmp_path: Path) -> None:
    source, out = fixable(tmp_path / "in"), tmp_path / "out"
    before, dataset = contents(source), read_dataset(source)
    report = check_dataset(dataset)
    assert report.ok
    assert sum(problem.fixable for problem in report.problems) == 4
    done = fix_dataset(dataset, report, out)
    assert [line.split(":")[0] for line in done] == ["case_0", "case_1", "case_2"]
    assert contents(source) == before
    assert check_dataset(out).problems == ()
    after = contents(out)
    assert set(after) == set(before)
    repaired = {"labelsTr/case_0.nii.gz", "labelsTr/case_1.nii.gz", "imagesTr/case_2_0001.nii.gz"}
    assert {name for name in before if before[name] != after[name]} == repaired
    for name in repaired:
        old, new = read_scan(source / name), read_scan(out / name)
        assert np.array_equal(old.array, new.array)
        assert np.array_equal(new.geometry.affine, PLAIN)
    assert read_scan(out / "labelsTr/case_0.nii.gz").array.dtype == np.int32
    assert read_scan(out / "labelsTr/case_1.nii.gz").array.dtype == np.uint8
    assert read_scan(out / "imagesTr/case_2_0001.nii.gz").array.dtype == np.int16


def test_floats_alone_keep_their_own_geometry(tmp_path: Path) -> None:
    source, out = nnunet(tmp_path / "in"), tmp_path / "out"
    for m in range(2):
        write(source / f"imagesTr/case_0_{m:04d}.nii.gz", image(90 + m), OBLIQUE)
    write(source / "labelsTr/case_0.nii.gz", label(1, 2).astype(np.float32), OBLIQUE)
    fix_dataset(read_dataset(source), check_dataset(source), out)
    assert np.array_equal(nib.load(out / "labelsTr/case_0.nii.gz").affine, OBLIQUE.astype(np.float32))
    assert check_dataset(out).problems == ()


def test_an_nrrd_label_takes_the_affine_of_a_nifti_image(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    scan = read_scan(write(source / "images/a.nii.gz", image(0), OBLIQUE))
    off = Geometry(SHAPE, scan.geometry.affine + np.eye(4)[:, [1, 2, 3, 0]] * [[1e-5], [1e-5], [1e-5], [0]])
    (source / "labels").mkdir()
    write_array(source / "labels/a.nrrd", label(1), type(scan)(label(1), off, tmp_path))
    report = check_dataset(source)
    assert [(problem.kind, problem.fixable) for problem in report.problems] == [("affine", True)]
    fix_dataset(read_dataset(source), report, out)
    assert check_dataset(out).problems == ()


def test_a_relative_path_and_a_table_named_directly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "in/a.nii.gz", image(0))
    write(tmp_path / "in/l.nii.gz", label(1).astype(np.float32))
    for name in ("t.csv", "u.csv"):
        (tmp_path / "in" / name).write_text("case,image:CT,label\na,a.nii.gz,l.nii.gz\n")
    dataset = read_dataset("in/t.csv")
    assert len(fix_dataset(dataset, check_dataset(dataset), "out")) == 1
    assert check_dataset("out/u.csv").problems == ()


def test_nothing_to_repair_writes_nothing(tmp_path: Path) -> None:
    folder = nnunet(tmp_path / "in")
    (folder / "imagesTr/case_0_0000.nii.gz").unlink()
    assert fix_dataset(read_dataset(folder), check_dataset(folder), tmp_path / "out") == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("out", ["in", "in/fixed", ".", "full", "in/../in"])
def test_unsafe_places_for_the_copy_are_refused(tmp_path: Path, out: str) -> None:
    source = fixable(tmp_path / "in")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/precious.txt").write_text("keep")
    before = contents(tmp_path)
    with pytest.raises(UserError, match=r"would lie in the dataset|not empty"):
        fix_dataset(read_dataset(source), check_dataset(source), tmp_path / out)
    assert contents(tmp_path) == before


def test_a_copy_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = fixable(tmp_path / "in")
    dataset, report = read_dataset(source), check_dataset(source)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("distilseg.data.check.fix.write_label_map", full)
    with pytest.raises(UserError, match=r"out: No space left on device; free space there"):
        fix_dataset(dataset, report, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("named", ["../elsewhere/a.nii.gz", "{absolute}/in/a.nii.gz"])
def test_a_copy_that_would_name_other_files_than_its_own_is_refused(tmp_path: Path, named: str) -> None:
    write(tmp_path / "elsewhere/a.nii.gz", image(0))
    write(tmp_path / "in/a.nii.gz", image(0))
    write(tmp_path / "in/l.nii.gz", label(1).astype(np.float32))
    table = f"case,image:CT,label\na,{named.format(absolute=tmp_path)},l.nii.gz\n"
    (tmp_path / "in/t.csv").write_text(table)
    dataset = read_dataset(tmp_path / "in")
    with pytest.raises(UserError, match=r"case a: the copy would still use .*a.nii.gz.*relative"):
        fix_dataset(dataset, check_dataset(dataset), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["Task04_Hippocampus", "Dataset090_SoftTissueSarcoma"])
def test_the_real_datasets_are_sound(real_data: Path, name: str) -> None:
    report = check_dataset(real_data / name)
    assert report.ok
    assert {problem.kind for problem in report.problems} <= {"label_type"}
