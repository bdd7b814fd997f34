"""The files of a run folder, read: what is damaged is one refusal, by its file and field, with what to do."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from distilseg.errors import UserError
from distilseg.files import write_json
from distilseg.runs import Log, Run, find_runs, open_run, read_rows, write_rows

SCORES = [{"case": "a", "label": "tumour", "metric": "dice", "value": 0.5}]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "run")


def told(run: Run, path: Path) -> str:
    with pytest.raises(UserError) as caught:
        run.read(path)
    return str(caught.value)


def test_a_field_that_is_not_there_is_named_when_it_is_asked_for(run: Run) -> None:
    write_json(run.experiment, {"recipe": "supervised", "dataset": {"name": "D"}})
    about = run.read(run.experiment)
    assert about == {"recipe": "supervised", "dataset": {"name": "D"}}
    assert about.get("inferer") is None
    told = r"experiment\.json lacks 'inferer'; restore it, or delete .*run and train"
    with pytest.raises(UserError, match=told):
        about["inferer"]
    with pytest.raises(UserError, match=r"experiment\.json lacks 'folder'"):
        about["dataset"]["folder"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("experiment", {"options": []}, r"options is \[\], an object was expected; restore it"),
        ("experiment", {"seed": 10**40}, r"seed is 10+\.\.\.0+, a whole number was expected"),
        ("experiment", {"dataset": {"name": 3}}, r"dataset\.name is 3, text was expected"),
        ("experiment", {"teachers": {"big": None}}, r"teachers\.big is None, text was expected"),
        ("experiment", {"control": 1}, r"control is 1, text or null was expected"),
        ("experiment", {"subjects": {"drawn": 1}}, r"subjects\.drawn is 1, true or false was expected"),
        ("split", {"test": ["a", ["b"]]}, r"test\[1\] is \['b'\], text was expected"),
        ("status", {"seconds": True}, r"seconds is True, a number was expected"),
        ("cost", {"parameters": float("nan")}, r"parameters is nan, a number or null was expected"),
        ("cost", {"seconds_per_case": float("inf")}, r"inf, .*; run `distilseg evaluate .*run --again`"),
        ("plan", {"spacing_mm": 1.0}, r"spacing_mm is 1\.0, a list was expected"),
        ("plan", {"reasons": "given"}, r"reasons is 'given', an object was expected"),
        ("plan", {"normalisation": {"CT": 3}}, r"normalisation\.CT is 3, an object was expected"),
        (
            "plan",
            {"tissue_windows": {"CT": [[1, "a"]]}},
            r"windows\.CT\[0\]\[1\] is 'a', a number was expected",
        ),
    ],
)
def test_a_field_of_another_kind_is_named(run: Run, name: str, content: Any, message: str) -> None:
    path = getattr(run, name)
    write_json(path, content)
    with pytest.raises(UserError, match=rf"{name}\.json is damaged: .*{message}"):
        run.read(path)


def test_what_evaluate_makes_anew_is_told(run: Run) -> None:
    write_json(run.slices / "evaluation.json", {"cases": None})
    again = f"run `distilseg evaluate {run.folder} --by slice --again`"
    assert told(run, run.slices / "evaluation.json").endswith(again)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is not valid JSON (line 1, column 2"),
        (b'{"seed": 1, "seed": 2}', "names 'seed' twice"),
        (b"\xff\xfe{}", "byte 0 is no UTF-8"),
        (b'{"options": ' + b"[" * 100_000, "lists within lists without end"),
        (b"[]", "is damaged: it names no fields"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "is not valid JSON"),
    ],
)
def test_what_is_no_object_is_refused(run: Run, content: bytes, message: str) -> None:
    run.folder.mkdir()
    run.experiment.write_bytes(content)
    said = told(run, run.experiment)
    assert str(run.experiment) in said
    assert message in said


@pytest.mark.parametrize(
    "content",
    [
        b"case,label,metric,values\na,tumour,dice,0.5\n",
        b"case,label,metric,value\na,tumour,dice,high\n",
        b"case,label,metric\na,tumour,dice\n",
        b"case,label,metric,value\na,tumour,dice,0.5,0.6\n",
    ],
)
def test_a_row_that_is_no_score_is_named(run: Run, content: bytes) -> None:
    run.folder.mkdir()
    run.metrics.write_bytes(content)
    with pytest.raises(UserError, match=r"line 2 of .*metrics\.csv is not a row of .*run --again`"):
        run.scored()


@pytest.mark.parametrize("content", [b"case\n\xff\xfe\n", b'case\n"' + b"x" * 200_000])
def test_a_table_that_cannot_be_read_is_named(run: Run, content: bytes) -> None:
    run.folder.mkdir()
    run.metrics.write_bytes(content)
    with pytest.raises(UserError, match=r"metrics\.csv cannot be read .*; run `distilseg evaluate"):
        run.scored()
    with pytest.raises(UserError, match=r"metrics\.csv cannot be read .*; restore it"):
        read_rows(run.metrics)


def test_scores_are_read_as_they_were_written(run: Run) -> None:
    assert run.scored() == []
    write_rows(run.metrics, SCORES)
    write_rows(run.slices / "metrics.csv", [*SCORES, {**SCORES[0], "value": float("nan")}])
    assert run.scored() == [{**SCORES[0], "value": "0.5"}]
    assert [row["value"] for row in run.scored("slice")] == ["0.5", "nan"]


def test_a_folder_that_is_being_written_is_no_run(run: Run) -> None:
    write_json(run.experiment, {})
    write_json(run.folder / ".writing-it" / "experiment.json", {})
    assert find_runs(run.folder.parent) == [run]


def test_a_folder_that_vanishes_meanwhile_is_passed_over(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that writes beside it puts folders aside and takes them away again."""
    write_json(run.experiment, {})
    passing = run.folder.parent / "passing"
    passing.mkdir()
    scandir = os.scandir

    def vanishing(path: str) -> object:
        if Path(path) == passing:
            passing.rmdir()
        return scandir(path)

    monkeypatch.setattr(os, "scandir", vanishing)
    assert find_runs(run.folder.parent) == [run]
    assert not passing.exists()


GROWS = """
import resource, sys
from pathlib import Path
from distilseg.errors import UserError
from distilseg.runs import Log
log = Log(Path(sys.argv[1]), ["step", "total"])
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    for step in range(10_000):
        log.append({"step": step, "total": 0.5})
except UserError as error:
    print(error)
"""


def test_a_table_that_may_not_grow_is_named(run: Run) -> None:
    pytest.importorskip("resource")
    done = subprocess.run(
        [sys.executable, "-c", GROWS, str(run.losses)], capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith(f"{run.losses}: File too large; ")


def test_a_full_disk_names_the_table(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(run.losses, ["step"])

    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(log._file, "flush", full)
        with pytest.raises(UserError, match=r"losses\.csv: No space left on device; free space"):
            log.append({"step": 1})
    log.close()


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (b"step,total\n1,0.5\nx,0.5\n", ["1"]),
        (b"step,total\n1,0.5\n2\n", ["1"]),
        (b"step,total\n1,0.5\n2,0.5,3\n", ["1"]),
        (b"step,total\n1,0.5\n10,0.5\n", ["1"]),
        ("step,total\n²,1\n".encode(), []),
        (b"", []),
    ],
)
def test_a_log_goes_on_from_its_whole_rows(run: Run, content: bytes, kept: list[str]) -> None:
    run.folder.mkdir()
    run.losses.write_bytes(content)
    Log(run.losses, ["step", "total"], step=9).close()
    assert [row["step"] for row in read_rows(run.losses)] == kept


@pytest.mark.parametrize("content", [b"total\n1\n", b"\xff\xfe", b"stop,total\n1,2\n"])
def test_another_log_is_refused(run: Run, content: bytes) -> None:
    run.folder.mkdir()
    run.losses.write_bytes(content)
    with pytest.raises(UserError, match=r"losses\.csv .*; restore it, or delete .*run to start"):
        Log(run.losses, ["step", "total"], step=9)
    assert run.losses.read_bytes() == content


@pytest.mark.parametrize("depth", [300, 600, 900, 3000])
def test_depth_ends_in_a_value_or_a_refusal(run: Run, depth: int) -> None:
    run.folder.mkdir()
    run.experiment.write_bytes(b'{"options": {"a": ' + b"[" * depth + b"]" * depth + b"}}")
    try:
        run.read(run.experiment)
        said = "read"
    except UserError as error:
        said = str(error)
    assert said == "read" or "lists within lists without end" in said


def test_what_is_no_run_is_told_what_it_is(tmp_path: Path) -> None:
    for name in ("study/supervised-1234", "artefact", "empty"):
        (tmp_path / name).mkdir(parents=True)
    write_json(tmp_path / "study/supervised-1234/experiment.json", {})
    write_json(tmp_path / "artefact/artefact.json", {})
    (tmp_path / "student.zip").touch()
    (tmp_path / "scan.nii").touch()

    def told(name: str) -> str:
        with pytest.raises(UserError, match=r"is not a run folder \(.*give a folder that") as caught:
            open_run(tmp_path / name)
        return str(caught.value).split("(")[1].split(")")[0]

    assert told("study/supervised-1243") == "it does not exist; beside it lies supervised-1234"
    assert told("nowhere/at-all") == "it does not exist"
    assert told("artefact") == told("student.zip") == "it is an artefact, made from a run"
    assert told("scan.nii") == "it is a file"
    assert told("study") == "no experiment.json in it; runs below it: 1"
    assert told("empty") == "no experiment.json in it"
