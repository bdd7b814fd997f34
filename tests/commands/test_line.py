"""The whole line as a user types it: check, plan, train, evaluate, compare, predict, report."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import nibabel
import numpy as np
import pytest

from distilseg import commands
from distilseg.cli import main
from distilseg.data.phantom.volumes import write_phantom
from distilseg.report.contenders import contenders
from distilseg.report.words import train_command
from distilseg.runs import Run, read_rows


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with eight scans in SCANS and, below runs/Phantom, a control and a distilled run."""
    place = tmp_path_factory.mktemp("line")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        patch.chdir(place)
        write_phantom("SCANS", cases=8, shape=(20, 20, 20), spacing_mm=(1, 1, 1), modalities=("MR",))
        typed("distilseg check SCANS")
        typed("distilseg plan SCANS --patch 16,16,16 --levels 3 --out plan.json")
        typed(
            "distilseg train dual_self_distillation --data SCANS --plan plan.json --steps 4 --temperature 2"
            " --network-option filters=[4,8,8] --precision 32-true --validations 1 --threads 1"
        )
    return place


def typed(command: str, *, code: int = 0) -> None:
    """Runs a line as it stands in the README."""
    program, *words = command.split()
    assert program == "distilseg"
    assert main(words) == code, command


@pytest.fixture(autouse=True)
def there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    monkeypatch.chdir(place)


def student() -> Run:
    (folder,) = Path("runs/Phantom").glob("dual_self_distillation-*")
    return Run(folder)


def test_plan_is_written_as_asked() -> None:
    plan = json.loads(Path("plan.json").read_text())
    assert plan["patch"] == [16, 16, 16]
    assert len(plan["strides"]) == 3


def test_train_leaves_two_judged_runs_and_a_page() -> None:
    runs = sorted(folder.name.split("-")[0] for folder in Path("runs/Phantom").iterdir())
    assert runs == ["dual_self_distillation", "supervised"]
    run = student()
    about = run.read(run.experiment)
    assert about["options"]["temperature"] == 2.0
    assert about["options"]["network_options"] == {"filters": [4, 8, 8]}
    assert run.read(run.status)["steps"] == 4
    assert {row["metric"] for row in read_rows(run.metrics)} >= {"dice", "hd95", "nsd"}
    assert "<svg" in (run.folder / "report.html").read_text()


def test_train_again_finds_the_runs(capsys: pytest.CaptureFixture[str]) -> None:
    before = student().last.stat().st_mtime_ns
    typed(
        "distilseg train dual_self_distillation --data SCANS --plan plan.json --steps 4 --temperature 2"
        " --network-option filters=[4,8,8] --precision 32-true --validations 1 --threads 1"
    )
    captured = capsys.readouterr()
    assert student().last.stat().st_mtime_ns == before
    assert "Too early to say at this budget whether dual_self_distillation helps: Dice 0." in captured.out
    assert f"distilseg predict {student().folder} SCAN.nii.gz PREDICTIONS" in captured.out
    assert captured.err == ""  # no progress where no one looks


def test_the_command_of_the_page_makes_the_same_run_again() -> None:
    """Typed as printed, with plan and split of the run, it finds the run that printed it: nothing is lost."""
    typed(
        "distilseg train dual_self_distillation --data SCANS --plan plan.json --steps 1 --runs typed --clip 0"
        " --flip-axes none --no-detach-teacher --teacher mean --network dynunet"
        " --network-option filters=[4,8,8] --learning-rate 1e-3 --seed 2 --subjects 3 --precision 32-true"
        " --validations 1 --no-control"
    )
    (folder,) = Path("typed/Phantom").iterdir()
    run = Run(folder)
    (contender,) = contenders([run])
    program, *words = shlex.split(train_command(contender, run.read(run.experiment)))
    assert program == "distilseg"
    assert "filters=[4, 8, 8]" in words
    files = ["--plan", str(run.plan), "--split", str(run.split)]
    where = ["--runs", "typed", "--precision", "32-true", "--no-control"]
    last = run.last.stat().st_mtime_ns
    assert main([*words, *files, *where]) == 0
    assert [path.name for path in Path("typed/Phantom").iterdir()] == [run.name]
    assert run.last.stat().st_mtime_ns == last


def test_evaluate_run(capsys: pytest.CaptureFixture[str]) -> None:
    typed(f"distilseg evaluate {student().folder} --out own.csv")
    out = capsys.readouterr().out
    assert "HD95 [mm]" in out
    assert "2 cases" in out
    assert len(read_rows(Path("own.csv"))) == len(read_rows(student().metrics))


def test_evaluate_slices(capsys: pytest.CaptureFixture[str]) -> None:
    before = student().metrics.read_bytes()
    typed(f"distilseg evaluate {student().folder} --by slice --empty one --slice-axis 0")
    out = capsys.readouterr().out
    assert "40 slices of 2 cases" in out
    assert "not independent" in out
    assert str(student().slices / "metrics.csv") in out
    assert student().metrics.read_bytes() == before
    rows = read_rows(student().slices / "metrics.csv")
    assert {row["metric"] for row in rows} == {"dice", "iou"}
    typed("distilseg evaluate SCANS/labelsTr SCANS/labelsTr --by slice --out slices.csv")
    assert "of 8 cases" in capsys.readouterr().out
    assert {row["value"] for row in read_rows(Path("slices.csv"))} == {"1.0", "nan"}
    control = next(Path("runs/Phantom").glob("supervised-*"))
    typed(f"distilseg evaluate {control} --by slice --empty one --slice-axis 0")
    typed("distilseg compare runs/Phantom --by slice --out slices.csv")
    assert "IoU" in capsys.readouterr().out
    assert {row["pairs"] for row in read_rows(Path("slices.csv"))} == {"", "2"}
    typed("distilseg compare runs/Phantom --by slice --html slices.html", code=2)
    assert "about cases, not slices" in capsys.readouterr().err
    typed(f"distilseg evaluate {student().folder} --by slice --tolerance-mm 2", code=2)
    assert "slices have no distances" in capsys.readouterr().err


def test_predict_then_evaluate_two_folders(capsys: pytest.CaptureFixture[str]) -> None:
    run = student()
    typed(
        f"distilseg predict {run.folder} SCANS/imagesTr/phantom_000.nii.gz"
        " SCANS/imagesTr/phantom_001.nii.gz out"
    )
    assert "2 written to out, 0 refused" in capsys.readouterr().out
    made, scan = nibabel.load("out/phantom_000.nii.gz"), nibabel.load("SCANS/imagesTr/phantom_000.nii.gz")
    assert np.array_equal(made.affine, scan.affine)
    typed(f"distilseg predict {run.folder} SCANS/imagesTr/phantom_000.nii.gz out")
    assert "0 written to out, 1 there already (--overwrite), 0 refused" in capsys.readouterr().out

    typed("distilseg evaluate SCANS/labelsTr out --out folders.csv", code=1)
    out = capsys.readouterr().out
    assert "NO PREDICTION FOR: phantom_002, phantom_003" in out
    assert "liver" in out  # named by the dataset.json beside the references
    rows = read_rows(Path("folders.csv"))
    assert {row["case"] for row in rows} == {"phantom_000", "phantom_001"}

    typed("distilseg evaluate SCANS/labelsTr out --cases phantom_000 --labels 1=organ --unit voxel")
    out = capsys.readouterr().out
    assert "organ" in out
    assert "liver" not in out
    assert "[voxels]" in out


def test_perfect_label_maps_score_one() -> None:
    found = commands.evaluate("SCANS/labelsTr", "SCANS/labelsTr")
    assert {row["value"] for row in found.rows if row["metric"] == "dice"} == {1.0}
    assert found.without_prediction == found.without_reference == ()


def test_predict_goes_on_after_a_refused_scan(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mixed").mkdir()
    Path("mixed/text.nii.gz").write_text("no image")
    Path("mixed/sound.nii.gz").write_bytes(Path("SCANS/imagesTr/phantom_002.nii.gz").read_bytes())
    typed(f"distilseg predict {student().folder} mixed half", code=1)
    captured = capsys.readouterr()
    assert "1 written to half, 1 refused" in captured.out
    assert captured.err.startswith("refused: case text")
    assert [path.name for path in Path("half").iterdir()] == ["sound.nii.gz"]


def test_compare_and_report(capsys: pytest.CaptureFixture[str]) -> None:
    typed("distilseg compare runs/Phantom --out table.csv --html page.html")
    assert "difference from supervised" in capsys.readouterr().out
    assert {row["run"] for row in read_rows(Path("table.csv"))} == {"dual_self_distillation", "supervised"}
    typed("distilseg report runs --out other.html")
    assert Path("page.html").read_text() == Path("other.html").read_text()


def test_check_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    typed("distilseg check SCANS --json")
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is True
    assert told["cases_checked"] == 8


def test_check_repairs_a_copy(capsys: pytest.CaptureFixture[str]) -> None:
    """A label map of whole numbers stored as floats: repaired in the copy, untouched in the source."""
    write_phantom("FLOATS", cases=3, shape=(20, 20, 20), modalities=("MR",))
    path = Path("FLOATS/labelsTr/phantom_001.nii.gz")
    label = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(np.asarray(label.dataobj, np.float32), label.affine), path)
    before = path.read_bytes()
    typed("distilseg check FLOATS --fix REPAIRED")
    assert "repaired copy: REPAIRED" in capsys.readouterr().out
    assert path.read_bytes() == before
    assert nibabel.load("REPAIRED/labelsTr/phantom_001.nii.gz").get_data_dtype() == np.uint8
    typed("distilseg check REPAIRED --fix AGAIN")
    assert "nothing that can be repaired" in capsys.readouterr().out
    assert not Path("AGAIN").exists()


def test_check_keeps_contracts_of_own_files(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.py").write_text(
        "from torch import nn\n"
        "from distilseg.distillation.method import Method, Role\n"
        "from distilseg.functional.segmentation import dice_cross_entropy\n\n\n"
        "class Plain(Method):\n"
        "    roles = {'student': Role()}\n"
        "    paper_weights = {'seg': 1.0}\n\n"
        "    def terms(self, outputs, batch):\n"
        "        return {'seg': dice_cross_entropy(outputs['student'].logits, batch.label)}\n"
    )
    typed("distilseg check mine.py")
    assert capsys.readouterr().out == "mine.py: method Plain keeps its contract\n"


def test_recipe_and_network_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    """Trained, judged and, once trusted by name, used to predict; nobody else's file is run unasked."""
    Path("own.py").write_text(
        "from dataclasses import replace\n"
        "from torch import nn\n"
        "from distilseg.recipes.supervised import supervised\n\n\n"
        "def plain(in_channels, classes, patch, *, width=4):\n"
        "    return nn.Conv3d(in_channels, classes, 3, padding=1)\n\n\n"
        "def mine(study, *, width: int = 4):\n"
        "    made = supervised(study, network='own.py:plain', network_options={'width': width})\n"
        "    return replace(made, recipe='mine')\n"
    )
    typed(
        "distilseg train own.py:mine --data SCANS --plan plan.json --steps 2 --width 6 --runs mine"
        " --precision 32-true --validations 1"
    )
    assert "at this budget" not in capsys.readouterr().out  # there is no control to compare with
    (folder,) = Path("mine/Phantom").iterdir()
    run = Run(folder)
    assert run.read(run.experiment)["networks"]["student"]["options"] == {"width": 6}
    scan = "SCANS/imagesTr/phantom_000.nii.gz"
    typed(f"distilseg predict {folder} {scan} trusted", code=2)
    assert "if you trust it, say so: --trust own.py:plain" in capsys.readouterr().err
    typed(f"distilseg predict {folder} {scan} trusted --trust own.py:plain")
    typed(f"distilseg evaluate {folder} --again --trust own.py:plain")
    assert "2 cases" in capsys.readouterr().out


def test_plan_options() -> None:
    plan = commands.plan(
        "SCANS", patch=(16, 16, 16), normalisation={"MR": "minmax"}, spacing_mm=(1, 1, 2), batch_size=3
    )
    assert plan.normalisation["MR"].kind == "minmax"
    assert plan.spacing_mm == (1.0, 1.0, 2.0)
    assert plan.batch_size == 3


def test_plan_prints_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    typed("distilseg plan SCANS --patch 16x16x16 --normalisation MR=minmax --spacing 1,1,1")
    out = capsys.readouterr().out
    for said in ("kind: minmax", "16, 16, 16", "given", "each level halves"):
        assert said in out


def test_recipes_and_networks(capsys: pytest.CaptureFixture[str]) -> None:
    typed("distilseg recipes")
    assert "dual_self_distillation" in capsys.readouterr().out
    typed("distilseg recipes dual_self_distillation")
    assert "--detach-teacher/--no-detach-teacher" in capsys.readouterr().out
    typed("distilseg recipes --paper kd_net")
    assert "71.67 / 81.45 / 76.98" in capsys.readouterr().out
    assert [recipe.name for recipe in commands.recipes("supervised")] == ["supervised"]
    typed("distilseg networks dynunet --patch 32,48,32 --modalities 2 --classes 3")
    out = capsys.readouterr().out
    assert "multiply-accumulates" in out
    assert "filters=(16, 32, 64, 128, 256)" in out
    (row,) = commands.networks("dynunet", patch=(32, 48, 32), modalities=2, classes=3)
    assert f"{row.parameters:,}" in out


def test_fetch_prints_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = tmp_path / "Task04_Hippocampus"
    there.mkdir()
    (there / "dataset.json").write_text("{}")
    typed(f"distilseg fetch hippocampus --to {tmp_path}")
    assert capsys.readouterr().out.strip() == str(there)
