"""2D datasets through the whole line: PNG, 2D NIfTI, and slices drawn from volumes."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from distilseg.cli import main
from distilseg.data.formats import read_dataset
from distilseg.data.phantom.slices import write_phantom_slices
from distilseg.data.phantom.volumes import LABELS, write_phantom
from distilseg.data.planning.plan import load_plan
from distilseg.data.preparing.single_slices import one_slice_each
from distilseg.data.scans.reading import read_label, read_scan
from distilseg.evaluation import evaluate_case
from distilseg.judge import judge, judge_slices
from distilseg.runs import Run, read_rows


@pytest.fixture(autouse=True)
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user_cache"))
    monkeypatch.chdir(tmp_path)


def typed(command: str, *, code: int = 0) -> None:
    assert main(command.split()[1:]) == code, command


def only_run(dataset: str) -> Run:
    (folder,) = Path("runs").glob(f"{dataset}/supervised-*")
    return Run(folder)


TRAIN = (
    "distilseg train supervised --steps 2 --validations 1 --precision 32-true --threads 1"
    " --network-option filters=[4,4,8]"
)


@pytest.mark.parametrize("ending", [".png", ".nii.gz"])
def test_images_are_trained_judged_and_predicted_in_2d(ending: str) -> None:
    write_phantom_slices("SLICES", cases=8, ending=ending)  # type: ignore[arg-type]
    typed("distilseg plan SLICES --levels 3 --out plan.json")
    typed(f"{TRAIN} --data SLICES --plan plan.json")
    run = only_run("SLICES")
    assert load_plan(run.plan).patch == (32, 32, 1)
    dataset = read_dataset("SLICES")
    rows = read_rows(run.metrics)
    for id in {row["case"] for row in rows}:
        label, made = read_label(dataset.case(id)), read_scan(run.predictions / f"{id}{ending}")
        again = evaluate_case(
            label.array[..., 0],
            made.array[..., 0],
            case=id,
            labels=LABELS,
            spacing_mm=label.geometry.spacing_mm[:2],
        )
        told = {(r["label"], r["metric"]): float(r["value"]) for r in rows if r["case"] == id}
        expected = {(r["label"], r["metric"]): r["value"] for r in again}
        assert {key: told[key] for key in expected} == pytest.approx(expected, nan_ok=True)
    with np.load(run.overlays) as pictures:
        shown, title = pictures["reference_0"], str(pictures["title_0"])
    if ending == ".png":  # shown as the file has it: rows down, columns to the right
        rows_down = sitk.GetArrayFromImage(sitk.ReadImage(f"SLICES/labels/{title}.png"))
    else:  # anterior up
        rows_down = np.rot90(nib.load(f"SLICES/labels/{title}.nii.gz").get_fdata())
    np.testing.assert_array_equal(shown, rows_down)

    typed(f"distilseg predict {run.folder} SLICES/images OUT")
    for image in sorted(Path("SLICES/images").iterdir()):
        out = Path("OUT") / image.name
        if ending == ".png":
            sizes = [sitk.ReadImage(str(path)).GetSize() for path in (image, out)]
        else:
            sizes = [nib.load(path).shape for path in (image, out)]
            np.testing.assert_array_equal(nib.load(image).affine, nib.load(out).affine)
        assert sizes == [(32, 32)] * 2


def test_one_slice_of_each_patient_of_volumes(capsys: pytest.CaptureFixture[str]) -> None:
    write_phantom(
        "SCANS", cases=8, shape=(24, 20, 16), spacing_mm=(1, 1.5, 2), modalities=("MR",), any_orientation=True
    )
    drawn = "--one-slice-per-subject --slice-view coronal --split-seed 3"
    typed(f"distilseg plan SCANS {drawn} --levels 3 --out plan.json")
    assert load_plan(Path("plan.json")).patch == (24, 1, 16)
    typed(f"{TRAIN} --data SCANS {drawn} --plan plan.json")
    run = only_run("Phantom")
    about = run.read(run.experiment)["dataset"]
    assert about["one_slice_per_subject"] == {"view": "coronal", "seed": 3}

    slices = one_slice_each(read_dataset("SCANS"), view="coronal", seed=3)
    rows = read_rows(run.metrics)
    for id in {row["case"] for row in rows}:
        label, made = read_label(slices.case(id)), read_scan(run.predictions / f"{id}.nii.gz")
        assert made.array.shape == label.array.shape
        np.testing.assert_allclose(made.geometry.affine, label.geometry.affine, atol=1e-5)

    # Judged by its folder alone, wherever the scans are, it is judged on the same slices.
    assert same(judge(run, again=True, device="cpu"), rows)
    shutil.move("SCANS", "MOVED")
    moved = read_dataset("MOVED")
    assert same(judge(run, moved, again=True, device="cpu"), rows)
    of_slices = judge_slices(run, moved, device="cpu")
    assert {row["case"] for row in of_slices} == {f"{row['case']}#000" for row in rows}
    dice = {(r["case"], r["label"]): r["value"] for r in rows if r["metric"] == "dice"}
    for row in of_slices:
        if row["metric"] == "dice":
            expected = float(dice[row["case"].removesuffix("#000"), row["label"]])
            assert float(row["value"]) == pytest.approx(expected, nan_ok=True)


def same(rows: list[dict], others: list[dict]) -> bool:
    def values(of: list[dict]) -> dict:
        return {(r["case"], r["label"], r["metric"]): float(r["value"]) for r in of}

    return values(rows) == pytest.approx(values(others), nan_ok=True)


def test_other_slices_are_other_runs() -> None:
    write_phantom("SCANS", cases=6, shape=(16, 16, 16), spacing_mm=(1, 1, 1), modalities=("MR",))
    for options in ("", " --slice-view sagittal", " --split-seed 1"):
        typed(f"distilseg plan SCANS --one-slice-per-subject{options} --levels 3 --out plan.json")
        typed(f"{TRAIN} --data SCANS --one-slice-per-subject{options} --plan plan.json --no-evaluate")
    assert len(list(Path("runs/Phantom").iterdir())) == 3


def test_a_view_without_a_draw_and_slices_of_slices_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    write_phantom_slices("SLICES", cases=4)
    typed("distilseg plan SLICES --slice-view axial", code=2)
    assert "add --one-slice-per-subject" in capsys.readouterr().err
    typed("distilseg plan SLICES --one-slice-per-subject", code=2)
    assert "is a single slice [32, 32, 1], slices are drawn from volumes" in capsys.readouterr().err
