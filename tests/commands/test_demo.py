"""The demo, whole but small: two runs, a table, a page, a predicted scan; what it says where no scans are."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import nibabel
import numpy as np
import pytest

from distilseg.cli import main
from distilseg.commands import _demo
from distilseg.data.formats import read_dataset
from distilseg.data.phantom.volumes import write_phantom
from distilseg.runs import Run, find_runs

DEMO = ["demo", "--minutes", "0.6", "--out", "demo", "--device", "cpu"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture
def said(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What the demo prints on a machine without scans, with a phantom small enough for a test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    monkeypatch.chdir(place)
    monkeypatch.setattr(_demo, "find_data", lambda name, explicit: explicit and Path(explicit))
    small = partial(write_phantom, cases=8, shape=(20, 20, 20), spacing_mm=(1, 1, 1))
    monkeypatch.setattr(_demo, "write_phantom", lambda folder, **given: small(folder))
    monkeypatch.setattr(_demo, "SLACK", 5.0)  # seconds of training: a hiccup must not cut the student short
    monkeypatch.setattr(_demo, "LIGHT", {"filters": [4, 8, 8, 8, 8]})
    assert main(DEMO) == 0
    return capsys.readouterr().out


def pair(place: Path) -> tuple[Run, Run]:
    runs = {run.name.split("-")[0]: run for run in find_runs(place / "demo" / "runs")}
    assert set(runs) == {"supervised", "dual_self_distillation"}
    return runs["supervised"], runs["dual_self_distillation"]


def test_demo(place: Path, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "NO REAL SCANS FOUND" in said
    assert "built-in phantom (synthetic anatomy)" in said
    assert "distilseg fetch hippocampus" in said

    control, student = pair(place)
    steps = control.read(control.status)["steps"]
    assert steps > 0
    assert student.read(student.status)["steps"] == steps
    assert student.read(student.experiment)["control"] == control.name
    assert control.read(control.cost)["parameters"] == student.read(student.cost)["parameters"]

    for words in (
        *("Dice", "HD95 [mm]", "NSD", "liver", "lesion", "difference from supervised", "95 %", "Wilcoxon"),
        *("parameters", "GFLOPs", "seconds a case", "at this budget", "minutes in all"),
        *(
            "report: demo/report.html",
            "a predicted case: demo/predictions",
            f"trained model: {short(student)}",
        ),
    ):
        assert words in said, words
    assert "<svg" in (place / "demo" / "report.html").read_text()

    dataset = read_dataset(place / "demo" / "phantom")
    (made,) = (place / "demo" / "predictions").iterdir()
    scan = next(iter(dataset.case(made.name.removesuffix(".nii.gz")).images.values()))
    assert np.array_equal(nibabel.load(made).affine, nibabel.load(scan.path).affine)

    finished = student.last.stat().st_mtime_ns
    assert main([*DEMO, "--data", "demo/phantom"]) == 0
    again = capsys.readouterr().out
    assert "data: demo/phantom" in again
    assert "NO REAL SCANS" not in again
    assert student.last.stat().st_mtime_ns == finished


def short(student: Run) -> str:
    return f"demo/runs/{student.folder.parent.name}/{student.name}"
