"""Models of others predict as ours do: by parts, timed, with notes; no worker ends with a scan for ever."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from distilseg.claims import MOST_ENDED, claim
from distilseg.cli import main
from distilseg.data.formats.chosen import chosen
from distilseg.teachers.opening import open_teacher
from distilseg.teachers.predicting import predict_with_teacher

from ..data.scans.dicom.writing import save
from ..runtime.test_dicom import as_series, rounded
from ..test_claims import dies
from ..test_predict import scan, write
from .nnunet.small import DATASET, write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    for n in range(5):
        write(folder / f"case_{n}.nii.gz", scan(seed=n))
    return folder


def test_parts_lists_and_what_is_missing(
    model: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", str(model), str(scans), str(tmp_path / "out"), "--device", "cpu"]
    assert main([*words, "--part", "2/3"]) == 0
    assert "part 2 of 3: 2 of 5 cases" in capsys.readouterr().out
    assert main([*words, "--missing"]) == 3
    assert capsys.readouterr().out == "case_0\ncase_2\ncase_3\n"
    (tmp_path / "list").write_text("case_3\n")
    assert main([*words, "--list", str(tmp_path / "list"), "--probabilities"]) == 0
    there = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert there == ["case_1.nii.gz", "case_3.nii.gz", "case_3.npz", "case_4.nii.gz"]


def test_its_stages_are_timed(
    model: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["predict", str(model), str(scans / "case_0.nii.gz"), str(out), "--times"]) == 0
    summary = predict_with_teacher(open_teacher(model), scans, out)
    seconds = summary.times.seconds  # a teacher prepares as it answers
    assert all(s > 0 for stage, s in seconds.items() if stage != "preparing"), seconds
    assert summary.times.total_s >= sum(seconds.values())
    told = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(r"[\d.]+ s: reading .* s, side by side", told)
    assert not told.startswith("0.00 s")


def test_notes_of_dicom_are_told(tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    model = write_model(tmp_path / "model", dataset={**DATASET, "channel_names": {"0": "MR"}})
    images = as_series(rounded(scan()))
    save([*images, images[0]], tmp_path / "study")
    summary = predict_with_teacher(open_teacher(model), tmp_path / "study", tmp_path / "out")
    assert list(summary.written) == ["study"]
    assert summary.notes == {"study": "1 doubles left out"}


def test_what_ended_processes_comes_last_and_is_refused_after_three(
    model: Path, scans: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for name, times in (("case_0", 1), ("case_1", MOST_ENDED)):
        for _ in range(times):
            mine = claim(out / f"{name}.nii.gz")
            assert mine is not None
            dies(mine)
    held = claim(out / "case_2.nii.gz")
    assert held is not None
    summary = predict_with_teacher(open_teacher(model), scans, out)
    assert list(summary.written) == ["case_3", "case_4", "case_0"]
    assert list(summary.held) == ["case_2"]
    assert "case case_1: 3 processes ended while they predicted it" in summary.refused["case_1"]
    held.release()
    assert sorted(path.name for path in out.iterdir() if path.name.startswith(".")) == [
        ".case_1.nii.gz.claim"
    ]
    of_part = predict_with_teacher(open_teacher(model), scans, out, chosen=chosen("3/5", None))
    assert (of_part.told, list(of_part.written)) == ("part 3 of 5: 1 of 5 cases", ["case_2"])
