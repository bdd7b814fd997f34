"""Predictions in plain words: what they mean is what typer takes them to mean, and the rest is left to it."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from distilseg.cli import app, main, plain
from distilseg.cli.tree import app_for, run

OF_OTHERS_MODELS = {
    *("configuration", "folds", "mirror", "step", "orientation", "card", "trust_model"),
    "threshold",  # a number with a comma is typer's to judge
}
OF_DICOM = {"series", "dicom_tilt", "write_as", "seg", "codes", "report"}
LINES = [
    "RUN SCAN OUT",
    "RUN SCAN_1 SCAN_2 OUT --overwrite",
    "--overwrite RUN --times SCAN OUT --skip-empty --probabilities",
    "RUN SCAN OUT --threads 4 --device cpu",
    "RUN --threads=4 SCAN --device=cpu OUT --threads 2",
    "RUN SCAN OUT --modality CT --fuse vote --weights last --trust a.py:b",
    "RUN,RUN_2 SCAN OUT --device=a=b",
    "RUN SCAN OUT --part 3/100 --list names.txt",
    "RUN SCAN OUT --part=3/100 --missing",
]
LEFT = [
    *("", "RUN", "--help", "RUN SCAN OUT --help", "RUN SCAN OUT -x", "RUN SCAN OUT --over"),
    *("RUN SCAN OUT --threads", "RUN SCAN OUT --threads -1", "RUN SCAN OUT --threads many"),
    *("RUN SCAN OUT --device --times", "RUN SCAN OUT --overwrite=yes", "RUN SCAN OUT --device="),
    *("RUN SCAN OUT --skip_empty", "-- RUN SCAN OUT", "RUN SCAN OUT --fuse mean --threshold 0.4"),
    *("RUN SCAN OUT --series number=3", "RUN SCAN OUT --as seg"),
    *("RUN SCAN OUT --mirror", "RUN SCAN OUT --step 0.5", "RUN SCAN OUT ---times", "RUN SCAN - OUT"),
]


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What `predicting.predict` is called with."""
    calls: list[dict[str, Any]] = []

    def predict(run: Path, inputs: list[Path], **options: Any) -> int:
        calls.append({"run": run, "inputs": list(inputs), **options})
        return 0

    monkeypatch.setattr("distilseg.cli.predicting.predict", predict)
    return calls


@pytest.mark.parametrize("line", LINES)
def test_they_mean_what_typer_takes_them_for(line: str, taken: list[dict[str, Any]]) -> None:
    words = ["predict", *line.split()]
    asked = plain.prediction(words)
    assert asked is not None
    plain.run(asked)
    run(words)
    ours, typers = taken
    assert ours.items() <= typers.items()
    told = {name: value for name, value in typers.items() if name not in ours}
    teacher = told.pop("teacher")
    assert teacher == type(teacher)()
    options = {"modality", "fuse", "threshold", "overwrite", "weights", "device", "threads", "skip_empty"}
    options |= OF_DICOM | {"times", "trust", "probabilities", "part", "list", "missing"}
    assert told.keys() == options - ours.keys()
    assert told == {name: _defaults()[name] for name in told}


@pytest.mark.parametrize("line", LEFT)
def test_what_may_mean_another_thing_is_left_to_typer(line: str) -> None:
    assert plain.prediction(["predict", *line.split()]) is None
    assert plain.prediction(["predict", "RUN", "", "OUT"]) is None
    assert plain.prediction(line.split()) is None


def test_every_option_is_known_or_left() -> None:
    command: Any = get_command(app_for(["predict"]))
    names = {parameter.name for parameter in command.commands["predict"].params}
    known = {*plain._FLAGS, *plain._TEXTS, *plain._COUNTS}
    assert names - {"help"} == known | OF_OTHERS_MODELS | OF_DICOM | {"run", "inputs"}
    for name in plain._FLAGS:
        assert _option(command, name).is_flag
    for name in (*plain._TEXTS, *plain._COUNTS):
        assert not _option(command, name).is_flag
        assert _option(command, name).opts == [f"--{name.replace('_', '-')}"]


def test_refusals_are_the_same_lines(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["predict", str(tmp_path / "absent"), "scan.nii.gz", str(tmp_path / "out")]
    assert main(words) == 2
    ours = capsys.readouterr().err
    assert main([*words, "--no-mirror"]) == 2
    assert (
        capsys.readouterr().err
        == ours
        == (
            f"error: there is no {tmp_path}/absent; give a run folder, or an artefact that `distilseg export`"
            " made\n"
        )
    )
    assert main(words[:3]) == 2
    assert "predict needs a run, at least one scan, and where to write" in capsys.readouterr().err


def test_nobody_listens_any_more(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def heard(asked: dict[str, Any]) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(plain, "run", heard)
    with (tmp_path / "out").open("w") as out:
        monkeypatch.setattr("sys.stdout", out)
        assert main(["predict", "RUN", "SCAN", "OUT"]) == 1
        os.write(out.fileno(), b"said to nobody")
    assert (tmp_path / "out").read_bytes() == b""


def test_ctrl_c_says_that_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(asked: dict[str, Any]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(plain, "run", stopped)
    assert app.main(["predict", "RUN", "SCAN", "OUT"]) == 130
    assert "the same command goes on where it stopped" in capsys.readouterr().err


def _option(command: Any, name: str) -> Any:
    return next(one for one in command.commands["predict"].params if one.name == name)


def _defaults() -> dict[str, Any]:
    """Of the function that both call."""
    from distilseg.commands import predict

    return {name: one.default for name, one in inspect.signature(predict).parameters.items()} | {
        "times": False,
        "missing": False,
    }
