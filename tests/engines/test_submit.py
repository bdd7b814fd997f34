"""`distilseg submit` and `distilseg status` on this machine: parts, what lacks, what is refused."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from distilseg.claims import claim
from distilseg.cli import main

from . import small


def submit(model: Path, scans: Path, out: Path, *more: str) -> int:
    return main(["submit", f"distilseg predict {model} {scans} {out}", *more])


def state(out: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    capsys.readouterr()
    main(["status", str(out), "--json"])
    (found,) = json.loads(capsys.readouterr().out)
    return dict(found)


def handed_out(out: Path) -> dict[str, int]:
    """How often each element was started, by what they said."""
    logs = out.with_name("out.submit").rglob("elements/*.log")
    return {path.stem: path.read_text().count("$ distilseg") for path in logs}


def test_parts_give_what_plain_predict_gives(
    model: Path, scans: Path, plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert submit(model, scans, out, "--parts", "3", "--workers", "2") == 0
    assert "12 cases: 12 done, 0 refused, 0 missing" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        path.name: path.read_bytes() for path in plain.iterdir()
    }
    assert handed_out(out) == {"1": 1, "2": 1, "3": 1}
    lines = next(out.with_name("out.submit").rglob("commands.txt")).read_text().splitlines()
    assert [line.partition(" --part ")[2] for line in lines] == [f"{k}/3 --threads 1" for k in (1, 2, 3)]


def test_again_hands_out_what_lacks_and_nothing_else(model: Path, scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert submit(model, scans, out, "--parts", "3") == 0
    assert submit(model, scans, out, "--parts", "3") == 0
    assert handed_out(out) == {"1": 1, "2": 1, "3": 1}
    (out / "scan_004.nii.gz").unlink()  # the fifth name: part 2
    assert main(["status", str(out)]) == 3
    assert submit(model, scans, out, "--parts", "3") == 0
    assert handed_out(out) == {"1": 1, "2": 2, "3": 1}
    assert len(list(out.iterdir())) == 12


def test_parts_are_found_where_a_name_is_none(model: Path, tmp_path: Path) -> None:
    """What cannot be a file is a case less, and moves no case to another part."""
    scans, out = small.scans(tmp_path / "scans", 5, "aux"), tmp_path / "out"
    assert submit(model, scans, out, "--parts", "2") == 1
    (out / "scan_002.nii.gz").unlink()  # of aux, scan_000, ... the fourth: part 2
    before = handed_out(out)
    assert submit(model, scans, out, "--parts", "2") == 1
    after = handed_out(out)
    assert (out / "scan_002.nii.gz").is_file()
    assert after["2"] == before["2"] + 1


def test_status_tells_refused_running_and_missing(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scans, out = small.scans(tmp_path / "scans", 4), tmp_path / "out"
    (scans / "bad.nii.gz").write_text("Dear radiologist")
    assert submit(model, scans, out, "--parts", "2") == 1
    told = state(out, capsys)
    assert (told["of"], told["total"], told["done"], told["missing"]) == ("cases", 5, 4, [])
    assert "is not a NIfTI file" in told["refused"]["bad"]  # type: ignore[index]
    for name in ("scan_001", "scan_002"):
        (out / f"{name}.nii.gz").unlink()
    mine = claim(out / "scan_001.nii.gz")
    assert mine is not None
    told = state(out, capsys)
    assert (told["done"], told["running"], told["missing"]) == (2, ["scan_001"], ["scan_002"])
    assert main(["status", str(out)]) == 3
    said = capsys.readouterr().out
    assert "5 cases: 2 done, 1 refused, 1 running, 1 missing" in said
    assert "  missing: scan_002" in said
    mine.release()


def test_a_part_that_was_refused_as_a_whole_says_why_and_is_not_repeated(
    model: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged, out = shutil.copytree(model, tmp_path / "model"), tmp_path / "out"
    network = damaged / "network.onnx"
    whole = network.read_bytes()
    network.write_bytes(whole[:-9] + bytes(9))
    assert submit(damaged, scans, out, "--parts", "2") == 1
    told = state(out, capsys)
    assert "network.onnx is not what was exported" in told["refused"]["scan_003"]  # type: ignore[index]
    assert (told["done"], told["missing"], handed_out(out)) == (0, [], {"1": 1, "2": 1})
    network.write_bytes(whole)
    assert submit(damaged, scans, out, "--parts", "2") == 0


def test_a_dry_run_writes_nothing(
    model: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert submit(model, scans, out, "--parts", "5", "--dry-run") == 0
    assert "5 of 5 would be handed out" in capsys.readouterr().out
    options = ("--engine", "slurm", "--parts", "100", "--time", "1:00:00", "--dry-run")
    assert submit(model, scans, out, *options) == 0
    said = capsys.readouterr().out
    assert "#SBATCH --array=1-100" in said
    assert "100 of 100 would be handed out" in said
    assert list(tmp_path.iterdir()) == []


def test_label_maps_that_are_not_there_are_told_and_not_looked_for_again(
    plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = shutil.copytree(plain, tmp_path / "made")
    (made / "scan_004.nii.gz").unlink()  # of part 1
    command = f"evaluate {plain} {made} --labels 1=a,2=b,3=c --out {tmp_path / 'table.csv'}"
    assert main(["submit", command, "--parts", "2"]) == 1
    assert "refused: part 1 of 2: NO PREDICTION FOR: scan_004" in capsys.readouterr().out
    logs = tmp_path.rglob("elements/*.log")
    assert {path.read_text().count("$ distilseg") for path in logs} == {1}
    shutil.copy(plain / "scan_004.nii.gz", made)
    assert main(["submit", command, "--parts", "2"]) == 0


def test_relative_paths_begin_where_it_was_submitted(
    model: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m").symlink_to(model)
    assert main(["submit", f"predict m {scans} out", "--parts", "2"]) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["status", str(tmp_path / "out")]) == 0


@pytest.mark.parametrize(
    ("command", "options", "told"),
    [
        ("predict m", "", "missing argument"),
        ("predict m s", "", "predict needs a run, at least one scan, and where to write"),
        ("predict m s o --threds 2", "", "unknown option '--threds'"),
        ("predict m s o", "", "m is not a run folder"),
        ("predict m s o --part 1/2", "", "--part is in the command"),
        ("predict m s 'o", "", "is no command line"),
        ("predict m s s3://bucket/out", "", "s3://bucket/out is in an object store"),
        ("evaluate a b", "", "evaluate is not told where to write"),
        ("compare runs", "", "compare is not handed out"),
        ("predict m -- s o", "", "-- is in the command, to which options are added"),
        ("predct m s o", "", "no such command 'predct'"),
        ("", "", "runs nothing"),
        ("predict m s o", "--parts 0", "--parts 0 are none"),
        ("predict m s o", "--workers 0", "--workers 0 are none"),
        ("predict m s o", "--engine spark", "unknown engine 'spark'"),
        ("predict m s o", "--engine slurm", "it is not said into how many parts it is cut"),
        (
            "predict m s o",
            "--engine slurm --workers 2",
            "--workers is for local and dask and ray, not for slurm",
        ),
        ("predict m s o", "--time 1:00:00", "--time is for slurm, not for local"),
        ("predict m s o", "--engine dask --gpus 1", "--gpus with dask"),
        ("predict m s o", "--engine ray --address auto --workers 2", "auto runs already"),
        ("predict m s o", "--seeds 0,1", "--recipes, --seeds and --folds are for train, not for predict"),
        ("train supervised --data d", "--parts 3", "--parts is for cases"),
        ("train --data d", "", "no recipe is named"),
        (
            "train supervised --data d",
            "--recipes kd_net",
            "--recipes and the recipe supervised are both given",
        ),
        ("train supervised --data d --seed 1", "--seeds 0,1", "--seed is in the command"),
        ("train supervised --data d", "--seeds 0,0", "is named twice"),
        ("train supervised --data d", "--folds 1", "--folds 1 are no folds"),
        ("train nope --data d", "", "unknown recipe 'nope'"),
    ],
)
def test_what_is_wrong_is_one_line_before_anything_is_handed_out(
    command: str,
    options: str,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["submit", command, *options.split()]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_status_of_what_was_never_submitted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(tmp_path)]) == 2
    assert "nothing that was submitted has its results in" in capsys.readouterr().err
