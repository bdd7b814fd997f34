"""`distilseg distil` on scans that nobody labelled: one command from plain files to a report of agreement."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from distilseg import commands
from distilseg.data.formats import read_dataset
from distilseg.data.phantom.volumes import write_phantom
from distilseg.recipes import others
from distilseg.report import compare_runs

from ..teachers.small import Knowing
from ..training.small import CPU


def test_from_plain_scans_to_a_student_judged_by_agreement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_phantom(tmp_path / "truth", cases=5, shape=(20, 20, 20), spacing_mm=(1, 1, 1), modalities=("MR",))
    truth = read_dataset(tmp_path / "truth")
    (tmp_path / "clinic").mkdir()
    for case in truth.cases:
        shutil.copy(case.images["MR"].path, tmp_path / "clinic" / f"{case.id}.nii.gz")
    teacher = Knowing(truth)
    for module in ("distilseg.commands._distil", others.__name__):
        monkeypatch.setattr(f"{module}.open_teacher", lambda path, options: teacher)
    said: list[str] = []
    structure = truth.classes[1]
    made = commands.distil(
        "MODEL",
        tmp_path / "clinic",
        classes=[f"organ={structure}"],
        options={"network": "dynunet", "network_options": {"filters": [4, 8, 8, 8]}},
        runs=tmp_path / "runs",
        cache=tmp_path / "cache",
        machine=CPU,
        steps=2,
        validations=1,
        say=said.append,
    )
    assert (made.control, made.teachers) == (None, ())
    assert any("scores are agreement with knowing" in line for line in said)
    assert any("on 0 labelled and 3 unlabelled scans" in line for line in said)
    comparison = compare_runs(made.runs)
    assert comparison.structures == ("organ",)
    assert {metric.title for metric in comparison.metrics} >= {"agreement (Dice)"}
