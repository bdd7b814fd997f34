"""The demo, whole but small: three runs, a table, a page, an artefact; what it says where no scans are."""

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
from distilseg.errors import UserError
from distilseg.runs import Run, find_runs
from distilseg.runtime.artefact import open_artefact

DEMO = ["demo", "--minutes", "0.6", "--out", "demo", "--device", "cpu"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


def offline(name: str, **options: object) -> Path:
    raise UserError("cannot download it: the network cannot be reached", "check the connection")


@pytest.fixture
def said(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What the demo prints on a machine without scans and network, with a phantom small enough for a test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    monkeypatch.chdir(place)
    monkeypatch.setattr(_demo, "find_data", lambda name, explicit: explicit and Path(explicit))
    monkeypatch.setattr(_demo, "fetch", offline)
    small = partial(write_phantom, cases=9, shape=(20, 20, 20), spacing_mm=(1, 1, 1), structures=_demo.ORGANS)
    monkeypatch.setattr(_demo, "write_phantom", lambda folder, **given: small(folder))
    monkeypatch.setattr(_demo, "SLACK", 5.0)  # seconds of training: a hiccup must not cut the student short
    monkeypatch.setattr(_demo, "LABELS", 2)
    monkeypatch.setitem(_demo.TEACHER, "network_options", {"filters": [4, 8, 8, 8, 8]})
    monkeypatch.setitem(_demo.STUDENT, "network", "student_tiny")
    assert main(DEMO) == 0
    return capsys.readouterr().out


def runs_of(place: Path) -> tuple[Run, Run, Run]:
    """Teacher, control, student."""
    runs = find_runs(place / "demo" / "runs")
    (student,) = (run for run in runs if run.name.startswith("distil-"))
    control = next(run for run in runs if run.name == student.read(student.experiment)["control"])
    known = (student.name, control.name)
    (teacher,) = (r for r in runs if r.name not in known and r.name.startswith("supervised-"))
    return teacher, control, student


def test_demo(place: Path, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "28 MB of hippocampus MR are fetched" in said
    assert "that did not work: cannot download it: the network cannot be reached" in said
    assert said.count("SYNTHETIC: these scans are computed") == 2  # before it starts, and above the table

    teacher, control, student = runs_of(place)
    steps = control.read(control.status)["steps"]
    assert steps > 0
    assert student.read(student.status)["steps"] == steps
    about = student.read(student.experiment)
    assert about["teachers_of_others"]["teacher"]["name"] == teacher.name
    split = teacher.read(teacher.split)  # of a run of ours nobody need say what it saw
    assert about["teachers_of_others"]["teacher"]["saw"] == sorted([*split["train"], *split["validation"]])
    assert "Nobody said" not in said
    assert about["subjects"] == {"training": 2, "drawn": True}
    assert len(about["unlabelled"]) == len(split["train"]) - 2
    (judged,) = (run for run in find_runs(place / "demo" / "runs") if run.name.startswith("teacher-"))
    assert {row["case"] for row in judged.scored()} == {row["case"] for row in student.scored()}
    assert said.count("against") == 1  # one verdict, the student's: of a teacher there is none
    assert control.read(control.cost)["parameters"] == student.read(student.cost)["parameters"]

    for words in (
        *("Dice", "HD95 [mm]", "NSD", "liver", "kidney", "difference from supervised", "95 %", "Wilcoxon"),
        *("parameters", "GFLOPs", "seconds a case", "minutes in all"),
        *(
            "report: demo/report.html",
            "a scan predicted with it: demo/predictions",
            "for a browser and your own scans: demo/page.html",
            "times as fast as the teacher",
        ),
    ):
        assert words in said, words
    page = (place / "demo" / "report.html").read_text()
    assert "<svg" in page
    assert '<p class="badge">SYNTHETIC: these scans are computed' in page

    artefact = open_artefact(student.folder / "export" / "openvino.zip")
    assert artefact.about.engine == "openvino"
    dataset = read_dataset(place / "demo" / "phantom")
    assert set(dataset.labels.values()) == {"background", *_demo.ORGANS}
    (made,) = (place / "demo" / "predictions").iterdir()
    scan = next(iter(dataset.case(made.name.removesuffix(".nii.gz")).images.values()))
    assert np.array_equal(nibabel.load(made).affine, nibabel.load(scan.path).affine)

    finished = student.last.stat().st_mtime_ns
    assert main([*DEMO, "--data", "demo/phantom"]) == 0
    again = capsys.readouterr().out
    assert "data: demo/phantom" in again
    assert again.count("SYNTHETIC") == 1  # which scans are computed they say themselves, above the table
    assert student.last.stat().st_mtime_ns == finished
